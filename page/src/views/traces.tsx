/** The traces of a time: how many calls there were, and a line for each trace. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { ask, intake, own, withQuery, type Facts, type Page, type Point, type Rows, type Trace } from "../api";
import { count, duration, exact, money, oneLine, percent, plural } from "../format";
import { filled, Plot } from "../plot";
import { useRange, type Range } from "../range";
import { useSeries } from "../series";
import { address, go, path, useParam } from "../router";
import { Empty, Failed, Icon, Link, Loading, Paste, ShowSql, Time, useTitle } from "../ui";
import { filterOf } from "../filter";
import { useRows } from "../rows";

const PAGE = 50;
/** How often a live list asks again. */
const LIVE_MS = 2000;

export function Traces() {
  useTitle("Traces");
  const [range, setRange] = useRange();
  const [status, setStatus] = useParam("status");
  const [live, setLive] = useParam("live");
  const [q, setQ] = useParam("q", false);
  const filter = filterOf(range, status);
  const traces = useInfiniteQuery({
    queryKey: ["traces", intake(""), filter, q],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => ask<Page<Trace>>(withQuery(intake("/traces"), { cursor: pageParam, page_size: PAGE, mode: "preview", filter, q: q || undefined }), { signal }),
    getNextPageParam: (last) => last.next_cursor || undefined,
    // whoever has gone further back reads, and nothing moves
    refetchInterval: (query) => (live && (query.state.data?.pages.length ?? 0) < 2 ? LIVE_MS : false),
  });
  const rows = useMemo(() => traces.data?.pages.flatMap((page) => page.data) ?? [], [traces.data]);
  return (
    <>
      <Histogram range={range} onZoom={(since, until) => setRange(`${since}-${until}`)} />
      <div className="filters">
        <Search q={q} setQ={setQ} />
        <div className="segments" role="group" aria-label="Status">
          {[["", "All"], ["error", "Failed"], ["success", "OK"]].map(([value, label]) => (
            <button key={value} type="button" aria-pressed={status === value} onClick={() => setStatus(value)}>{label}</button>
          ))}
        </div>
        <button type="button" aria-pressed={live !== ""} className={live ? "live on" : "live"} onClick={() => setLive(live ? "" : "1")} title="Show traces as they come">Live</button>
      </div>
      <Facets filter={filter} q={q} add={(term) => setQ(q.includes(term) ? q.replace(term, "").trim() : `${q} ${term}`.trim())} />
      {traces.isPending ? <Loading what="Looking for traces" />
        : traces.isError ? <Failed error={traces.error} again={() => void traces.refetch()} />
        : rows.length === 0 ? <Nothing range={range} status={status || q} showAll={() => setRange("all")} />
        : <List rows={rows} />}
      {traces.hasNextPage && (
        <div className="more-rows">
          <button type="button" disabled={traces.isFetchingNextPage} onClick={() => void traces.fetchNextPage()}>
            {traces.isFetchingNextPage ? "Loading…" : "Show more"}
          </button>
        </div>
      )}
    </>
  );
}

/** The search, which is asked when Enter is pressed. */
function Search({ q, setQ }: { q: string; setQ: (q: string) => void }) {
  const [text, setText] = useState(q);
  useEffect(() => setText(q), [q]);
  return (
    <form className="search" role="search" onSubmit={(event) => { event.preventDefault(); setQ(text.trim()); }}>
      <Icon name="search" size={14} />
      <input type="search" aria-label="Search traces" placeholder="Search: model:gpt-5*  cost:>0.1  duration:>2s  has:error  &quot;some words&quot;" value={text} onChange={(event) => setText(event.target.value)} />
    </form>
  );
}

const FACETS: [string, string][] = [["model", "Model"], ["service", "Service"], ["user", "User"], ["agent", "Agent"], ["tool", "Tool"]];

