/** Messages of a model call: those of the conventions, with parts. All of it is foreign text and shown as text. */
import { useState } from "react";
import type { Came } from "./conversation";
import { bytes as size, duration, oneLine, plural } from "./format";
import { base64Of, mediaType, messages, parsed, type Message, type Part } from "./message";
import { MARKDOWN_LETTERS_MAX, Markdown } from "./markdown";
import { path } from "./router";
import { Icon, Json, Link, Text, Value } from "./ui";

const ROLES: Record<string, string> = { user: "User", assistant: "Assistant", system: "System", developer: "Developer", tool: "Tool" };

export function Prose({ text }: { text: string }) {
  const [isRaw, setRaw] = useState(false);
  const isMarked = text.length <= MARKDOWN_LETTERS_MAX && /[*_`#|]|^\s*[-\d]/m.test(text);
  if (!isMarked) return <Text text={text} className="prose" />;
  return (
    <div className="prose-box">
      {isRaw ? <Text text={text} className="prose" /> : <Markdown text={text} />}
      <button type="button" className="more" onClick={() => setRaw(!isRaw)}>{isRaw ? "As Markdown" : "As sent"}</button>
    </div>
  );
}

function Media({ part }: { part: Part }) {
  const bytes = base64Of(part);
  const type = bytes ? mediaType(bytes) : null;
  if (bytes && type?.startsWith("image/")) return <img className="media" src={`data:${type};base64,${bytes}`} alt="Image in this message" />;
  if (bytes && type?.startsWith("audio/")) return <audio controls src={`data:${type};base64,${bytes}`} />;
  if (bytes && type?.startsWith("video/")) return <video controls className="media" src={`data:${type};base64,${bytes}`} />;
  if (bytes && type) return <a className="button" download="document.pdf" href={`data:${type};base64,${bytes}`}>Save the PDF, {size(bytes.length * 0.75)}</a>;
  const at = addressOf(part);
  if (at) return <p className="address">{MODALITIES[String(part.modality)] ?? "File"} at <code>{oneLine(at, 300)}</code>, which is not loaded</p>;
  return <div className="json"><Json value={part} /></div>;
}

const MODALITIES: Record<string, string> = { image: "Image", audio: "Sound", video: "Video", document: "Document" };

/** Where a part is that has no bytes of its own. */
function addressOf(part: Part): string | null {
  const at = part.uri ?? part.url;
  return typeof at === "string" && !at.startsWith("data:") ? at : null;
}

function argumentsOf(part: Part): unknown {
  const value = part.arguments ?? part.input;
  return typeof value === "string" ? (parsed(value) ?? value) : value;
}

/** A call of a tool; with what came of it, where that is known, folded. */
export function ToolCall({ part, came }: { part: Part; came?: Came }) {
  const [isOpen, setOpen] = useState(came === undefined);
  const run = came?.run;
  const result = came?.result ?? (run?.output ? { type: "tool_call_response", result: run.output } : undefined);
  const value = argumentsOf(part);
  const preview = oneLine(typeof value === "string" ? value : (JSON.stringify(value) ?? ""), 80);
  return (
    <div className="tool">
      <button type="button" className="fold" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Icon name="chevron" size={12} /><span className="k-TOOL"><Icon name="TOOL" size={14} /></span>
        <strong title={String(part.name ?? "")}>{oneLine(String(part.name ?? "tool"), 80)}</strong>{!isOpen && <code>{preview}</code>}
      </button>
      {run && <Link to={path("trace", run.trace_id)} query={{ span: run.span_id }} className={run.status === "error" ? "ran error" : "ran"}>{run.status === "error" ? "failed" : "ran"}{run.duration_ms === null ? "" : ` ${duration(run.duration_ms * 1e6)}`}</Link>}
      {isOpen && value !== undefined && value !== null && (
        <div className="json">{typeof value === "string" ? <Text text={value} /> : <Json value={value} />}</div>
      )}
      {isOpen && result && <ToolResult part={result} />}
    </div>
  );
}

function ToolResult({ part }: { part: Part }) {
  const result = part.response ?? part.result ?? part.content ?? "";
  return (
    <div className="tool result">
      <span className="label">Result{typeof part.name === "string" ? ` of ${part.name}` : ""}</span>
      {typeof result === "string" ? <Value text={result} /> : <div className="json"><Json value={result} /></div>}
    </div>
  );
}

export function PartView({ part, came }: { part: Part; came?: Map<string, Came> }) {
  const text = typeof part.content === "string" ? part.content : typeof part.text === "string" ? part.text : null;
  switch (part.type) {
    case "text": return text === null ? <div className="json"><Json value={part} /></div> : <Prose text={text} />;
    case "reasoning":
    case "thinking": return <details className="reasoning"><summary>Reasoning</summary><Prose text={text ?? JSON.stringify(part)} /></details>;
    case "tool_call": return <ToolCall part={part} came={typeof part.id === "string" ? came?.get(part.id) : undefined} />;
    case "tool_call_response":
    case "tool_result": return <ToolResult part={part} />;
    default: return <Media part={part} />;
  }
}

/** Ends that need no word: the message shows which it was. */
const USUAL = new Set(["stop", "tool_call", "tool_calls"]);

export function MessageView({ message, came }: { message: Message; came?: Map<string, Came> }) {
  const role = message.role || "text";
  return (
    <article className={`message r-${role}`}>
      <header>
        <span className="role">{ROLES[role] ?? role}</span>
        {message.finish_reason && !USUAL.has(message.finish_reason) && <span className={message.finish_reason === "length" ? "chip warn" : "chip"} title={message.finish_reason === "length" ? "It was cut off at the limit of tokens" : "Why the model stopped"}>{message.finish_reason}</span>}
      </header>
      {message.parts.map((part, at) => <PartView key={at} part={part} came={came} />)}
      {message.parts.length === 0 && <span className="dim">No content</span>}
    </article>
  );
}

const SHOWN = 4;

/** The messages of a call. A long history is folded: what was new in this call is at its end. */
export function Messages({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const all = messages(text);
  const hidden = isWhole ? 0 : Math.max(0, all.length - SHOWN);
  return (
    <div className="messages">
      {hidden > 0 && <button type="button" className="earlier" onClick={() => setWhole(true)}>Show {plural(hidden, "earlier message")}</button>}
      {all.slice(hidden).map((message, at) => <MessageView key={at + hidden} message={message} />)}
    </div>
  );
}
