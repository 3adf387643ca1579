/** Health: what came in and what became of it, what waits, what fails. */
import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { ask, token, type Rows } from "../api";
import { bytes, count, duration, exact, noun, percent, plural } from "../format";
import { samples, total, type Sample } from "../metrics";
import { Failed, Figure, Json, Loading, ShowSql, TableBox, useTitle } from "../ui";

interface Status {
  status: string; why?: string; pending_spans: number; queue_bytes: number;
  clickhouse: { state: string; seconds?: number; why?: string };
  backlog: { spans: number; bytes: number; segments: number; oldest_seconds: number };
  joining: { state: string; why?: string };
  counting: { state: string; traces_waiting: number; lag_seconds: number; hours_left: number; why?: string };
}

const FAMILIES: [string, string][] = [["millrace_spans", "Spans"], ["millrace_log_records", "Log records"], ["millrace_metric_points", "Metric points"], ["millrace_scores", "Scores"]];
const FATES: [string, string][] = [["received", "Received"], ["stored", "Stored"], ["duplicate", "Repeats"], ["rejected", "Rejected"], ["refused", "Refused"], ["dead_lettered", "Dead letters"], ["pending", "Waiting"]];

async function metricsText(signal: AbortSignal): Promise<string> {
  const secret = token();
  const answer = await fetch("/api/v1/metrics", { signal, credentials: "omit", headers: secret ? { authorization: `Bearer ${secret}` } : {} });
  return answer.ok ? answer.text() : "";
}

export function Health() {
  useTitle("Health");
  const storage = useQuery({ queryKey: ["storage"], queryFn: ({ signal }) => ask<Rows<Stored>>("/api/v1/storage", { signal }), refetchInterval: 30_000, retry: false });
  const status = useQuery({ queryKey: ["status"], queryFn: ({ signal }) => ask<Status>("/api/v1/status", { signal }), refetchInterval: 3000, retry: false });
  const metrics = useQuery({ queryKey: ["metrics"], queryFn: ({ signal }) => metricsText(signal), refetchInterval: 3000, retry: false });
  // a question that failed and is asked again has no error meanwhile
  const failure = useRef<unknown>(null);
  if (status.error) failure.current = status.error;
  else if (status.data) failure.current = null;
  const failed = failure.current !== null && <Failed error={failure.current} again={() => void status.refetch()} />;
  if (!status.data) return failed || <Loading what="Asking" of={[["status"]]} />;
  const now = status.data;
  const all = samples(metrics.data ?? "");
  const away = now.clickhouse.state === "away";
  return (
    <>
      {failed}
      {now.why && <Failed error={new Error(`Spans are refused: ${now.why}`)} />}
      {away && <Failed error={new Error(`ClickHouse does not answer: ${now.clickhouse.why ?? "no reason is known"}. Everything that is sent is kept on disk until it does`)} />}
      <div className="cards">
        <Figure name="Spans are" value={now.why ? "refused" : "accepted"} tone={now.why ? "bad" : "good"} />
        <Figure name="ClickHouse" value={now.clickhouse.state} note={away ? `for ${duration((now.clickhouse.seconds ?? 0) * 1e9)}` : undefined} tone={away ? "bad" : "good"} />
        <Figure name="Waiting for ClickHouse" value={count(now.backlog.spans)} note={now.backlog.spans > 0 ? `${noun(now.backlog.spans, "row")}, ${bytes(now.backlog.bytes)}, the oldest for ${duration(now.backlog.oldest_seconds * 1e9)}` : "everything is stored"} />
        <Figure name="Counting" value={now.counting.state} note={now.counting.why ?? (now.counting.traces_waiting > 0 ? `${plural(now.counting.traces_waiting, "trace waits", "traces wait")}, ${duration(now.counting.lag_seconds * 1e9)} behind` : "every call is counted")} tone={now.counting.why ? "bad" : ""} />
        <Figure name="Joining" value={now.joining.state} note={now.joining.why} tone={now.joining.why ? "bad" : ""} />
        <Figure name="Memory of buffers" value={bytes(now.queue_bytes)} />
        <Disk all={all} />
      </div>
      <section className="panel block">
        <header><h2>What came in since the start, and what became of it</h2></header>
        <TableBox label="What came in">
          <table className="rows">
            <thead><tr><th>Signal</th>{FATES.map(([name, label]) => <th key={name} className="number">{label}</th>)}</tr></thead>
            <tbody>
              {FAMILIES.map(([family, label]) => (
                <tr key={family}><td>{label}</td>{FATES.map(([fate]) => {
                  const value = total(all, `${family}_${fate}`);
                  return <td key={fate} className={value > 0 && ["rejected", "refused", "dead_lettered"].includes(fate) ? "number error" : "number"}>{exact(value)}</td>;
                })}</tr>
              ))}
            </tbody>
          </table>
        </TableBox>
        <p className="note">Everything received is stored, a repeat, rejected, refused, a dead letter, or waiting. <code>millrace status</code> says the same in words.</p>
        {FAMILIES.some(([family]) => total(all, `${family}_dead_lettered`) > 0) && <p className="note">Dead letters are kept on disk: <code>millrace dead-letter list</code> says why ClickHouse rejected them, and <code>millrace dead-letter retry --all</code> sends them again.</p>}
      </section>
      <section className="panel block">
        <header><h2>What the tables take</h2><ShowSql of={[storage.data]} /></header>
        {storage.isError ? <div className="pad-box"><Failed error={storage.error} again={() => void storage.refetch()} /></div> : storage.isPending ? <Loading of={[["storage"]]} /> : <Tables rows={storage.data.rows} />}
      </section>
      <section className="panel block"><header><h2>All of it</h2></header><div className="pad-box"><div className="json"><Json value={now} /></div></div></section>
    </>
  );
}

interface Stored { table: string; rows: number; bytes: number | null }

/** What is free where everything waits that ClickHouse does not have yet. */
function Disk({ all }: { all: Sample[] }) {
  const [free, waits, most] = ["disk_free_bytes", "bytes", "capacity_bytes"].map((name) => total(all, `millrace_journal_${name}`)) as [number, number, number];
  if (free === 0 && most === 0) return null;
  return <Figure name="Free on disk" value={bytes(free)} note={`the journal has ${percent(waits, most)} of ${bytes(most)}`} tone={free < DISK_LOW || waits > most * 0.8 ? "bad" : ""} />;
}

const DISK_LOW = 1 << 30;

function Tables({ rows }: { rows: Stored[] }) {
  const all = rows.reduce((sum, row) => sum + (row.bytes ?? 0), 0);
  return (
    <TableBox label="Tables">
      <table className="rows">
        <thead><tr><th>Table</th><th className="number">Rows</th><th className="number">On disk</th><th className="number">A row</th><th>Share</th></tr></thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.table}>
              <td>{row.table}</td><td className="number">{exact(row.rows)}</td><td className="number">{row.bytes === null ? "–" : bytes(row.bytes)}</td>
              <td className="number">{row.bytes === null ? "–" : bytes(Math.round(row.bytes / row.rows))}</td>
              <td><span className="share" title={percent(row.bytes, all)}><i className="cc1" style={{ width: `${all > 0 ? ((row.bytes ?? 0) / all) * 100 : 0}%` }} /></span></td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  );
}
