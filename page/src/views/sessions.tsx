/** Sessions: what belongs together over several traces. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo, useRef } from "react";
import { ask, intake, withQuery, type Facts, type Page, type Trace } from "../api";
import { count, duration, money, noun, plural } from "../format";
import { Plot, type Series } from "../plot";
import { readable } from "../message";
import { address, go, path, useParam } from "../router";
import { useRange } from "../range";
import { filterOf } from "../filter";
import { useRows } from "../rows";
import { Search } from "../search";
import { AskSql, Empty, Failed, Figure, Link, Loading, Models, Names, Paste, Said, Status, TableBox, Tabs, Time, useTitle } from "../ui";
import { Conversation } from "./conversation";
import { useFacts } from "./traces";

interface Session {
  id: string; started_at: string; last_activity_at: string; trace_count: number; call_count: number; error_count: number;
  user_ids: string[]; models: string[]; total_tokens?: number; cost_usd?: number; input?: string; output?: string;
}

export function Sessions() {
  useTitle("Sessions");
  const [range, setRange] = useRange();
  const [q, setQ] = useParam("q", false);
  const filter = filterOf(range, "", q);
  const values = { page_size: 50, filter, q: q || undefined };
  const asked = useInfiniteQuery({
    queryKey: ["sessions", intake(""), filter, q],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => ask<Page<Session>>(withQuery(intake("/sessions"), { cursor: pageParam, ...values }), { signal }),
    getNextPageParam: (last) => last.next_cursor || undefined,
  });
  const rows = useMemo(() => asked.data?.pages.flatMap((page) => page.data) ?? [], [asked.data]);
  const table = useRef<HTMLTableElement>(null);
  useRows(table, rows.length);
  const list = () => (
    <>
      <TableBox label="Sessions" className="panel">
        <table className="rows traces" ref={table}>
          <thead><tr><th>Began</th><th>Session</th><th className="wide">First question and last answer</th><th>Model</th><th className="number">Traces</th><th className="number">Tokens</th><th className="number">Cost</th></tr></thead>
          <tbody>
            {rows.map((row) => {
              const to = path("session", row.id);
              return (
                <tr key={row.id} tabIndex={-1} data-href={to} onClick={(event) => !(event.target as HTMLElement).closest("a") && go(address(to))}>
                  <td className="nowrap dim"><Time ms={Date.parse(row.started_at)} /><span className="sub" title="From its first span to the end of its last">lasted {lasted(row)}</span></td>
                  <td className="title"><Link to={to} className="strong" title={row.id}><bdi>{row.id}</bdi></Link><span className="sub">{row.user_ids.length > 0 ? <Names of={row.user_ids} /> : plural(row.call_count, "call")}{row.error_count > 0 && <span className="error"> · {plural(row.error_count, "error")}</span>}</span></td>
                  <Said input={row.input} output={row.output} />
                  <Models of={row.models} />
                  <td className="number" data-unit={noun(row.trace_count, "trace")}>{count(row.trace_count)}<span className="sub">{plural(row.call_count, "call")}</span></td>
                  <td className="number" data-unit="tokens">{count(row.total_tokens)}</td>
                  <td className="number">{money(row.cost_usd)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </TableBox>
      {asked.hasNextPage && <div className="more-rows"><button type="button" disabled={asked.isFetchingNextPage} onClick={() => void asked.fetchNextPage()}>{asked.isFetchingNextPage ? "Loading…" : "Show more"}</button></div>}
    </>
  );
  return (
    <>
      <div className="filters"><Search of="sessions" q={q} setQ={setQ} error={asked.error} /><AskSql of={[withQuery(intake("/sessions"), { cursor: "", ...values })]} /></div>
      {asked.isPending ? <Loading what="Looking for sessions" of={[["sessions"]]} />
        : asked.isError ? <Failed error={asked.error} again={() => void asked.refetch()} />
        : rows.length > 0 ? list()
        : q ? <Empty title="No session is like this"><p>Search for something else, or choose a longer time.</p></Empty>
        : (
          <Empty title="No sessions in this time">
            {range.name !== "all" && <p><button type="button" className="primary" onClick={() => setRange("all")}>Show all time</button></p>}
            <p>A session is what spans have in common: give them an attribute.</p>
            <Paste text={'span.set_attribute("session.id", "anna-1")'} />
          </Empty>
        )}
    </>
  );
}

function lasted(row: Session): string {
  return duration((Date.parse(row.last_activity_at) - Date.parse(row.started_at)) * 1e6);
}

interface One { id: string; started_at: string; duration_ms?: number; status: string; trace_count: number; span_count: number; total_tokens?: number; input_tokens?: number; cost_usd?: number }

/** Traces of a session that are shown. */
const TURNS = 200;

