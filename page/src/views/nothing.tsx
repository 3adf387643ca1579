/** What a view says that has nothing to show: what to do next, with the lines to paste. */
import type { Range } from "../range";
import { Empty, Link, Paste } from "../ui";

export function Nothing({ what, range, showAll }: { what: string; range: Range; showAll: () => void }) {
  const base = window.location.origin.replace(/:4319$/, ":4318");
  return (
    <Empty title={range.name === "all" ? "Nothing has arrived yet" : `No ${what} in this time`}>
      {range.name !== "all" && <p><button type="button" className="primary" onClick={showAll}>Show all time</button></p>}
      <p>Send an application’s spans by OpenTelemetry:</p>
      <Paste text={`export OTEL_EXPORTER_OTLP_ENDPOINT=${base} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`} />
      <p>or try it with a single call:</p>
      <Paste text={`curl -s ${base}/apis/intake/v2/workspaces/default/ingest/chat-completions -H 'Content-Type: application/json' -d '{"request":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Capital of Peru?"}]},"response":{"id":"chatcmpl-1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Lima."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}'`} />
      <p>or <Link to="/import">import</Link> files that you have.</p>
    </Empty>
  );
}
