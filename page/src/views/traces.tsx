/** The traces of a time: how many calls there were, and a line for each trace. */
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { ApiError, ask, intake, own, withQuery, type Facts, type Page, type Point, type Rows, type Trace } from "../api";
import { count, duration, exact, money, noun, oneLine, percent, plural } from "../format";
import { filled, Plot } from "../plot";
import { useRange, type Range } from "../range";
import { useBounds, useSeries } from "../series";
import { address, go, path, useParam } from "../router";
import { AskSql, Empty, Failed, Icon, Link, Loading, Models, Names, Said, ShowSql, TableBox, Time, useTitle } from "../ui";
import { ColumnChoice, Heads, useColumns, useWidths } from "../columns";
import { filterOf } from "../filter";
import { useTail } from "../live";
import { Peek, usePeekKeys } from "./peek";
import { isJson } from "../message";
import { useRows } from "../rows";
import { Search } from "../search";
import { Nothing } from "./nothing";

const PAGE = 50;
/** Pixels of the list from which on somebody reads it. */
const READS_FROM = 300;

export function Traces() {
  useTitle("Traces");
  const [range, setRange] = useRange();
  const [status, setStatus] = useParam("status");
  const [live, setLive] = useParam("live");
  const [q, setQ] = useParam("q", false);
  const [peek, setPeek] = useParam("peek");
  const client = useQueryClient();
  const filter = filterOf(range, status, q);
  const values = { page_size: PAGE, mode: "preview", filter, q: q || undefined };
  const traces = useInfiniteQuery({
    queryKey: ["traces", intake(""), filter, q],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => ask<Page<Trace>>(withQuery(intake("/traces"), { cursor: pageParam, ...values }), { signal }),
    getNextPageParam: (last) => last.next_cursor || undefined,
  });
  const { refetch } = traces;
  const pages = traces.data?.pages.length ?? 0;
  const [hasNew, setNew] = useState(false);
  const isOpen = useTail(live !== "", () => {
    // whoever has gone further back reads, and nothing moves
    if (pages > 1 || window.scrollY > READS_FROM) setNew(true);
    else void refetch();
    for (const key of ["bounds", "series", "histogram", "facets"]) void client.invalidateQueries({ queryKey: [key] });
  });
  // whatever asks for the list anew has brought what is newer
  useEffect(() => setNew(false), [traces.isRefetching, filter, q, live]);
  const rows = useMemo(() => traces.data?.pages.flatMap((page) => page.data) ?? [], [traces.data]);
  const zoom = (since: number, until: number) => setRange(`${since}-${until}`);
  return (
    <>
      {q || status ? <FoundOverTime range={range} status={status} q={q} onZoom={zoom} isSaid={traces.isError} /> : <Histogram range={range} onZoom={zoom} isSaid={traces.isError} />}
      <div className="filters">
        <Search of="traces" q={q} setQ={setQ} error={traces.error} />
        <div className="segments" role="group" aria-label="Status">
          {[["", "All"], ["error", "Failed"], ["success", "OK"]].map(([value, label]) => (
            <button key={value} type="button" aria-pressed={status === value} onClick={() => setStatus(value)}>{label}</button>
          ))}
        </div>
        <button type="button" aria-pressed={live !== ""} className={isOpen ? "live on" : "live"} onClick={() => setLive(live ? "" : "1")} title="Show traces as they are stored">Live</button>
        <ColumnChoice />
        <AskSql of={[withQuery(intake("/traces"), { cursor: "", ...values }), facetsUrl(filter, q)]} />
      </div>
      <Facets filter={filter} q={q} add={(term) => setQ(q.includes(term) ? q.replace(term, "").trim() : `${q} ${term}`.trim())} />
      {traces.isPending ? <Loading what="Looking for traces" of={[["traces"]]} />
        : traces.isError ? <Failed error={traces.error} again={() => void traces.refetch()} />
        : rows.length === 0 ? (status || q) ? <Empty title="No trace is like this"><p>Search for something else, or choose a longer time.</p></Empty>
        : <Nothing what="traces" range={range} showAll={() => setRange("all")} />
        : (
          <>
          {hasNew && <button type="button" className="new" onClick={() => { setNew(false); window.scrollTo({ top: 0 }); void client.resetQueries({ queryKey: ["traces"] }); }}>There are newer traces. Show them</button>}
          <div className={peek ? "list-and-peek open" : "list-and-peek"}>
            <List rows={rows} peek={peek} setPeek={setPeek} />
            {peek && <Peek id={peek} close={() => setPeek("")} />}
          </div>
          </>
        )}
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

const FACETS: [string, string][] = [["model", "Model"], ["service", "Service"], ["user", "User"], ["agent", "Agent"], ["tool", "Tool"]];

/** The commonest values of what one may search for: a click adds it to the search, another takes it away. */
function facetsUrl(filter: string | undefined, q: string): string {
  return withQuery(intake("/traces/facets"), { fields: FACETS.map(([name]) => name).join(","), limit: 5, filter: filter ?? '{"started_at":{"$gte":"1970-01-01T00:00:00Z"}}', q: q || undefined });
}

function Facets({ filter, q, add }: { filter: string | undefined; q: string; add: (term: string) => void }) {
  const asked = useQuery({
    queryKey: ["facets", intake(""), filter, q],
    queryFn: ({ signal }) => ask<{ facets: Record<string, { value: string; traces: number }[]> }>(facetsUrl(filter, q), { signal }),
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
            return <button key={one.value} type="button" className="chip" aria-pressed={q.includes(term)} onClick={() => add(term)} title={one.value}><bdi>{oneLine(one.value, 30)}</bdi> <span className="dim">{count(one.traces)}</span></button>;
          })}
        </div>
      ))}
    </div>
  );
}

