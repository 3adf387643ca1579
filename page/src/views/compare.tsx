/** Two traces beside each other. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { ask, intake, own, withQuery, type Facts, type Rows, type Trace, type Tree } from "../api";
import { change, pair, type Pair } from "../compare";
import { count, duration, money, oneLine, plural } from "../format";
import { readable } from "../message";
import { Calls } from "./calls";
import { path, setParams, useParam } from "../router";
import { AskSql, Empty, Failed, Figure, FromTo, Kind, Link, Loading, TableBox, useTitle } from "../ui";

const SHOWN = 500;

export function Compare() {
  useTitle("Compare");
  const [a] = useParam("a");
  const [b] = useParam("b");
  return (
    <>
      <Choose a={a} b={b} />
      {a && b ? (isCall(a) && isCall(b) ? <Calls a={a} b={b} /> : <Both a={trace(a)} b={trace(b)} />) : <Empty title="Choose two traces or two calls"><p>Paste their ids above (of a call: trace id, a slash, span id), or open a trace or a span and follow “Compare…”.</p></Empty>}
    </>
  );
}

/** A call is named by its trace and its span. */
function isCall(id: string): boolean {
  return id.includes("/");
}

function trace(id: string): string {
  return id.split("/")[0]!;
}

function Choose({ a, b }: { a: string; b: string }) {
  const [one, setOne] = useState(a);
  const [other, setOther] = useState(b);
  const recent = useQuery({ queryKey: ["recent", intake("")], queryFn: ({ signal }) => ask<{ data: Trace[] }>(intake("/traces?page_size=50&mode=preview&cursor="), { signal }) });
  return (
    <form className="row" onSubmit={(event) => { event.preventDefault(); setParams({ a: one.trim(), b: other.trim() }, false); }}>
      {[["First trace or call", one, setOne], ["Second trace or call", other, setOther]].map(([label, value, set]) => (
        <input key={label as string} className="full id" list="recent" aria-label={label as string} placeholder={label as string} value={value as string} onChange={(event) => (set as (text: string) => void)(event.target.value)} />
      ))}
      <datalist id="recent">{recent.data?.data.map((trace) => <option key={trace.id} value={trace.id}>{`${trace.name ?? ""} ${trace.started_at}`}</option>)}</datalist>
      <button type="submit" className="primary" disabled={!one.trim() || !other.trim()}>Compare</button>
    </form>
  );
}

function useBoth(id: string) {
  const tree = useQuery({ queryKey: ["tree", intake(""), id], queryFn: ({ signal }) => ask<Tree>(intake(`/traces/${encodeURIComponent(id)}/tree`), { signal }) });
  const trace = useQuery({ queryKey: ["trace", intake(""), id], queryFn: ({ signal }) => ask<Trace>(intake(`/traces/${encodeURIComponent(id)}?mode=preview`), { signal }) });
  return { tree, trace };
}

function Both({ a, b }: { a: string; b: string }) {
  const [one, other] = [useBoth(a), useBoth(b)];
  // a root often says nothing itself, but its calls do
  const facts = useQuery({ queryKey: ["facts", own(""), a, b], queryFn: ({ signal }) => ask<Rows<Facts>>(withQuery(own("/traces/facts"), { ids: `${a},${b}` }), { signal }) });
  const said = (trace: Trace) => facts.data?.rows.find((row) => row.trace_id === trace.id);
  const pairs = useMemo(() => (one.tree.data && other.tree.data ? pair(one.tree.data, other.tree.data) : []), [one.tree.data, other.tree.data]);
  const error = one.tree.error ?? other.tree.error ?? one.trace.error ?? other.trace.error;
  if (error) return <Failed error={error} />;
  if (!one.tree.data || !other.tree.data || !one.trace.data || !other.trace.data) return <Loading what="Reading both traces" of={[["tree"], ["trace"]]} />;
  const [first, second] = [one.trace.data, other.trace.data];
  const figures: [string, (trace: Trace) => number | undefined, (value: number | null) => string][] = [
    ["Duration", (trace) => (trace.duration_ms === undefined ? undefined : trace.duration_ms * 1e6), duration],
    ["Spans", (trace) => trace.span_count, count],
    ["Errors", (trace) => trace.error_count, count],
    ["Tokens", (trace) => trace.total_tokens, count],
    ["Cost", (trace) => trace.cost_usd, money],
  ];
  return (
    <>
      <div className="cards">{figures.map(([name, value, format]) => <Figure key={name} name={name} value={<FromTo before={format(value(first) ?? null)} after={format(value(second) ?? null)} />} note={change(value(first), value(second))} />)}</div>
      <div className="grid2">{[first, second].map((trace, at) => (
        <section key={at} className="panel block"><header><h2><Link to={path("trace", trace.id)} title={trace.name}>{at === 0 ? "First" : "Second"}: <bdi>{trace.name || trace.id}</bdi></Link></h2></header><p className="note" dir="auto">{readable(trace.input, said(trace)?.input)}</p><p className="note" dir="auto">{readable(trace.output, said(trace)?.output)}</p></section>
      ))}</div>
      <section className="panel block">
        <header><h2>Spans</h2><span className="dim">paired by their path of names</span><AskSql of={[a, b].flatMap((id) => [intake(`/traces/${encodeURIComponent(id)}/tree`), intake(`/traces/${encodeURIComponent(id)}?mode=preview`)])} /></header>
        <TableBox label="Pairs of spans"><table className="rows compare">
          <thead><tr><th>Span</th><th className="number">First</th><th className="number">Second</th><th className="number">Change</th><th className="number">Tokens</th><th className="number">Cost</th></tr></thead>
          <tbody>{pairs.slice(0, SHOWN).map((row, at) => <Row key={at} row={row} a={one.tree.data!} b={other.tree.data!} />)}</tbody>
        </table></TableBox>
        {pairs.length > SHOWN && <p className="note">The first {SHOWN} of {plural(pairs.length, "pair")}.</p>}
      </section>
    </>
  );
}

function Row({ row, a, b }: { row: Pair; a: Tree; b: Tree }) {
  const took = (tree: Tree, line: number | null) => (line === null ? null : (tree.duration_ns[line] ?? null));
  const [before, after] = [took(a, row.a), took(b, row.b)];
  const both = (of: "total_tokens" | "cost_usd", format: (value: number | null) => string) => {
    const [one, other] = [row.a === null ? null : (a[of][row.a] ?? null), row.b === null ? null : (b[of][row.b] ?? null)];
    return one === null && other === null ? "" : `${format(one)} → ${format(other)}`;
  };
  return (
    <tr className={row.a === null ? "only-b" : row.b === null ? "only-a" : ""}>
      <td className="value" title={row.name} style={{ paddingLeft: 16 + Math.min(row.depth, 20) * 14 }}><Kind kind={row.kind} /> <bdi>{oneLine(row.name, 120)}</bdi>{row.a === null && <span className="chip">only in the second</span>}{row.b === null && <span className="chip">only in the first</span>}</td>
      <td className="number">{row.a === null ? "" : <Link to={path("trace", a.trace_id)} query={{ span: a.span_id[row.a], a: undefined }}>{duration(before)}</Link>}</td>
      <td className="number">{row.b === null ? "" : <Link to={path("trace", b.trace_id)} query={{ span: b.span_id[row.b] }}>{duration(after)}</Link>}</td>
      <td className={before !== null && after !== null && after > before * 1.1 ? "number error" : "number"}>{change(before, after)}</td>
      <td className="number nowrap">{both("total_tokens", count)}</td>
      <td className="number nowrap">{both("cost_usd", money)}</td>
    </tr>
  );
}
