/** Experiments: what each comes to, and how it differs from the one chosen as the base. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, intake, type Page } from "../api";
import { count, duration, money } from "../format";
import { path, setParams, useParam } from "../router";
import { change, judged, type Compared, type Figures } from "../compare";
import { Ingest } from "./nothing";
import { AskSql, Empty, Failed, Figure, FromTo, Link, Loading, Paste, Status, TableBox, Time, useTitle } from "../ui";

interface Spread { sum: number; mean: number; median: number; p90: number; p95: number; p99: number; count: number }
interface Experiment {
  name: string; dataset_name: string; dataset_version?: string | null; description?: string | null; created_at: string; run_count: number;
  model_names: string[]; evaluator_names: string[]; aggregate_scores: Record<string, Spread>; cost_usd: Spread | null; latency_ms: Spread | null;
}
interface Run { session_id: string; test_case_id: string | null; trace_id: string; started_at: string; latency_ms: number | null; status: string; cost_total_usd: number | null; evaluator_scores: Record<string, number> }

export function Experiments({ name }: { name?: string }) {
  return name ? <One name={name} /> : <All />;
}

function All() {
  useTitle("Experiments");
  const [base] = useParam("base");
  const asked = useQuery({ queryKey: ["experiments", intake("")], queryFn: ({ signal }) => ask<Page<Experiment>>(intake("/experiments?page_size=100&sort=-created_at"), { signal }) });
  const scores = useMemo(() => [...new Set(asked.data?.data.flatMap((one) => Object.keys(one.aggregate_scores ?? {})) ?? [])].sort(), [asked.data]);
  if (asked.isPending) return <Loading what="Looking for experiments" of={[["experiments"]]} />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  if (asked.data.data.length === 0) {
    return (
      <Empty title="No experiments yet">
        <p>Make a group and an experiment in it, and send calls with the attribute <code>nemo.experiment.id</code>:</p>
        <Ingest>{(base, name) => <Paste text={`curl -s ${base}/apis/intake/v2/workspaces/${name}/experiment-groups -H 'Content-Type: application/json' -d '{"name": "prompts"}'`} />}</Ingest>
        <p className="dim">docs/read-api.md has the rest.</p>
      </Empty>
    );
  }
  const reference = asked.data.data.find((one) => one.name === base);
  const delta = (value: number | undefined, from: number | undefined, isBetterLow: boolean) => {
    if (value === undefined || from === undefined || value === from) return null;
    const isBetter = isBetterLow ? value < from : value > from;
    return <span className={isBetter ? "sub good" : "sub error"}>{value > from ? "+" : "−"}{Math.abs(from === 0 ? value : ((value - from) / from) * 100).toFixed(1)} %</span>;
  };
  return (
    <>
    <div className="row"><span className="push" /><AskSql of={[intake("/experiments?page_size=100&sort=-created_at")]} /></div>
    <TableBox label="Experiments" className="panel">
      <table className="rows">
        <thead><tr><th>Base</th><th>Experiment</th><th>Data set</th><th className="number">Runs</th>{scores.map((score) => <th key={score} className="number">{score}</th>)}<th className="number">Cost, mean</th><th className="number">Latency, median</th><th>Made</th></tr></thead>
        <tbody>
          {asked.data.data.map((one) => (
            <tr key={one.name}>
              <td><input type="radio" name="base" aria-label={`Compare with ${one.name}`} checked={one.name === base} onChange={() => setParams({ base: one.name })} /></td>
              <td><Link to={path("experiments", one.name)} query={{ base: base === one.name ? undefined : base }} className="strong">{one.name}</Link><span className="sub">{one.model_names?.join(", ")}</span></td>
              <td>{one.dataset_name}{one.dataset_version && <span className="sub">version {one.dataset_version}</span>}</td>
              <td className="number">{count(one.run_count)}</td>
              {scores.map((score) => <td key={score} className="number">{one.aggregate_scores?.[score] ? one.aggregate_scores[score].mean.toFixed(3) : "–"}{delta(one.aggregate_scores?.[score]?.mean, reference?.aggregate_scores?.[score]?.mean, false)}</td>)}
              <td className="number">{money(one.cost_usd?.mean)}{delta(one.cost_usd?.mean, reference?.cost_usd?.mean, true)}</td>
              <td className="number">{duration(one.latency_ms ? one.latency_ms.median * 1e6 : null)}{delta(one.latency_ms?.median, reference?.latency_ms?.median, true)}</td>
              <td className="dim nowrap"><Time ms={Date.parse(one.created_at)} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
    </>
  );
}

function One({ name }: { name: string }) {
  useTitle(name);
  const [base] = useParam("base");
  const asked = useQuery({ queryKey: ["runs", intake(""), name], queryFn: ({ signal }) => ask<Page<Run>>(intake(`/experiments/${encodeURIComponent(name)}/sessions?page_size=100`), { signal }) });
  if (asked.isPending) return <Loading what="Reading the runs" of={[["runs"]]} />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  const rows = asked.data.data;
  const scores = [...new Set(rows.flatMap((row) => Object.keys(row.evaluator_scores ?? {})))].sort();
  return (
    <>
      <div className="trace-head"><div className="names"><h2 dir="auto" title={name}>{name}</h2><Link to="/experiments" query={{ base }}>All experiments</Link><Baseline name={name} base={base} /></div></div>
      {base && base !== name && <Comparison name={name} base={base} />}
      <section className="panel block">
        <header><h2>Runs of {name}</h2><AskSql of={[intake(`/experiments/${encodeURIComponent(name)}/sessions?page_size=100`)]} /></header>
        {rows.length === 0 ? <Empty title="No session names this experiment yet" /> : (
          <TableBox label="Runs"><table className="rows">
            <thead><tr><th>Test case</th><th>Status</th>{scores.map((score) => <th key={score} className="number">{score}</th>)}<th className="number">Cost</th><th className="number">Latency</th><th>Trace</th></tr></thead>
            <tbody>{rows.map((row) => (
              <tr key={row.session_id}>
                <td className="value">{row.test_case_id ?? <span className="dim">(none)</span>}</td><td><Status status={row.status} /></td>
                {scores.map((score) => <td key={score} className="number">{row.evaluator_scores?.[score]?.toFixed(3) ?? "–"}</td>)}
                <td className="number">{money(row.cost_total_usd)}</td><td className="number">{duration(row.latency_ms === null ? null : row.latency_ms * 1e6)}</td>
                <td><Link to={path("trace", row.trace_id)}>{row.trace_id.slice(0, 8)}</Link></td>
              </tr>
            ))}</tbody>
          </table></TableBox>
        )}
      </section>
    </>
  );
}

/** Which experiment this one is compared with. */
function Baseline({ name, base }: { name: string; base: string }) {
  const all = useQuery({ queryKey: ["experiments", intake("")], queryFn: ({ signal }) => ask<Page<Experiment>>(intake("/experiments?page_size=100&sort=-created_at"), { signal }) });
  const names = [...new Set([...(all.data?.data.map((one) => one.name) ?? []), ...(base ? [base] : [])])].filter((other) => other !== name);
  if (names.length === 0) return null;
  return (
    <label className="choice">Baseline <select value={base === name ? "" : base} onChange={(event) => setParams({ base: event.target.value, only: undefined })}>
      <option value="">None</option>
      {names.map((other) => <option key={other}>{other}</option>)}
    </select></label>
  );
}