interface OverTime {
  range: Range;
  onZoom: (since: number, until: number) => void;
  /** What is wrong is said where the list would be, and once is enough. */
  isSaid: boolean;
}

function Histogram({ range, onZoom, isSaid }: OverTime) {
  const client = useQueryClient();
  const { asked, times, width, number, since, until, bounds } = useSeries(range);
  const points = asked.data?.rows;
  const series = useMemo(() => {
    const of = (value: (point: Point) => number) => filled(points ?? [], number, value as (point: never) => number, 0);
    return [
      { name: "Failed calls", color: "--error", values: of((point) => point.errors) },
      { name: "Model calls", color: "--c1", values: of((point) => point.calls - point.errors) },
    ];
  }, [points, number]);
  const error = bounds.error ?? asked.error;
  if (error && isSaid) return null;
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
      {error ? <div className="pad-box"><Failed error={error} again={() => void client.invalidateQueries({ queryKey: [bounds.error ? "bounds" : "series"] })} /></div> : (
        <Plot title="Model calls over time" times={times} series={series} format={count} kind="bars" isStacked height={96} step={width} range={[since, until]} onZoom={onZoom} />
      )}
    </section>
  );
}

interface Bucket { at: string; traces: number; errors: number }

/** How many of the traces that are found began when. */
function FoundOverTime({ range, status, q, onZoom, isSaid }: OverTime & { status: string; q: string }) {
  const bounds = useBounds(range);
  // of all time: from the first call on
  const filter = filterOf({ since: range.since ?? bounds.since, until: range.until }, status);
  const url = withQuery(intake("/traces/histogram"), { filter, q: q || undefined });
  const asked = useQuery({
    queryKey: ["histogram", url],
    queryFn: ({ signal }) => ask<{ since: string; until: string; bucket_seconds: number; data: Bucket[] }>(url, { signal }),
    enabled: range.since !== null || bounds.all !== undefined,
    placeholderData: (before) => before,
    retry: false,
  });
  const data = asked.data?.data;
  const drawn = useMemo(() => ({
    times: (data ?? []).map((one) => Date.parse(one.at)),
    series: [
      { name: "Failed", color: "--error", values: (data ?? []).map((one) => one.errors) },
      { name: "Traces found", color: "--c1", values: (data ?? []).map((one) => one.traces - one.errors) },
    ],
  }), [data]);
  const error = bounds.error ?? asked.error;
  if (error && (isSaid || (error instanceof ApiError && error.status === 400))) return null;
  const sum = (of: (one: Bucket) => number) => (data ? data.reduce((all, one) => all + of(one), 0) : null);
  const width = (asked.data?.bucket_seconds ?? 1) * 1000;
  return (
    <section className="panel histogram" aria-label="Traces found over time">
      <div className="figures">
        <dl>
          <div><dt>Traces found</dt><dd title={exact(sum((one) => one.traces))}>{count(sum((one) => one.traces))}</dd></div>
          <div><dt>Failed</dt><dd className={sum((one) => one.errors) ? "error" : ""}>{count(sum((one) => one.errors))}</dd></div>
        </dl>
        <AskSql of={[url]} />
      </div>
      {error ? <div className="pad-box"><Failed error={error} again={() => void asked.refetch()} /></div> : drawn.times.length > 0 && (
        <Plot title="Traces found over time" times={drawn.times} series={drawn.series} format={count} kind="bars" isStacked height={96} step={width} range={[drawn.times[0]!, drawn.times[drawn.times.length - 1]! + width]} onZoom={onZoom} />
      )}
    </section>
  );
}