export function SessionView({ id }: { id: string }) {
  useTitle(`Session ${id}`);
  const [tab, setTab] = useParam("tab");
  const session = useQuery({ queryKey: ["session", intake(""), id], queryFn: ({ signal }) => ask<One>(intake(`/sessions/${encodeURIComponent(id)}`), { signal }) });
  const filter = JSON.stringify({ session_id: id });
  const turns = useQuery({ queryKey: ["turns", intake(""), id], queryFn: ({ signal }) => ask<Page<Trace>>(withQuery(intake("/traces"), { filter, sort: "started_at", page_size: TURNS, mode: "preview" }), { signal }) });
  const facts = useFacts(turns.data?.data.map((row) => row.id) ?? []);
  if (session.isPending || turns.isPending) return <Loading what="Reading the session" of={[["session"], ["turns"]]} />;
  if (session.isError) return <Failed error={session.error} again={() => void session.refetch()} />;
  if (turns.isError) return <Failed error={turns.error} again={() => void turns.refetch()} />;
  const one = session.data;
  const rows = turns.data.data;
  const unpriced = [...facts.values()].reduce((all, row) => all + row.unpriced, 0);
  const isWhole = rows.length >= one.trace_count;
  // what its traces come to, all of whose calls belong together, although some spans name no session
  const sum = (value: (trace: Trace) => number | undefined) => (isWhole ? rows.reduce<number | undefined>((all, row) => (value(row) === undefined ? all : (all ?? 0) + value(row)!), undefined) : undefined);
  const [tokens, cost, spans] = [sum((row) => row.total_tokens) ?? one.total_tokens, sum((row) => row.cost_usd) ?? one.cost_usd, sum((row) => row.span_count) ?? one.span_count];
  return (
    <>
      <div className="trace-head"><div className="names"><h2 dir="auto" title={one.id}>{one.id}</h2><Status status={one.status} /><span className="dim"><Time ms={Date.parse(one.started_at)} /></span><AskSql of={[intake(`/sessions/${encodeURIComponent(id)}`), withQuery(intake("/traces"), { filter, sort: "started_at", page_size: TURNS, mode: "preview" })]} /></div></div>
      <div className="cards">
        <Figure name="Traces" value={count(one.trace_count)} note={plural(spans, "span")} />
        <Figure name="Lasted" value={duration(one.duration_ms === undefined ? null : one.duration_ms * 1e6)} />
        <Figure name="Tokens" value={count(tokens)} />
        <Figure name="Cost" value={money(cost)} note={unpriced > 0 ? `${plural(unpriced, "call")} without a price` : undefined} />
      </div>
      {rows.length > 1 && <Growth rows={rows} />}
      <Tabs label="session" tabs={[["traces", "Traces"], ["conversation", "Conversation"]]} chosen={tab === "conversation" ? "conversation" : "traces"} choose={(name) => setTab(name === "traces" ? "" : name)} />
      {tab === "conversation" ? <Conversation of="session" id={id} /> : (
      <section className="panel block">
        <header><h2>Traces</h2></header>
        <Turns rows={rows} facts={facts} />
        {one.trace_count > rows.length && <p className="note">The first {rows.length} of {plural(one.trace_count, "trace")}.</p>}
      </section>
      )}
    </>
  );
}

/** The traces of a session, with what was asked and answered. */
function Turns({ rows, facts }: { rows: Trace[]; facts: Map<string, Facts> }) {
  return (
    <TableBox label="Traces">
      <table className="rows traces">
        <thead><tr><th>Time</th><th>Trace</th><th className="wide">Input and output</th><th className="number">Duration</th><th className="number">Tokens</th><th className="number">Cost</th></tr></thead>
        <tbody>
          {rows.map((row) => {
            return (
              <tr key={row.id} data-href={path("trace", row.id)} onClick={(event) => !(event.target as HTMLElement).closest("a") && go(address(path("trace", row.id)))}>
                <td className="nowrap dim"><Time ms={Date.parse(row.started_at)} /></td>
                <td className="title"><Link to={path("trace", row.id)} className="strong" title={row.name}><bdi>{row.name || row.id.slice(0, 8)}</bdi></Link><span className="sub">{plural(row.span_count ?? 0, "span")}{(row.error_count ?? 0) > 0 && <span className="error"> · {plural(row.error_count ?? 0, "error")}</span>}</span></td>
                <Said input={readable(row.input, facts.get(row.id)?.input)} output={readable(row.output, facts.get(row.id)?.output)} />
                <td className="number nowrap">{duration(row.duration_ms === undefined ? null : row.duration_ms * 1e6)}</td>
                <td className="number" data-unit="tokens">{count(row.total_tokens)}</td>
                <td className="number">{money(row.cost_usd)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </TableBox>
  );
}

/** Whether prompts grow: tokens in, and what all turns together have cost so far. */
function Growth({ rows }: { rows: Trace[] }) {
  const times = useMemo(() => rows.map((row) => Date.parse(row.started_at)), [rows]);
  const tokens = useMemo<Series[]>(() => [{ name: "Tokens in", color: "--c1", values: rows.map((row) => row.input_tokens ?? null) }], [rows]);
  const cost = useMemo<Series[]>(() => {
    let sum = 0;
    return [{ name: "Cost so far", color: "--c3", values: rows.map((row) => (sum += row.cost_usd ?? 0)) }];
  }, [rows]);
  const [first, last] = [times[0]!, times[times.length - 1]!];
  const range = useMemo<[number, number]>(() => (last > first ? [first - (last - first) * 0.02, last + (last - first) * 0.02] : [first - 1000, first + 1000]), [first, last]);
  return (
    <div className="grid2">
      <section className="panel block"><header><h2>Tokens in, turn by turn</h2></header><Plot title="Tokens in by turn" times={times} series={tokens} format={count} kind="lines" height={130} step={1000} range={range} /></section>
      <section className="panel block"><header><h2>Cost so far</h2></header><Plot title="Cost so far" times={times} series={cost} format={money} kind="lines" height={130} step={1000} range={range} /></section>
    </div>
  );
}
