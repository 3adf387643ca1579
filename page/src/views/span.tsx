/** What is known of a span. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { ask, intake, own, type Page, type Rows, type Span } from "../api";
import { bytes, count, duration, exactly, money, percent, plural } from "../format";
import { parsed } from "../message";
import { Messages } from "../messages";
import { useParam } from "../router";
import { Copy, Failed, Icon, Json, Kind, kindName, Link, Loading, ShowSql, Status, Tabs, Text, Value } from "../ui";

type Tab = "content" | "attributes" | "events" | "raw" | "scores";

export function SpanPanel({ trace, span, kind, onClose }: { trace: string; span: string; kind: string; onClose: () => void }) {
  const [tab, setTab] = useParam("of");
  const url = own(`/traces/${encodeURIComponent(trace)}/spans/${encodeURIComponent(span)}`);
  const asked = useQuery({ queryKey: ["span", url], queryFn: ({ signal }) => ask<Rows<Span>>(url, { signal }), staleTime: 60_000, placeholderData: (before) => before });
  const found = asked.data?.rows[0];
  const chosen: Tab = (["attributes", "events", "raw", "scores"] as const).find((name) => name === tab) ?? "content";
  return (
    <aside className="span-panel panel" aria-label="The chosen span">
      <header>
        <Kind kind={kind} />
        <h3 dir="auto" title={found?.SpanName}>{found?.SpanName || "…"}</h3>
        {found && <Status status={found.status} />}
        <button type="button" className="quiet" aria-label="Close (Esc)" onClick={onClose}><Icon name="close" /></button>
      </header>
      {asked.isPending ? <Loading of={[["span", url]]} /> : asked.isError ? <Failed error={asked.error} again={() => void asked.refetch()} />
        : !found ? <div className="empty"><p>This span is not stored any more.</p></div>
        : (
          <>
            <Summary span={found} kind={kind} />
            <Tabs
              label="span" chosen={chosen} choose={(name) => setTab(name === "content" ? "" : name)}
              tabs={[["content", "Content"], ["attributes", "Attributes"], ["events", `Events${found.events.length + found.links.length > 0 ? ` ${found.events.length + found.links.length}` : ""}`], ["scores", "Scores"], ["raw", "Raw"]]}
            />
            <div className="body" tabIndex={0}>
              {chosen === "content" && <Content span={found} />}
              {chosen === "attributes" && <Attributes span={found} />}
              {chosen === "events" && <Events span={found} />}
              {chosen === "scores" && <Scores trace={trace} span={span} session={found.SessionId || `session-${trace}`} />}
              {chosen === "raw" && <Raw span={found} />}
            </div>
            <footer><ShowSql of={[asked.data]} /><Link to="/compare" query={{ a: `${trace}/${span}` }} className="button quiet">Compare…</Link><Copy text={span} label="Copy span id" /></footer>
          </>
        )}
    </aside>
  );
}

function text(span: Span, name: string): string {
  const value = span[name];
  return typeof value === "string" ? value : "";
}

function number(span: Span, name: string): number | null {
  const value = span[name];
  return typeof value === "number" ? value : null;
}

function Summary({ span, kind }: { span: Span; kind: string }) {
  const model = text(span, "ResponseModel") || text(span, "RequestModel");
  const isKnown = span.Duration > 0 && !["ingest", "unknown"].includes(span.TimingQuality);
  const [input, output, cached, cacheWrite, reasoning] = ["InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens", "ReasoningTokens"].map((name) => number(span, name));
  const cost = number(span, "CostTotal");
  const price = text(span, "PriceId");
  const rows: [string, React.ReactNode][] = [
    ["Kind", kindName(kind)],
    ["Service", span.ServiceName],
    ["Duration", isKnown ? duration(span.Duration) : <span title="Nobody told when it ended">not known</span>],
    ["First token", number(span, "TimeToFirstToken") === null ? null : duration(number(span, "TimeToFirstToken"))],
    ["Started", exactly(span.started_ns / 1e6)],
    ["Model", model && `${model}${text(span, "Provider") ? ` (${text(span, "Provider")})` : ""}`],
    ["Tool", text(span, "ToolName")],
    ["Agent", text(span, "AgentName")],
    ["Tokens in", input === null ? null : `${count(input)}${cached ? `, ${percent(cached, input)} cached` : ""}${cacheWrite ? `, ${count(cacheWrite)} written to the cache` : ""}`],
    ["Tokens out", output === null ? null : `${count(output)}${reasoning ? `, ${percent(reasoning, output)} reasoning` : ""}`],
    ["Cost", cost === null ? (input === null ? null : <span title="Nobody gave a cost, and the book of prices has none for this model">no price</span>) : <>{money(cost)} <span className="dim">{price ? `computed: ${price}` : "as given"}</span></>],
    ["Finished", Array.isArray(span.FinishReasons) && span.FinishReasons.length > 0 ? span.FinishReasons.join(", ") : null],
    ["User", text(span, "UserId")],
    ["Session", span.SessionId && <Link to={`/session/${encodeURIComponent(span.SessionId)}`}>{span.SessionId}</Link>],
  ];
  const parameters = text(span, "RequestParameters");
  return (
    <div className="summary">
      {span.status === "error" && (
        <div className="error-box" tabIndex={0} role="region" aria-label="Error"><strong title={span.ErrorType}>{span.ErrorType || "Error"}</strong> <span dir="auto">{span.ErrorMessage || span.StatusMessage}</span></div>
      )}
      <dl className="pairs">
        {rows.filter(([, value]) => value !== null && value !== "" && value !== undefined && value !== false).map(([name, value]) => <div key={name}><dt>{name}</dt><dd title={typeof value === "string" ? value : undefined}><bdi>{value}</bdi></dd></div>)}
        {parameters && parameters !== "{}" && <div className="whole"><dt>Parameters</dt><dd><code>{parameters}</code></dd></div>}
      </dl>
    </div>
  );
}

const INPUTS = ["input.value", "gen_ai.tool.call.arguments", "traceloop.entity.input", "ai.toolCall.args", "langfuse.observation.input", "mlflow.spanInputs"];
const OUTPUTS = ["output.value", "gen_ai.tool.call.result", "traceloop.entity.output", "ai.toolCall.result", "langfuse.observation.output", "mlflow.spanOutputs"];

function Cut({ span, column }: { span: Span; column: string }) {
  const size = span.Sizes[column] ?? 0;
  return size > (2 << 20) ? <p className="dim">This text has {bytes(size)}; the first 2 MiB are shown.</p> : null;
}

function Content({ span }: { span: Span }) {
  const first = (keys: string[]) => keys.map((key) => span.ContentAttributes[key]).find(Boolean);
  const [input, output] = [span.InputMessages ? "" : first(INPUTS), span.OutputMessages ? "" : first(OUTPUTS)];
  const tools = parsed(span.ToolDefinitions);
  const isEmpty = !span.InputMessages && !span.OutputMessages && !input && !output && !span.SystemPrompt;
  return (
    <>
      {span.SystemPrompt && <details className="system"><summary>System prompt</summary><Text text={systemText(span.SystemPrompt)} className="prose" /></details>}
      {Array.isArray(tools) && tools.length > 0 && <details className="system"><summary>{plural(tools.length, "tool")} offered</summary><div className="json"><Json value={tools} /></div></details>}
      {span.InputMessages && <><h4>Input</h4><Cut span={span} column="InputMessages" /><Messages text={span.InputMessages} /></>}
      {input && <><h4>Input</h4><Value text={input} /></>}
      {span.OutputMessages && <><h4>Output</h4><Cut span={span} column="OutputMessages" /><Messages text={span.OutputMessages} /></>}
      {output && <><h4>Output</h4><Value text={output} /></>}
      {isEmpty && <p className="dim pad">This span has no prompts, answers, arguments or results.</p>}
    </>
  );
}

/** A system prompt is a text, or a list of parts with texts. */
function systemText(value: string): string {
  const parts = parsed(value);
  if (!Array.isArray(parts)) return value;
  const texts = parts.map((part) => (typeof part === "object" && part !== null ? (part.content ?? part.text) : part));
  return texts.every((one) => typeof one === "string") ? texts.join("\n\n") : value;
}

