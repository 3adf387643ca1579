/** What calls cost: over time, by whom, and how sure that is. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, own, withQuery, type Keyed, type Point, type Rows } from "../api";
import { count, money, percent } from "../format";
import { filled, Legend, Plot, type Series } from "../plot";
import { setParams, useParam } from "../router";
import { Nothing } from "./nothing";
import { budgetOf, DAY_MS, savedNote, savings, spentNote, type Saved } from "../budget";
import { useRange } from "../range";
import { useSeries } from "../series";
import { Failed, Figure, Key, Loading, Paste, ShowSql, TableBox, useTitle } from "../ui";

export const COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8", "--c9"];
const KEYS: [string, string][] = [["model", "Model"], ["user", "User"], ["session", "Session"], ["agent", "Agent"], ["service", "Service"], ["provider", "Provider"], ["source", "Source"]];

export function Cost() {
  useTitle("Cost");
  const [range, setRange] = useRange();
  const [by] = useParam("by");
  const key = KEYS.find(([name]) => name === by)?.[0] ?? "model";
  const points = useSeries(range, key);
  const { since, until } = points;
  const values = { since: points.bounds.since, until: points.bounds.until, by: key };
  const table = useQuery({ queryKey: ["breakdown", own(""), values], queryFn: ({ signal }) => ask<Rows<Keyed>>(withQuery(own("/calls/breakdown"), values), { signal }), enabled: points.bounds.all !== undefined, placeholderData: (before) => before });
  const saved = useQuery({ queryKey: ["savings", own(""), values.since, values.until], queryFn: ({ signal }) => ask<Rows<Saved>>(withQuery(own("/calls/savings"), { since: values.since, until: values.until }), { signal }), enabled: points.bounds.all !== undefined, placeholderData: (before) => before });
  const [budgetText, setBudget] = useParam("budget");
  const budget = budgetOf(budgetText);
  const all = points.bounds.all?.rows[0];
  const rows = points.asked.data?.rows;
  const cost = useMemo(() => keyed(rows ?? [], points.number, (point) => point.cost ?? 0), [rows, points.number]);
  const kinds = useMemo(() => tokenKinds(rows ?? [], points.number), [rows, points.number]);
  const error = points.bounds.error ?? points.asked.error ?? table.error;
  if (error) return <Failed error={error} />;
  if (!points.bounds.all) return <Loading what="Adding up" of={[["bounds"], ["series"]]} />;
  if (!all) return <Nothing what="model calls" range={range} showAll={() => setRange("all")} />;
  const zoom = (from: number, to: number) => setRange(`${from}-${to}`);
  return (
    <>
      <div className="cards">
        <Figure name="Cost" value={money(all.cost)} note={`${money(perCall(all))} a call${all.unpriced > 0 ? " with a cost" : ""}`} />
        <Figure name="Given by senders" value={money(all.cost_given)} note={all.cost_given ? percent(all.cost_given, all.cost) : "no sender gave any"} />
        <Figure name="Computed" value={money(all.cost_computed)} note={all.cost_computed ? percent(all.cost_computed, all.cost) : "from the book of prices"} />
        <Figure name="Calls without a price" value={count(all.unpriced)} note={`of ${count(all.calls)}`} tone={all.unpriced > 0 ? "bad" : ""} />
        <Figure name="Read from caches" value={percent(all.cache_read_tokens, all.input_tokens)} note={shareNote(all.cache_read_tokens, all.input_tokens, "tokens in")} />
        <Figure name="Saved by caches" value={money(savings(saved.data?.rows))} note={savedNote(saved.data?.rows)} />
        <Figure name="Reasoning" value={percent(all.reasoning_tokens, all.output_tokens)} note={shareNote(all.reasoning_tokens, all.output_tokens, "tokens out")} />
      </div>
      <div className="segments" role="group" aria-label="By">
        {KEYS.map(([name, label]) => <button key={name} type="button" aria-pressed={name === key} onClick={() => setParams({ by: name === "model" ? undefined : name })}>{label}</button>)}
      </div>
      <div className="grid2">
        <section className="panel block">
          <header><h2>US dollars over time</h2><Budget text={budgetText} set={setBudget} /><ShowSql of={[points.bounds.all, points.asked.data, saved.data]} /></header>
          <Plot title="Cost over time" times={points.times} series={cost} format={money} kind="bars" isStacked step={points.width} range={[since, until]} onZoom={zoom} limit={budget === null ? null : (budget * points.width) / DAY_MS} />
          <Legend series={cost} />
          {budget !== null && <p className="note">{spentNote(all.cost ?? 0, budget, points.bounds.until - points.bounds.since)}</p>}
        </section>
        <section className="panel block">
          <header><h2>Tokens over time</h2></header>
          <Plot title="Tokens over time" times={points.times} series={kinds} format={count} kind="bars" isStacked step={points.width} range={[since, until]} onZoom={zoom} />
          <Legend series={kinds} />
        </section>
      </div>
      <section className="panel block">
        <header><h2>By {KEYS.find(([name]) => name === key)![1].toLowerCase()}</h2><ShowSql of={[table.data]} /></header>
        <Breakdown rows={table.data?.rows ?? []} by={key} total={all.cost ?? 0} />
      </section>
      {all.unpriced > 0 && <Unpriced since={values.since} until={values.until} />}
    </>
  );
}

function shareNote(part: number | null, whole: number | null, of: string): string {
  return part === null ? `of ${count(whole)} ${of}, no call says` : `${count(part)} of ${count(whole)} ${of}`;
}

/** A budget, which the URL keeps. */
function Budget({ text, set }: { text: string; set: (value: string | undefined) => void }) {
  return (
    <label className="budget">Budget a day, $
      <input type="number" min="0" step="any" inputMode="decimal" value={text} onChange={(event) => set(event.target.value || undefined)} />
    </label>
  );
}