const ONLY: [string, string][] = [["", "All test cases"], ["worse", "Worse"], ["better", "Better"]];

/** This experiment beside another one, as a whole and by test case. */
function Comparison({ name, base }: { name: string; base: string }) {
  const [only, setOnly] = useParam("only");
  const url = `${intake(`/experiments/${encodeURIComponent(name)}/comparison`)}?baseline=${encodeURIComponent(base)}`;
  const asked = useQuery({ queryKey: ["comparison", url], queryFn: ({ signal }) => ask<Compared>(url, { signal }) });
  if (asked.isPending) return <Loading what="Comparing" of={[["comparison"]]} />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  const { data } = asked;
  const scores = Object.keys(data.scores);
  const cases = data.test_cases.filter((one) => only === "" || judged(one) === only);
  return (
    <>
      <div className="cards">
        {scores.map((score) => <Beside key={score} name={score} figures={data.scores[score] ?? null} format={score3} isBetterLow={false} />)}
        <Beside name="Cost, mean" figures={data.cost_usd} format={money} isBetterLow />
        <Beside name="Latency, mean" figures={data.latency_ms} format={millis} isBetterLow />
        <Beside name="Tokens, mean" figures={data.tokens} format={count} isBetterLow />
      </div>
      <section className="panel block">
        <header><h2>{name} beside {base}, by test case</h2><AskSql of={[url]} /></header>
        <div className="pad-box"><div className="segments" role="group" aria-label="Test cases">
          {ONLY.map(([value, label]) => <button key={value} type="button" aria-pressed={only === value} onClick={() => setOnly(value)}>{label} <span className="dim">{data.test_cases.filter((one) => value === "" || judged(one) === value).length}</span></button>)}
        </div></div>
        {cases.length === 0 ? <Empty title="No test case is like this" /> : (
          <TableBox label="Test cases"><table className="rows">
            <thead><tr><th>Test case</th><th className="number">Runs</th>{scores.map((score) => <th key={score} className="number">{score}</th>)}<th className="number">Cost</th><th className="number">Latency</th><th className="number">Tokens</th></tr></thead>
            <tbody>{cases.map((one) => (
              <tr key={one.test_case_id} className={one.run_count.value === 0 ? "only-b" : one.run_count.baseline === 0 ? "only-a" : ""}>
                <td>{one.test_case_id}{one.run_count.value === 0 && <span className="chip">only in {base}</span>}{one.run_count.baseline === 0 && <span className="chip">only in {name}</span>}</td>
                <td className="number nowrap">{one.run_count.baseline} → {one.run_count.value}</td>
                {scores.map((score) => <Difference key={score} figures={one.scores[score] ?? null} format={score3} isBetterLow={false} />)}
                <Difference figures={one.cost_usd} format={money} isBetterLow />
                <Difference figures={one.latency_ms} format={millis} isBetterLow />
                <Difference figures={one.tokens} format={count} isBetterLow />
              </tr>
            ))}</tbody>
          </table></TableBox>
        )}
        <p className="note">Means over test cases, of a test case over its sessions; {base} → {name}.{!data.is_complete && " These are the first 1,000 test cases."}</p>
      </section>
    </>
  );
}

