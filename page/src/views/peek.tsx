/** A look at a trace beside the list. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, type RefObject } from "react";
import { ask, intake, own, withQuery, type Facts, type Rows, type Trace, type Tree } from "../api";
import { isTyping } from "../app";
import { count, duration, exactly, money, oneLine } from "../format";
import { readable } from "../message";
import { path } from "../router";
import { AskSql, Failed, Icon, Kind, Link, Loading, Status, Text } from "../ui";

/** Spans that are shown; the trace has the others. */
const SPANS = 40;

/** `p` opens and closes the look at the line that has the focus; while it is open, it goes with the focus. */
export function usePeekKeys(table: RefObject<HTMLTableElement | null>, peek: string, setPeek: (id: string) => void): void {
  useEffect(() => {
    const line = () => document.activeElement?.closest("tr")?.dataset.id;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "Escape" && peek) setPeek("");
      else if (event.key === "p") {
        const id = line() ?? table.current?.tBodies[0]?.rows[0]?.dataset.id;
        if (id) setPeek(id === peek ? "" : id);
      } else return;
      event.preventDefault();
    };
    const moved = () => {
      const id = line();
      if (peek && id && id !== peek) setPeek(id);
    };
    const box = table.current;
    window.addEventListener("keydown", pressed);
    box?.addEventListener("focusin", moved);
    return () => {
      window.removeEventListener("keydown", pressed);
      box?.removeEventListener("focusin", moved);
    };
  }, [table, peek, setPeek]);
}

export function Peek({ id, close }: { id: string; close: () => void }) {
  const trace = useQuery({ queryKey: ["trace", intake(""), id], queryFn: ({ signal }) => ask<Trace>(intake(`/traces/${encodeURIComponent(id)}?mode=preview`), { signal }), placeholderData: (before) => before });
  const tree = useQuery({ queryKey: ["tree", intake(""), id], queryFn: ({ signal }) => ask<Tree>(intake(`/traces/${encodeURIComponent(id)}/tree`), { signal }), staleTime: 60_000, gcTime: 30_000, placeholderData: (before) => before });
  // a root often says nothing itself, but its calls do
  const facts = useQuery({ queryKey: ["facts", own(""), id], queryFn: ({ signal }) => ask<Rows<Facts>>(withQuery(own("/traces/facts"), { ids: id }), { signal }), placeholderData: (before) => before });
  const found = trace.data;
  // answers about the trace before may still be shown
  const said = facts.data?.rows.find((row) => row.trace_id === found?.id);
  const [input, output] = [readable(found?.input, said?.input), readable(found?.output, said?.output)];
  return (
    <aside className="peek panel" aria-label="A look at a trace">
      <header>
        <h2 dir="auto" title={found?.name}>{found?.name || id.slice(0, 8)}</h2>
        {found && <Status status={found.status} />}
        <AskSql of={[intake(`/traces/${encodeURIComponent(id)}?mode=preview`), intake(`/traces/${encodeURIComponent(id)}/tree`)]} />
        <Link to={path("trace", id)} className="button quiet">Open</Link>
        <button type="button" className="quiet" aria-label="Close (Esc)" onClick={close}><Icon name="close" /></button>
      </header>
      <div className="body" tabIndex={0} role="region" aria-label="The trace">
        {trace.isPending ? <Loading of={[["trace", intake(""), id]]} /> : trace.isError ? <Failed error={trace.error} /> : found && (
          <>
            <dl className="pairs">
              <div><dt>Began</dt><dd>{exactly(Date.parse(found.started_at))}</dd></div>
              <div><dt>Duration</dt><dd>{duration(found.duration_ms === undefined ? null : found.duration_ms * 1e6)}</dd></div>
              <div><dt>Tokens</dt><dd>{count(found.total_tokens)}</dd></div>
              <div><dt>Cost</dt><dd>{money(found.cost_usd)} {said && said.unpriced > 0 && <span className="dim">{count(said.unpriced)} unpriced</span>}</dd></div>
              <div><dt>Spans</dt><dd>{count(found.span_count)}</dd></div>
              <div><dt>Errors</dt><dd className={found.error_count ? "error" : ""}>{count(found.error_count ?? 0)}</dd></div>
            </dl>
            {input && <section><h3>Input</h3><Text text={input} className="prose" /></section>}
            {output && <section><h3>Output</h3><Text text={output} className="prose" /></section>}
          </>
        )}
        {tree.data && <Spans id={id} tree={tree.data} />}
      </div>
    </aside>
  );
}

function Spans({ id, tree }: { id: string; tree: Tree }) {
  return (
    <section>
      <h3>Spans</h3>
      <ul className="peek-spans">
        {tree.span_id.slice(0, SPANS).map((span, line) => (
          <li key={span} style={{ paddingLeft: Math.min(tree.depth[line]!, 12) * 12 }}>
            <Kind kind={tree.kind[line]!} />
            <Link to={path("trace", id)} query={{ span }} className={tree.status[line] === "error" ? "error" : ""}>{oneLine(tree.names[tree.name[line]!] ?? "", 60)}</Link>
            <span className="dim">{duration(tree.duration_ns[line])}</span>
          </li>
        ))}
      </ul>
      {tree.span_id.length > SPANS && <p className="dim">and {count(tree.span_count - SPANS)} more</p>}
    </section>
  );
}