function List({ rows, peek, setPeek }: { rows: Trace[]; peek: string; setPeek: (id: string) => void }) {
  const ids = rows.map((row) => row.id);
  const facts = useFacts(ids);
  const longest = Math.max(...rows.map((row) => row.duration_ms ?? 0), 1);
  const table = useRef<HTMLTableElement>(null);
  const [columns] = useColumns();
  const [widths] = useWidths();
  useRows(table, rows.length);
  usePeekKeys(table, peek, setPeek);
  return (
    <TableBox label="Traces" className="panel">
      <table className={widths.size > 0 ? "rows traces sized" : "rows traces"} ref={table}>
        <thead>
          <Heads columns={columns} />
        </thead>
        <tbody>
          {rows.map((row) => {
            const to = path("trace", row.id);
            return (
              <tr key={row.id} tabIndex={-1} data-href={to} data-id={row.id} className={row.id === peek ? "chosen" : undefined} onClick={(event) => !(event.target as HTMLElement).closest("a, button") && go(address(to))}>
                {columns.map((column) => <Cell key={column.name} column={column.name} row={row} facts={facts.get(row.id)} longest={longest} peek={() => setPeek(row.id === peek ? "" : row.id)} />)}
              </tr>
            );
          })}
        </tbody>
      </table>
    </TableBox>
  );
}

/** What the list shows beside what the read API answers: asked a page at a time, so that what is known is not asked again. */
export function useFacts(ids: string[]): Map<string, Facts> {
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

/** Messages as JSON are for nobody to read. */
function plain(text: string | undefined): string | undefined {
  return isJson(text) ? undefined : text;
}

/** A cell of the list. */
function Cell({ column, row, facts, longest, peek }: { column: string; row: Trace; facts: Facts | undefined; longest: number; peek: () => void }) {
  const to = path("trace", row.id);
  const models = facts?.models ?? [];
  const who = [facts?.service, ...(facts?.agents ?? []), facts?.user].filter((name): name is string => Boolean(name)).slice(0, 3);
  switch (column) {
    case "time": return <td className="nowrap dim"><Time ms={Date.parse(row.started_at)} /></td>;
    case "trace": return (
      <td className="title">
        <Link to={to} className="strong" title={row.name}>{row.status === "error" && <span className="mark error" title="Failed" />}<bdi>{row.name || row.id.slice(0, 8)}</bdi></Link>
        <button type="button" className="peek-button quiet" onClick={peek} title="Look at it here (p)" aria-label={`Look at ${row.name || row.id} here`}><Icon name="peek" size={14} /></button>
        <span className="sub">
          {who.length > 0 ? <Names of={who} /> : plural(row.span_count ?? 0, "span")}
          {(row.error_count ?? 0) > 0 && <span className="error"> · {plural(row.error_count ?? 0, "error")}</span>}
          {row.is_orphan && <span title="Its root has not arrived"> · no root</span>}
        </span>
      </td>
    );
    // what the list itself has stands there until the facts have come
    case "content": return <Said input={facts ? facts.input : plain(row.input)} output={facts ? facts.output : plain(row.output)} />;
    case "model": return <Models of={models} />;
    case "duration": return (
      <td className="number nowrap">
        {duration(row.duration_ms === undefined ? null : row.duration_ms * 1e6)}
        <span className="bar"><i className={row.status === "error" ? "error" : ""} style={{ width: `${((row.duration_ms ?? 0) / longest) * 100}%` }} /></span>
      </td>
    );
    case "ttft": return <td className="number nowrap">{duration(facts?.ttft)}</td>;
    case "tokens": return (
      <td className="number nowrap" data-unit="tokens" title={facts ? `${count(row.input_tokens)} in (${count(facts.cached_tokens)} cached), ${count(row.output_tokens)} out` : undefined}>
        {count(row.total_tokens)}
        {facts && facts.calls > 0 && <span className="sub">{plural(facts.calls, "call")}</span>}
      </td>
    );
    case "cost": return (
      <td className="number nowrap">
        {money(row.cost_usd)}
        {facts && facts.unpriced > 0 ? <span className="sub" title="Some calls have no price">{count(facts.unpriced)} unpriced</span>
          : facts && facts.computed > 0 ? <span className="sub" title="Computed from the book of prices">computed</span> : null}
      </td>
    );
    case "session": return <td className="nowrap">{row.session_id.startsWith("session-") ? <span className="dim">–</span> : <Link to={path("session", row.session_id)} title={row.session_id}><bdi>{oneLine(row.session_id, 24)}</bdi></Link>}</td>;
    case "user": return <td className="nowrap" title={facts?.user}><bdi>{oneLine(facts?.user ?? "", 32)}</bdi></td>;
    case "service": return <td className="nowrap" title={facts?.service}><bdi>{oneLine(facts?.service ?? "", 32)}</bdi></td>;
    case "agent": return <td className="nowrap" title={facts?.agents.join(", ")}><bdi>{oneLine(facts?.agents.join(", ") ?? "", 48)}</bdi></td>;
    case "spans": return <td className="number" data-unit={noun(row.span_count ?? 0, "span")}>{count(row.span_count)}</td>;
    case "errors": return <td className={row.error_count ? "number error" : "number"} data-unit={noun(row.error_count ?? 0, "error")}>{count(row.error_count)}</td>;
    case "id": return <td><code className="id">{row.id}</code></td>;
    default: return <td />;
  }
}