/** The commonest values of what one may search for: a click adds it to the search, another takes it away. */
function Facets({ filter, q, add }: { filter: string | undefined; q: string; add: (term: string) => void }) {
  const asked = useQuery({
    queryKey: ["facets", intake(""), filter, q],
    queryFn: ({ signal }) => ask<{ facets: Record<string, { value: string; traces: number }[]> }>(withQuery(intake("/traces/facets"), { fields: FACETS.map(([name]) => name).join(","), limit: 5, filter: filter ?? '{"started_at":{"$gte":"1970-01-01T00:00:00Z"}}', q: q || undefined }), { signal }),
    placeholderData: (before) => before,
    retry: false,
  });
  const shown = FACETS.flatMap(([name, label]) => {
    const values = (asked.data?.facets[name] ?? []).filter((one) => one.value);
    return values.length > 0 ? [[name, label, values] as const] : [];
  });
  if (shown.length === 0) return null;
  return (
    <div className="facets" aria-label="Narrow the search">
      {shown.map(([name, label, values]) => (
        <div key={name}>
          <span className="dim">{label}</span>
          {values.map((one) => {
            const term = `${name}:${JSON.stringify(one.value)}`;
            return <button key={one.value} type="button" className="chip" aria-pressed={q.includes(term)} onClick={() => add(term)}>{oneLine(one.value, 30)} <span className="dim">{count(one.traces)}</span></button>;
          })}
        </div>
      ))}
    </div>
  );
}

function Nothing({ range, status, showAll }: { range: Range; status: string; showAll: () => void }) {
  if (status) return <Empty title="No trace is like this"><p>Search for something else, or choose a longer time.</p></Empty>;
  const base = window.location.origin.replace(/:4319$/, ":4318");
  return (
    <Empty title={range.name === "all" ? "Nothing has arrived yet" : "No traces in this time"}>
      {range.name !== "all" && <p><button type="button" className="primary" onClick={showAll}>Show all time</button></p>}
      <p>Send an application’s spans by OpenTelemetry:</p>
      <Paste text={`export OTEL_EXPORTER_OTLP_ENDPOINT=${base} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`} />
      <p>or try it with a single call:</p>
      <Paste text={`curl -s ${base}/apis/intake/v2/workspaces/default/ingest/chat-completions -H 'Content-Type: application/json' -d '{"request":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Capital of Peru?"}]},"response":{"id":"chatcmpl-1","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Lima."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}'`} />
    </Empty>
  );
}

function Histogram({ range, onZoom }: { range: Range; onZoom: (since: number, until: number) => void }) {
  const { asked, times, width, number, since, until, bounds } = useSeries(range);
  const points = asked.data?.rows;
  const series = useMemo(() => {
    const of = (value: (point: Point) => number) => filled(points ?? [], number, value as (point: never) => number, 0);
    return [
      { name: "Failed calls", color: "--error", values: of((point) => point.errors) },
      { name: "Model calls", color: "--c1", values: of((point) => point.calls - point.errors) },
    ];
  }, [points, number]);
  const all = bounds.all && (bounds.all.rows[0] ?? { calls: 0, errors: 0, total_tokens: null, cost: null, p95: null });
  return (
    <section className="panel histogram" aria-label="Model calls over time">
      <div className="figures">
        <dl>
          <div><dt>Model calls</dt><dd title={exact(all?.calls)}>{count(all?.calls)}</dd></div>
          <div><dt>Failed</dt><dd className={all?.errors ? "error" : ""}>{all ? percent(all.errors, all.calls || 1) : "–"}</dd></div>
          <div><dt>Tokens</dt><dd>{count(all?.total_tokens)}</dd></div>
          <div><dt>Cost</dt><dd>{money(all?.cost)}</dd></div>
          <div><dt>p95 latency</dt><dd>{duration(all?.p95)}</dd></div>
        </dl>
        <ShowSql of={[bounds.all, asked.data]} />
      </div>
      {asked.isError ? <Failed error={asked.error} /> : (
        <Plot title="Model calls over time" times={times} series={series} format={count} kind="bars" isStacked height={96} step={width} range={[since, until]} onZoom={onZoom} />
      )}
    </section>
  );
}

