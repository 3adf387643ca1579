/** How long calls take, and what fails. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, own, withQuery, type Keyed, type Point, type Rows } from "../api";
import { count, duration, oneLine, percent } from "../format";
import { filled, Legend, Plot, type Series } from "../plot";
import { path } from "../router";
import { useRange } from "../range";
import { useSeries } from "../series";
import { Empty, Failed, Figure, Key, Link, Loading, ShowSql, TableBox, Time, useTitle } from "../ui";
import { Nothing } from "./nothing";

interface Ended { error: string; finish: string; model: string; calls: number; last: number; message: string; trace_id: string; span_id: string }
interface Tool { key: string; calls: number; errors: number; p50: number | null; p95: number | null; longest: number; trace_id: string; span_id: string }

export function Latency() {
  useTitle("Latency and errors");
  const [range, setRange] = useRange();
  const points = useSeries(range);
  const { since, until } = points;
  const rows = points.asked.data?.rows;
  const values = { since: points.bounds.since, until: points.bounds.until };
  const isKnown = points.bounds.all !== undefined;
  const models = useQuery({ queryKey: ["breakdown", own(""), values, "model"], queryFn: ({ signal }) => ask<Rows<Keyed>>(withQuery(own("/calls/breakdown"), { ...values, by: "model" }), { signal }), enabled: isKnown, placeholderData: (before) => before });
  const ended = useQuery({ queryKey: ["errors", own(""), values], queryFn: ({ signal }) => ask<Rows<Ended>>(withQuery(own("/calls/errors"), values), { signal }), enabled: isKnown, placeholderData: (before) => before });
  const tools = useQuery({ queryKey: ["tools", own(""), values], queryFn: ({ signal }) => ask<Rows<Tool>>(withQuery(own("/tools"), values), { signal }), enabled: isKnown, placeholderData: (before) => before });
  const all = points.bounds.all?.rows[0];
  const latency = useMemo(() => lines(rows ?? [], points.number, [["p50", "--c1"], ["p95", "--c3"], ["p99", "--c5"]]), [rows, points.number]);
  const first = useMemo(() => lines(rows ?? [], points.number, [["ttft_p50", "--c4"], ["ttft_p95", "--c2"]]), [rows, points.number]);
  const failed = useMemo<Series[]>(() => [{ name: "Failed", color: "--error", values: filled(rows ?? [], points.number, ((point: Point) => point.errors) as (point: never) => number, 0) }], [rows, points.number]);
  const error = points.bounds.error ?? points.asked.error;
  if (error) return <Failed error={error} />;
  if (!points.bounds.all) return <Loading what="Measuring" of={[["bounds"], ["series"]]} />;
  if (!all) return <Nothing what="model calls" range={range} showAll={() => setRange("all")} />;
  const zoom = (from: number, to: number) => setRange(`${from}-${to}`);
  const plot = { times: points.times, step: points.width, range: [since, until] as [number, number], onZoom: zoom };
  const failures = ended.data?.rows.filter((row) => row.error) ?? [];
  const finishes = ended.data?.rows.filter((row) => !row.error) ?? [];
  return (
    <>
      <div className="cards">
        <Figure name="Latency, median" value={duration(all.p50)} note={`p95 ${duration(all.p95)}, p99 ${duration(all.p99)}`} />
        <Figure name="First token, median" value={duration(all.ttft_p50)} note={all.ttft_p50 === null ? "no call says" : `p95 ${duration(all.ttft_p95)}`} />
        <Figure name="Tokens a second" value={rate(all.tokens_per_second)} note="out, while a call runs" />
        <Figure name="Failed calls" value={percent(all.errors, all.calls)} note={`${count(all.errors)} of ${count(all.calls)}`} tone={all.errors > 0 ? "bad" : "good"} />
      </div>
      <div className="grid2">
        <section className="panel block"><header><h2>Latency of model calls</h2><ShowSql of={[points.bounds.all, points.asked.data]} /></header><Plot title="Latency over time" series={latency} format={duration} kind="lines" {...plot} /><Legend series={latency} /></section>
        <section className="panel block"><header><h2>Time to the first token</h2></header>
          {all.ttft_p50 === null ? <Empty title="No call says when its first token came"><p>Streamed calls do, if their sender measures it.</p></Empty> : <><Plot title="Time to first token" series={first} format={duration} kind="lines" {...plot} /><Legend series={first} /></>}
        </section>
      </div>
      <section className="panel block"><header><h2>Failed calls over time</h2></header><Plot title="Failed calls over time" series={failed} format={count} kind="bars" height={110} {...plot} /></section>
      <section className="panel block">
        <header><h2>By model</h2><ShowSql of={[models.data]} /></header>
        <TableBox label="By model">
          <table className="rows">
            <thead><tr><th>Model</th><th className="number">Calls</th><th className="number">Failed</th><th className="number">Median</th><th className="number">p95</th><th className="number">p99</th><th className="number">First token</th><th className="number">Tokens a second</th></tr></thead>
            <tbody>{models.data?.rows.map((row) => (
              <tr key={row.key}><td className="value"><Key by="model" value={row.key} /></td><td className="number">{count(row.calls)}</td><td className={row.errors > 0 ? "number error" : "number dim"}>{percent(row.errors, row.calls)}</td><td className="number">{duration(row.p50)}</td><td className="number">{duration(row.p95)}</td><td className="number">{duration(row.p99)}</td><td className="number">{duration(row.ttft_p50)}</td><td className="number">{rate(row.tokens_per_second)}</td></tr>
            ))}</tbody>
          </table>
        </TableBox>
      </section>
      <div className="grid2">
        <section className="panel block">
          <header><h2>What calls failed with</h2><ShowSql of={[ended.data]} /></header>
          {failures.length === 0 ? <Empty title="No call failed" /> : (
            <TableBox label="Failures"><table className="rows"><thead><tr><th>Error</th><th>Message</th><th className="number">Calls</th><th>Last</th></tr></thead><tbody>{failures.map((row) => (
              <tr key={`${row.error} ${row.model}`}><td className="value"><Link to={path("trace", row.trace_id)} query={{ span: row.span_id }} className="error strong" title={row.error}><bdi>{oneLine(row.error, 80)}</bdi></Link><span className="sub" title={row.model}><bdi>{oneLine(row.model, 80)}</bdi></span></td><td className="value" title={row.message}><bdi>{oneLine(row.message, 140)}</bdi></td><td className="number">{count(row.calls)}</td><td className="nowrap dim"><Time ms={row.last} /></td></tr>
            ))}</tbody></table></TableBox>
          )}
        </section>
        <section className="panel block">
          <header><h2>How calls ended</h2></header>
          <TableBox label="How calls ended"><table className="rows"><thead><tr><th>Reason</th><th>Model</th><th className="number">Calls</th></tr></thead><tbody>{finishes.map((row) => (
            <tr key={`${row.finish} ${row.model}`}><td>{row.finish || <span className="dim">not told</span>}</td><td className="value dim"><bdi>{row.model}</bdi></td><td className="number">{count(row.calls)}</td></tr>
          ))}</tbody></table></TableBox>
        </section>
      </div>
      <section className="panel block">
        <header><h2>Tools</h2><ShowSql of={[tools.data]} /></header>
        {tools.data?.rows.length === 0 ? <Empty title="No tool ran in this time" /> : (
          <TableBox label="Tools"><table className="rows">
            <thead><tr><th>Tool</th><th className="number">Runs</th><th className="number">Failed</th><th className="number">Median</th><th className="number">p95</th><th className="number">Longest</th></tr></thead>
            <tbody>{tools.data?.rows.map((row) => (
              <tr key={row.key}><td className="value"><Key by="tool" value={row.key} /></td><td className="number">{count(row.calls)}</td><td className={row.errors > 0 ? "number error" : "number dim"}>{percent(row.errors, row.calls)}</td><td className="number">{duration(row.p50)}</td><td className="number">{duration(row.p95)}</td><td className="number"><Link to={path("trace", row.trace_id)} query={{ span: row.span_id }}>{duration(row.longest)}</Link></td></tr>
            ))}</tbody>
          </table></TableBox>
        )}
      </section>
    </>
  );
}

function rate(tokens: number | null): string {
  return count(tokens === null ? null : Math.round(tokens));
}

type Measure = "p50" | "p95" | "p99" | "ttft_p50" | "ttft_p95";
const NAMES: Record<Measure, string> = { p50: "Median", p95: "p95", p99: "p99", ttft_p50: "Median", ttft_p95: "p95" };

function lines(rows: Point[], number: number, of: [Measure, string][]): Series[] {
  return of.map(([measure, color]) => ({ name: NAMES[measure], color, values: filled(rows, number, ((point: Point) => point[measure]) as (point: never) => number | null, null) }));
}
