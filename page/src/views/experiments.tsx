/** Experiments: what each comes to, and how it differs from the one chosen as the base. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, intake, type Page } from "../api";
import { count, duration, money } from "../format";
import { path, setParams, useParam } from "../router";
import { AskSql, Empty, Failed, Link, Loading, Paste, Status, TableBox, Time, useTitle } from "../ui";

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
  if (asked.isPending) return <Loading what="Looking for experiments" />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  if (asked.data.data.length === 0) {
    const url = `${window.location.origin.replace(/:4319$/, ":4318")}/apis/intake/v2/workspaces/default`;
    return (
      <Empty title="No experiments yet">
        <p>Make a group and an experiment in it, and send calls with the attribute <code>nemo.experiment.id</code>:</p>
        <Paste text={`curl -s ${url}/experiment-groups -H 'Content-Type: application/json' -d '{"name": "prompts"}'`} />
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
              <td><Link to={path("experiments", one.name)} className="strong">{one.name}</Link><span className="sub">{one.model_names?.join(", ")}</span></td>
              <td>{one.dataset_name} <span className="dim">{one.dataset_version}</span></td>
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
  const asked = useQuery({ queryKey: ["runs", intake(""), name], queryFn: ({ signal }) => ask<Page<Run>>(intake(`/experiments/${encodeURIComponent(name)}/sessions?page_size=100`), { signal }) });
  if (asked.isPending) return <Loading what="Reading the runs" />;
  if (asked.isError) return <Failed error={asked.error} again={() => void asked.refetch()} />;
  const rows = asked.data.data;
  const scores = [...new Set(rows.flatMap((row) => Object.keys(row.evaluator_scores ?? {})))].sort();
  return (
    <section className="panel block">
      <header><h2>{name}</h2><AskSql of={[intake(`/experiments/${encodeURIComponent(name)}/sessions?page_size=100`)]} /></header>
      {rows.length === 0 ? <Empty title="No session names this experiment yet" /> : (
        <TableBox label="Runs"><table className="rows">
          <thead><tr><th>Test case</th><th>Status</th>{scores.map((score) => <th key={score} className="number">{score}</th>)}<th className="number">Cost</th><th className="number">Latency</th><th>Trace</th></tr></thead>
          <tbody>{rows.map((row) => (
            <tr key={row.session_id}>
              <td>{row.test_case_id ?? <span className="dim">(none)</span>}</td><td><Status status={row.status} /></td>
              {scores.map((score) => <td key={score} className="number">{row.evaluator_scores?.[score]?.toFixed(3) ?? "–"}</td>)}
              <td className="number">{money(row.cost_total_usd)}</td><td className="number">{duration(row.latency_ms === null ? null : row.latency_ms * 1e6)}</td>
              <td><Link to={path("trace", row.trace_id)}>{row.trace_id.slice(0, 8)}</Link></td>
            </tr>
          ))}</tbody>
        </table></TableBox>
      )}
    </section>
  );
}