function List({ rows }: { rows: Trace[] }) {
  const ids = rows.map((row) => row.id);
  const facts = useFacts(ids);
  const longest = Math.max(...rows.map((row) => row.duration_ms ?? 0), 1);
  const table = useRef<HTMLTableElement>(null);
  useRows(table, rows.length);
  return (
    <div className="panel table-box">
      <table className="rows traces" ref={table}>
        <thead>
          <tr><th>Time</th><th>Trace</th><th className="wide">Input and output</th><th>Model</th><th className="number">Duration</th><th className="number">Tokens</th><th className="number">Cost</th></tr>
        </thead>
        <tbody>
          {rows.map((row) => <Row key={row.id} row={row} facts={facts.get(row.id)} longest={longest} />)}
        </tbody>
      </table>
    </div>
  );
}

/** What the list shows beside what the read API answers: asked a page at a time, so that what is known is not asked again. */
function useFacts(ids: string[]): Map<string, Facts> {
  const [known, setKnown] = useState(new Map<string, Facts>());
  const missing = ids.filter((id) => !known.has(id)).slice(0, PAGE * 2);
  const asked = useQuery({
    queryKey: ["facts", own(""), missing.join(",")],
    queryFn: ({ signal }) => ask<Rows<Facts>>(withQuery(own("/traces/facts"), { ids: missing.join(",") }), { signal }),
    enabled: missing.length > 0,
  });
  useEffect(() => {
    if (asked.data) setKnown((before) => new Map([...before, ...asked.data.rows.map((row) => [row.trace_id, row] as const)]));
  }, [asked.data]);
  return known;
}

function Row({ row, facts, longest }: { row: Trace; facts: Facts | undefined; longest: number }) {
  const to = path("trace", row.id);
  const input = facts?.input || (facts ? "" : oneLine(row.input ?? "", 160));
  const output = facts?.output || (facts ? "" : oneLine(row.output ?? "", 160));
  const models = facts?.models ?? [];
  return (
    <tr tabIndex={-1} data-href={to} onClick={(event) => !(event.target as HTMLElement).closest("a") && go(address(to))}>
      <td className="nowrap dim"><Time ms={Date.parse(row.started_at)} /></td>
      <td className="title">
        <Link to={to} className="strong">{row.status === "error" && <span className="mark error" title="Failed" />}{row.name || row.id.slice(0, 8)}</Link>
        <span className="sub">
          {[facts?.service, ...(facts?.agents ?? []), facts?.user].filter(Boolean).slice(0, 3).join(" · ") || plural(row.span_count ?? 0, "span")}
          {(row.error_count ?? 0) > 0 && <span className="error"> · {plural(row.error_count ?? 0, "error")}</span>}
          {row.is_orphan && <span title="Its root has not arrived"> · no root</span>}
        </span>
      </td>
      <td className="wide">
        {input && <span className="line">{oneLine(input, 160)}</span>}
        {output && <span className="line dim"><Icon name="chevron" size={11} />{oneLine(output, 160)}</span>}
      </td>
      <td><span className="chips">{models.slice(0, 1).map((model) => <span key={model} className="chip" title={models.join(", ")}>{model}</span>)}{models.length > 1 && <span className="dim" title={models.join(", ")}>+{models.length - 1}</span>}</span></td>
      <td className="number nowrap">
        {duration(row.duration_ms === undefined ? null : row.duration_ms * 1e6)}
        <span className="bar"><i className={row.status === "error" ? "error" : ""} style={{ width: `${((row.duration_ms ?? 0) / longest) * 100}%` }} /></span>
      </td>
      <td className="number nowrap" title={facts ? `${count(row.input_tokens)} in (${count(facts.cached_tokens)} cached), ${count(row.output_tokens)} out` : undefined}>
        {count(row.total_tokens)}
        {facts && facts.calls > 0 && <span className="sub">{plural(facts.calls, "call")}</span>}
      </td>
      <td className="number nowrap">
        {money(row.cost_usd)}
        {facts && facts.unpriced > 0 ? <span className="sub" title="Some calls have no price">{facts.unpriced} unpriced</span>
          : facts && facts.computed > 0 ? <span className="sub" title="Computed from the book of prices">computed</span> : null}
      </td>
    </tr>
  );
}