function Attributes({ span }: { span: Span }) {
  const [find, setFind] = useState("");
  const groups: [string, Record<string, string>][] = [["Span", span.SpanAttributes], ["Content", span.ContentAttributes], ["Resource", span.ResourceAttributes]];
  const word = find.toLowerCase();
  return (
    <>
      <input type="search" className="full" placeholder="Find attributes" aria-label="Find attributes" value={find} onChange={(event) => setFind(event.target.value)} />
      {groups.map(([name, attributes]) => {
        const rows = Object.entries(attributes).filter(([key, value]) => `${key}\n${value}`.toLowerCase().includes(word)).sort();
        if (rows.length === 0) return null;
        return (
          <section key={name}>
            <h4>{name}</h4>
            <table className="attributes"><tbody>{rows.map(([key, value]) => <tr key={key}><th scope="row">{key}</th><td><Value text={value} /></td></tr>)}</tbody></table>
          </section>
        );
      })}
    </>
  );
}

function Events({ span }: { span: Span }) {
  if (span.events.length + span.links.length === 0) return <p className="dim pad">This span has no events and no links.</p>;
  return (
    <>
      {span.events.map((event, at) => (
        <section key={at} className="event">
          <h4>{event.name} <span className="dim">+{duration(Math.max(0, Number(event.at) - span.started_ns))}</span></h4>
          <Value text={event.attributes} />
        </section>
      ))}
      {span.links.map((link, at) => (
        <section key={at} className="event">
          <h4>Link to <Link to={`/trace/${link.trace_id}`} query={{ span: link.span_id }}>{link.trace_id.slice(0, 8)}</Link></h4>
          <Value text={link.attributes} />
        </section>
      ))}
    </>
  );
}