/** Models whose calls have no price, and how to find one. */
function Unpriced({ since, until }: { since: number; until: number }) {
  const values = { since, until, by: "model" };
  const asked = useQuery({ queryKey: ["breakdown", own(""), values], queryFn: ({ signal }) => ask<Rows<Keyed>>(withQuery(own("/calls/breakdown"), values), { signal }), placeholderData: (before) => before });
  const rows = asked.data?.rows.filter((row) => row.unpriced > 0) ?? [];
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  if (rows.length === 0) return null;
  return (
    <section className="panel block">
      <header><h2>Models without a price</h2><ShowSql of={[asked.data]} /></header>
      <p className="note">The line says which price a call would have. A price of your own goes into <code>prices.overrides</code> of the configuration; then <code>millrace prices reprice</code> gives calls that are stored theirs.</p>
      <TableBox label="Models without a price">
        <table className="rows">
          <thead><tr><th>Model</th><th className="number">Calls without a price</th><th className="number">of</th><th className="number">Tokens</th><th>Which price would match</th></tr></thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.key}>
                <td className="value"><Key by="model" value={row.key} /></td>
                <td className="number">{count(row.unpriced)}</td>
                <td className="number dim">{count(row.calls)}</td>
                <td className="number">{count(row.total_tokens)}</td>
                <td>{row.total_tokens === null ? <span className="dim">none: its calls tell of no tokens</span> : PLAIN.test(row.key) ? <Paste text={`millrace prices resolve --model ${row.key} --input 1000 --output 100`} /> : <span className="dim">a call needs the name of its model</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </TableBox>
    </section>
  );
}

/** Keys by which traces are searched. */
const SEARCHED = new Set(["model", "user", "session", "agent", "service", "provider"]);

/** Names of models that can stand in a line to paste as they are. */
const PLAIN = /^[A-Za-z0-9._:/@-]+$/;

/** A series for each key, the dearest first. */
export function keyed(rows: Point[], number: number, value: (point: Point) => number): Series[] {
  const keys = new Map<string, Point[]>();
  for (const row of rows) {
    const key = row.key ?? "";
    if (!keys.has(key)) keys.set(key, []);
    keys.get(key)!.push(row);
  }
  const sum = (points: Point[]) => points.reduce((all, point) => all + value(point), 0);
  const sorted = [...keys].sort((one, other) => Number(one[0] === "other") - Number(other[0] === "other") || sum(other[1]) - sum(one[1]));
  return sorted.map(([name, points], at) => ({ name: name || "(none)", color: name === "other" ? "--c9" : COLORS[at % 8]!, values: filled(points, number, value as (point: never) => number, 0) }));
}

function tokenKinds(rows: Point[], number: number): Series[] {
  const sums = { fresh: new Array<number>(number).fill(0), cached: new Array<number>(number).fill(0), answer: new Array<number>(number).fill(0), reasoning: new Array<number>(number).fill(0) };
  for (const row of rows) {
    if (row.bucket < 0 || row.bucket >= number) continue;
    const at = row.bucket;
    sums.fresh[at]! += (row.input_tokens ?? 0) - (row.cache_read_tokens ?? 0);
    sums.cached[at]! += row.cache_read_tokens ?? 0;
    sums.answer[at]! += (row.output_tokens ?? 0) - (row.reasoning_tokens ?? 0);
    sums.reasoning[at]! += row.reasoning_tokens ?? 0;
  }
  return [
    { name: "In", color: "--c1", values: sums.fresh },
    { name: "In, from a cache", color: "--c6", values: sums.cached },
    { name: "Out", color: "--c3", values: sums.answer },
    { name: "Out, reasoning", color: "--c2", values: sums.reasoning },
  ];
}

/** What a call cost on average, of those whose cost is known. */
function perCall({ cost, calls, unpriced }: { cost: number | null; calls: number; unpriced: number }): number | null {
  return cost === null || calls <= unpriced ? null : cost / (calls - unpriced);
}

function Breakdown({ rows, by, total }: { rows: Keyed[]; by: string; total: number }) {
  return (
    <TableBox label="Cost by key">
      <table className="rows">
        <thead><tr><th>{KEYS.find(([name]) => name === by)?.[1]}</th><th className="number">Cost</th><th>Share</th><th className="number">Calls</th><th className="number">A call</th><th className="number">Tokens in</th><th className="number">Cached</th><th className="number">Tokens out</th><th className="number">Reasoning</th><th>Cost is</th></tr></thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.key}>
              <td className="value">{SEARCHED.has(by) ? <Key by={by} value={row.key} /> : row.key || <span className="dim">(none)</span>}</td>
              <td className="number strong">{money(row.cost)}</td>
              <td><span className="share" title={percent(row.cost, total)}><i className="cc1" style={{ width: `${total > 0 ? ((row.cost ?? 0) / total) * 100 : 0}%` }} /></span></td>
              <td className="number">{count(row.calls)}</td>
              <td className="number">{money(perCall(row))}</td>
              <td className="number">{count(row.input_tokens)}</td>
              <td className="number dim">{percent(row.cache_read_tokens, row.input_tokens)}</td>
              <td className="number">{count(row.output_tokens)}</td>
              <td className="number dim">{percent(row.reasoning_tokens, row.output_tokens)}</td>
              <td className="dim nowrap">{[(row.cost_given ?? 0) > 0 && "given", (row.cost_computed ?? 0) > 0 && "computed", row.unpriced > 0 && `unknown for ${count(row.unpriced)}`].filter(Boolean).join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  );
}
