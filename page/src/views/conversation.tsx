/** What was said, each message once, over all calls of a trace or a session. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, own, withQuery, type Rows } from "../api";
import { conversation, difference, type Call, type Turn } from "../conversation";
import { count, duration, money } from "../format";
import { messages } from "../message";
import { MessageView } from "../messages";
import { path } from "../router";
import { Empty, Failed, Icon, Link, Loading, ShowSql, Text, Time } from "../ui";

const CALLS = 200;

export function Conversation({ of, id }: { of: "trace" | "session"; id: string }) {
  const asked = useQuery({ queryKey: ["messages", own(""), of, id], queryFn: ({ signal }) => ask<Rows<Call>>(withQuery(own("/messages"), { [of]: id }), { signal }), staleTime: 60_000 });
  const turns = useMemo(() => conversation(asked.data?.rows ?? []), [asked.data]);
  if (asked.isPending) return <Loading what="Reading the conversation" />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  const isSaid = turns.some((turn) => turn.added.length + turn.answer.length > 0);
  if (!isSaid) {
    return <Empty title="Nobody said anything that is stored"><p>Either no model was called, or its prompts and answers were not sent or not kept (<code>genai.content</code>).</p></Empty>;
  }
  return (
    <section className="conversation" aria-label="Conversation">
      <div className="row"><span className="dim">Each message once, where it was new</span><ShowSql of={[asked.data]} /></div>
      {turns.map((turn) => <TurnView key={`${turn.call.trace_id}${turn.call.span_id}`} turn={turn} />)}
      {asked.data.rows.length >= CALLS && <p className="dim">The first {CALLS} calls are shown.</p>}
    </section>
  );
}

function TurnView({ turn }: { turn: Turn }) {
  const { call } = turn;
  const link = <Link to={path("trace", call.trace_id)} query={{ span: call.span_id }} className="span-link">{call.model || "model call"}</Link>;
  return (
    <div className="turn" id={`call-${call.span_id}`}>
      {turn.system !== null && (
        <details className="system">
          <summary>{turn.systemBefore ? "The system prompt changed" : "System prompt"}</summary>
          {turn.systemBefore ? <Diff before={systemText(turn.systemBefore)} after={systemText(turn.system)} /> : <Text text={systemText(turn.system)} className="prose" />}
        </details>
      )}
      {turn.dropped > 0 && <p className="branch"><Icon name="CHAIN" size={13} /> The history was rewritten here: {turn.dropped} {turn.dropped === 1 ? "message is" : "messages are"} gone</p>}
      {turn.added.map((message, at) => <MessageView key={at} message={message} />)}
      {turn.answer.map((message, at) => <MessageView key={`a${at}`} message={message} />)}
      <p className="turn-foot">
        <span className="k-LLM"><Icon name="LLM" size={12} /></span>{link}
        {call.agent && <span>{call.agent}</span>}
        <Time ms={call.started_ms} /><span>{duration(call.duration || null)}</span>
        <span>{count(call.input_tokens)} in, {count(call.output_tokens)} out</span><span>{money(call.cost)}</span>
        {call.status === "error" && <span className="error">failed</span>}
      </p>
    </div>
  );
}

function systemText(text: string): string {
  const all = messages(text).flatMap((message) => message.parts.map((part) => part.content ?? part.text));
  return all.every((one) => typeof one === "string") ? all.join("\n\n") : text;
}

/** Two texts by lines: what is gone and what is new. */
export function Diff({ before, after }: { before: string; after: string }) {
  const lines = useMemo(() => difference(before, after), [before, after]);
  return <pre className="diff">{lines.map((line, at) => <span key={at} className={line.kind}>{line.kind === "added" ? "+ " : line.kind === "removed" ? "− " : "  "}{line.text}{"\n"}</span>)}</pre>;
}
