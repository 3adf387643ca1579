/** What was said, each message once, over all calls of a trace or a session. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { ask, intake } from "../api";
import { changes, outcomes, turns, type Change, type Came, type Told, type Turn } from "../conversation";
import { count, duration, money, oneLine, plural } from "../format";
import { messages } from "../message";
import { MessageView } from "../messages";
import { path } from "../router";
import { AskSql, Empty, Failed, Icon, Link, Loading, Text, Time } from "../ui";

/** Calls that are shown at once. */
const CALLS = 200;

export function Conversation({ of, id }: { of: "trace" | "session"; id: string }) {
  const url = intake(`/${of}s/${encodeURIComponent(id)}/conversation`);
  const asked = useQuery({ queryKey: ["conversation", url], queryFn: ({ signal }) => ask<Told>(url, { signal }), staleTime: 60_000, gcTime: 30_000 });
  const [most, setMost] = useState(CALLS);
  const came = useMemo(() => outcomes(asked.data ?? { messages: [], tools: [] }), [asked.data]);
  const all = useMemo(() => (asked.data ? turns(asked.data).filter((turn) => turn.added.length + turn.answer.length > 0 || turn.call.status === "error") : []), [asked.data]);
  if (asked.isPending) return <Loading what="Reading the conversation" of={[["conversation", url]]} />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  if (asked.data.messages.length === 0) {
    return <Empty title="Nobody said anything that is stored"><p>Either no model was called, or its prompts and answers were not sent or not kept (<code>genai.content</code>).</p></Empty>;
  }
  return (
    <section className="conversation" aria-label="Conversation">
      <div className="row"><span className="dim">Each message once, where it was new</span><AskSql of={[url]} /></div>
      {all.slice(0, most).map((turn) => <TurnView key={`${turn.call.trace_id}${turn.call.span_id}`} turn={turn} came={came} />)}
      {all.length > most && <button type="button" onClick={() => setMost(most + CALLS)}>Show more ({all.length - most} calls are left)</button>}
      {!asked.data.is_complete && <p className="dim">There are more calls than are told here.</p>}
    </section>
  );
}

function TurnView({ turn, came }: { turn: Turn; came: Map<string, Came> }) {
  const { call } = turn;
  const link = <Link to={path("trace", call.trace_id)} query={{ span: call.span_id }} className="span-link" title={call.model ?? undefined}><bdi>{oneLine(call.model || "model call", 60)}</bdi></Link>;
  const isRewritten = call.dropped > 0;
  return (
    <div className="turn" id={`call-${call.span_id}`} style={{ marginLeft: Math.min(turn.depth, 6) * 22 }}>
      {turn.system !== null && (
        <details className="system">
          <summary>{turn.systemBefore ? "The system prompt changed" : "System prompt"}</summary>
          {turn.systemBefore ? <Diff before={systemText(turn.systemBefore)} after={systemText(turn.system)} /> : <Text text={systemText(turn.system)} className="prose" />}
        </details>
      )}
      {isRewritten && <p className="branch"><Icon name="CHAIN" size={13} /> The history was rewritten here, or this is a branch: {plural(call.dropped, "earlier message is", "earlier messages are")} not in this call</p>}
      {turn.added.map((message, at) => <MessageView key={at} message={message} came={came} />)}
      {turn.answer.map((message, at) => <MessageView key={`a${at}`} message={message} came={came} />)}
      <p className="turn-foot">
        <span className="k-LLM"><Icon name="LLM" size={12} /></span>{link}
        {turn.agent && <span title={turn.agent}><bdi>{oneLine(turn.agent, 60)}</bdi></span>}
        <Time ms={Date.parse(call.started_at)} /><span>{duration(call.duration_ms === null ? null : call.duration_ms * 1e6)}</span>
        {(call.input_tokens ?? call.output_tokens ?? null) !== null && <span>{count(call.input_tokens)} in, {count(call.output_tokens)} out</span>}{(call.cost_usd ?? null) !== null && <span>{money(call.cost_usd)}</span>}
        {call.status === "error" && <span className="error">failed</span>}
      </p>
    </div>
  );
}

function systemText(text: string): string {
  const all = messages(text).flatMap((message) => message.parts.map((part) => part.content ?? part.text));
  return all.every((one) => typeof one === "string") ? all.join("\n\n") : text;
}

/** Two texts by lines, and in lines that changed by words: what is gone and what is new. */
export function Diff({ before, after }: { before: string; after: string }) {
  const blocks = useMemo(() => changes(before, after), [before, after]);
  return <pre className="diff">{blocks.map((block, at) => <Block key={at} block={block} />)}</pre>;
}

const SIGNS = { added: "+ ", removed: "− ", same: "  " };

function Block({ block: { kind, pieces } }: { block: Change }) {
  const marked = (text: string) => text.replaceAll("\n", `\n${SIGNS[kind]}`);
  return <span className={kind}>{SIGNS[kind]}{pieces.map((piece, at) => (piece.isChanged ? <mark key={at}>{marked(piece.text)}</mark> : marked(piece.text)))}{"\n"}</span>;
}