function Raw({ span }: { span: Span }) {
  const whole = useMemo(() => JSON.stringify(span, null, 2), [span]);
  return (
    <>
      <div className="row"><Copy text={whole} label="Copy as JSON" /></div>
      {span.RawRequest && <><h4>Request as captured</h4><Cut span={span} column="RawRequest" /><Value text={span.RawRequest} /></>}
      {span.RawResponse && <><h4>Response as captured</h4><Cut span={span} column="RawResponse" /><Value text={span.RawResponse} /></>}
      <h4>Columns</h4>
      <div className="json"><Json value={span} depth={1} /></div>
    </>
  );
}

interface Result { name: string; data_type: string; value?: number; string_value?: string; comment?: string; created_by?: string; created_at: string }
interface Annotation { annotation_id: string; kind: string; value?: string | number; text?: string; name?: string; created_by?: string; created_at: string }

function Scores({ span, session }: { trace: string; span: string; session: string }) {
  const results = useQuery({ queryKey: ["results", intake(""), span], queryFn: ({ signal }) => ask<Result[]>(intake(`/spans/${encodeURIComponent(span)}/evaluator-results`), { signal }) });
  const filter = JSON.stringify({ span_id: span });
  const notes = useQuery({ queryKey: ["annotations", intake(""), span], queryFn: ({ signal }) => ask<Page<Annotation>>(`${intake("/annotations")}?page_size=100&filter=${encodeURIComponent(filter)}`, { signal }) });
  const [note, setNote] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const add = async (body: object) => {
    try {
      await ask(intake("/annotations"), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ session_id: session, span_id: span, ...body }) });
      setProblem(null);
      setNote("");
      await notes.refetch();
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <>
      <div className="row">
        <button type="button" onClick={() => void add({ kind: "feedback", value: "positive" })}>Good</button>
        <button type="button" onClick={() => void add({ kind: "feedback", value: "negative" })}>Bad</button>
      </div>
      <form className="row" onSubmit={(event) => { event.preventDefault(); if (note.trim()) void add({ kind: "note", text: note.trim() }); }}>
        <input className="full" aria-label="Note" placeholder="A note about this span" maxLength={10_000} value={note} onChange={(event) => setNote(event.target.value)} />
        <button type="submit" disabled={!note.trim()}>Add</button>
      </form>
      {problem !== null && <Failed error={problem} />}
      {results.isError && <Failed error={results.error} />}
      {notes.isError && <Failed error={notes.error} />}
      <table className="attributes">
        <tbody>
          {results.data?.map((result) => (
            <tr key={result.name}><th scope="row">{result.name}</th><td>{result.string_value ?? result.value}{result.comment && <p className="dim">{result.comment}</p>}</td></tr>
          ))}
          {notes.data?.data.map((one) => (
            <tr key={one.annotation_id}><th scope="row">{one.name ?? one.kind}</th><td>{one.text ?? String(one.value ?? "")}<span className="dim"> {one.created_by}</span></td></tr>
          ))}
        </tbody>
      </table>
      {results.data?.length === 0 && notes.data?.data.length === 0 && <p className="dim pad">Nobody has scored this span yet.</p>}
    </>
  );
}
