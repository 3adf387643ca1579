/** What a view says that has nothing to show: what to do next, with the lines to paste. */
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ask, ingestUrl, own, workspace, type Ingest as Place } from "../api";
import type { Range } from "../range";
import { Empty, Failed, Link, Loading, Paste } from "../ui";

/** Names that can stand in a line to paste as they are. */
const PLAIN = /^[A-Za-z0-9._-]+$/;

/** Lines that have where to send to, and the workspace, in them. */
export function Ingest({ children }: { children: (base: string, workspace: string) => ReactNode }) {
  const asked = useQuery({ queryKey: ["ingest", own("")], queryFn: ({ signal }) => ask<{ ingest: Place }>(own("/imports"), { signal }), staleTime: Infinity });
  if (asked.isPending) return <Loading what="Asking where to send" of={[["ingest"]]} />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  return children(ingestUrl(asked.data.ingest, window.location.hostname), PLAIN.test(workspace()) ? workspace() : "default");
}

export function Nothing({ what, range, showAll }: { what: string; range: Range; showAll: () => void }) {
  return (
    <Empty title={range.name === "all" ? "Nothing has arrived yet" : `No ${what} in this time`}>
      {range.name !== "all" && <p><button type="button" className="primary" onClick={showAll}>Show all time</button></p>}
      <Ingest>{(base, name) => <HowToSend base={base} name={name} />}</Ingest>
      <p>or <Link to="/import">import</Link> files that you have.</p>
    </Empty>
  );
}

function HowToSend({ base, name }: { base: string; name: string }) {
  const header = name === "default" ? "" : ` OTEL_EXPORTER_OTLP_HEADERS=x-millrace-workspace=${name}`;
  return (
    <>
      <p>Send an application’s spans by OpenTelemetry:</p>
      <Paste text={`export OTEL_EXPORTER_OTLP_ENDPOINT=${base} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf${header}`} />
      <p>or try it with a single call:</p>
      <Paste text={`curl -s ${base}/apis/intake/v2/workspaces/${name}/ingest/chat-completions -H 'Content-Type: application/json' -d '{"request":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Capital of Peru?"}]},"response":{"id":"chatcmpl-1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Lima."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}'`} />
    </>
  );
}