function score3(value: number | null): string {
  return value === null ? "–" : value.toFixed(3);
}

function millis(value: number | null): string {
  return duration(value === null ? null : value * 1e6);
}

interface Shown { figures: Figures | null; format: (value: number | null) => string; isBetterLow: boolean }

/** Better, worse, or neither; null where one of them has none. */
function tone(figures: Figures | null, isBetterLow: boolean): "good" | "error" | "" {
  const difference = figures?.mean.difference ?? 0;
  if (difference === 0) return "";
  return difference < 0 === isBetterLow ? "good" : "error";
}

function Difference({ figures, format, isBetterLow }: Shown) {
  const mean = figures?.mean;
  if (!mean) return <td className="number">–</td>;
  return <td className="number nowrap">{format(mean.baseline)} → {format(mean.value)}{mean.difference !== null && mean.difference !== 0 && <span className={`sub ${tone(figures, isBetterLow)}`}>{change(mean.baseline, mean.value) || signed(mean.difference, format)}</span>}</td>;
}

function signed(difference: number, format: (value: number | null) => string): string {
  return `${difference > 0 ? "+" : "−"}${format(Math.abs(difference))}`;
}

function Beside({ name, figures, format, isBetterLow }: Shown & { name: string }) {
  if (!figures) return null;
  const { value, baseline, difference } = figures.mean;
  const to = tone(figures, isBetterLow);
  return <Figure name={name} value={<FromTo before={format(baseline)} after={format(value)} />} note={difference ? <span className={to}>{change(baseline, value) || signed(difference, format)}</span> : undefined} />;
}
