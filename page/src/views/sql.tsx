/** SQL: a statement, its answer as a table, and as a plot if it has a time. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { ApiError, ask, token, type Rows } from "../api";
import { lineOf } from "../compare";
import { exact, noun } from "../format";
import { Legend, Plot, type Series } from "../plot";
import { useParam } from "../router";
import { overTime } from "../overtime";
import { Copy, Empty, Failed, Loading, TableBox, useTitle } from "../ui";
import { COLORS } from "./cost";

interface Answer { meta: { name: string; type: string }[]; data: unknown[][]; rows: number; statistics?: { elapsed: number; rows_read: number; bytes_read: number } }
interface Table { table: string; columns: string[]; types: string[] }

const ROWS_MAX = 10_000;
const SHOWN = 500;

const EXAMPLES: [string, string][] = [
  ["Calls, tokens and cost by model", "SELECT Model, count() AS calls, sum(InputTokens) AS tokens_in, sum(OutputTokens) AS tokens_out, sum(CostTotal) AS usd\nFROM otel.genai_calls\nWHERE Timestamp > now() - INTERVAL 7 DAY\nGROUP BY Model ORDER BY usd DESC"],
  ["Cost by hour", "SELECT toStartOfHour(Timestamp) AS hour, sum(CostTotal) AS usd, count() AS calls\nFROM otel.genai_calls\nGROUP BY hour ORDER BY hour"],
  ["The slowest traces", "SELECT Timestamp, RootName, Duration / 1e9 AS seconds, Calls, TotalTokens, TraceId\nFROM otel.genai_traces\nORDER BY Duration DESC LIMIT 20"],
  ["What failed", "SELECT Timestamp, SpanName, ErrorType, ErrorMessage, TraceId\nFROM otel.otel_traces\nWHERE StatusCode = 'Error'\nORDER BY Timestamp DESC LIMIT 50"],
  ["Tools", "SELECT ToolName, count() AS runs, countIf(StatusCode = 'Error') AS failed, quantile(0.95)(Duration) / 1e6 AS p95_ms\nFROM otel.otel_traces\nWHERE Operation = 'execute_tool'\nGROUP BY ToolName ORDER BY runs DESC"],
  ["Tables", "SELECT name, formatReadableQuantity(total_rows) AS rows, formatReadableSize(total_bytes) AS size\nFROM system.tables WHERE database = 'otel' ORDER BY total_bytes DESC"],
];

export function Sql() {
  useTitle("SQL");
  const [kept, keep] = useParam("sql", false);
  const [text, setText] = useState(kept || EXAMPLES[0]![1]);
  const [asked, setAsked] = useState<{ sql: string; turn: number } | null>(kept ? { sql: kept, turn: 0 } : null);
  useEffect(() => {
    if (!kept) return;
    setText(kept);
    setAsked((before) => (before?.sql === kept ? before : { sql: kept, turn: 0 }));
  }, [kept]);
  const answer = useQuery({
    queryKey: ["sql", asked],
    queryFn: ({ signal }) => ask<Answer>("/api/v1/sql", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ sql: asked!.sql }), signal }),
    enabled: asked !== null,
    retry: false,
    staleTime: Infinity,
    gcTime: 0,
  });
  const schema = useQuery({ queryKey: ["schema"], queryFn: ({ signal }) => ask<Rows<Table>>("/api/v1/schema", { signal }), staleTime: Infinity });
  const run = () => {
    keep(text.trim());
    setAsked({ sql: text.trim(), turn: (asked?.turn ?? 0) + 1 });
  };
  const area = useRef<HTMLTextAreaElement>(null);
  const insert = (word: string) => {
    const element = area.current;
    if (!element) return;
    const [from, to] = [element.selectionStart, element.selectionEnd];
    setText(text.slice(0, from) + word + text.slice(to));
    element.focus();
  };
  const show = (at: number) => {
    area.current?.focus();
    area.current?.setSelectionRange(at, at + 1);
  };
  // a token is a secret, and is left to whoever pastes it
  const access = token() ? ` -H "Authorization: Bearer $MILLRACE_TOKEN"` : "";
  const curl = `curl -s ${window.location.origin}/api/v1/sql -H 'Content-Type: application/json'${access} -d '${JSON.stringify({ sql: text }).replaceAll("'", "'\\''")}'`;
  return (
    <div className="sql">
      <div className="sql-main">
        <section className="panel editor">
          <textarea
            ref={area} aria-label="SQL" spellCheck={false} value={text} rows={Math.min(16, Math.max(6, text.split("\n").length + 1))}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
            }}
          />
          <div className="row">
            {answer.isFetching
              ? <button type="button" onClick={() => setAsked(null)}>Cancel</button>
              : <button type="button" className="primary" onClick={run} disabled={!text.trim()}>Run</button>}
            <span className="dim"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span>
            <label className="choice push"><span className="unseen">Examples</span>
              <select value="" onChange={(event) => setText(EXAMPLES[Number(event.target.value)]![1])}>
                <option value="" disabled>Examples</option>
                {EXAMPLES.map(([name], at) => <option key={name} value={at}>{name}</option>)}
              </select>
            </label>
            <Copy text={curl} label="Copy as curl" />
          </div>
        </section>
        {answer.isFetching ? <Loading what="ClickHouse is working" of={[["sql"]]} />
          : answer.isError ? <><Failed error={answer.error} />{asked && answer.error instanceof ApiError && answer.error.position !== null && <Where sql={asked.sql} position={answer.error.position} show={show} />}</>
          : answer.data ? <Shown answer={answer.data} />
          : <Empty title="Ask anything"><p>Every view of this page is a statement over these tables; “Show SQL” brings it here.</p></Empty>}
      </div>
      <aside className="panel schema" aria-label="Tables">
        {schema.isError && !answer.isError && <Failed error={schema.error} />}
        {schema.data?.rows.map((table) => (
          <details key={table.table}>
            <summary>{table.table}</summary>
            <ul>{table.columns.map((column, at) => <li key={column}><button type="button" className="fold" title={`Insert ${column}`} onClick={() => insert(column)}>{column}</button> <span className="dim">{table.types[at]}</span></li>)}</ul>
          </details>
        ))}
      </aside>
    </div>
  );
}

/** The line of a statement in which something is wrong, with a mark below the place. */
function Where({ sql, position, show }: { sql: string; position: number; show: (at: number) => void }) {
  const { line, column, at } = lineOf(sql, position);
  return (
    <div className="panel where">
      <pre>{line}{"\n"}<b className="error">{" ".repeat(column)}^</b></pre>
      {at < sql.length && <button type="button" onClick={() => show(at)}>Go there</button>}
    </div>
  );
}

function cell(value: unknown): string {
  if (value === null) return "NULL";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function Shown({ answer }: { answer: Answer }) {
  const isNumber = answer.meta.map((column) => /^(Nullable\()?(LowCardinality\()?(U?Int|Float|Decimal)/.test(column.type));
  const traces = answer.meta.map((column) => column.name === "TraceId");
  return (
    <>
      <TimePlot answer={answer} />
      <section className="panel block">
        <header><h2>{exact(answer.rows)} {answer.rows === 1 ? "row" : "rows"}</h2>
          <span className="dim">{answer.statistics && `${(answer.statistics.elapsed * 1000).toFixed(0)} ms, ${exact(answer.statistics.rows_read)} ${noun(answer.statistics.rows_read, "row")} read`}</span>
          <Copy text={[answer.meta.map((column) => column.name), ...answer.data].map((row) => row.map((value) => cell(value).replaceAll("\t", " ").replaceAll("\n", " ")).join("\t")).join("\n")} label="Copy as TSV" />
        </header>
        {answer.rows >= ROWS_MAX && <p className="note">The first {exact(ROWS_MAX)} rows; there may be more.</p>}
        <TableBox label="Rows">
          <table className="rows">
            <thead><tr>{answer.meta.map((column, at) => <th key={at} className={isNumber[at] ? "number" : ""} title={column.type}>{column.name}</th>)}</tr></thead>
            <tbody>
              {answer.data.slice(0, SHOWN).map((row, number) => (
                <tr key={number}>{row.map((value, at) => (
                  <td key={at} className={isNumber[at] ? "number" : "value"}>
                    {traces[at] && typeof value === "string" && value ? <a href={`/trace/${encodeURIComponent(value)}`}>{value}</a> : value === null ? <span className="dim">NULL</span> : cell(value).slice(0, 1000)}
                  </td>
                ))}</tr>
              ))}
            </tbody>
          </table>
        </TableBox>
        {answer.data.length > SHOWN && <p className="note">{exact(SHOWN)} of {exact(answer.data.length)} rows are shown; “Copy as TSV” has all.</p>}
      </section>
    </>
  );
}

/** A column of numbers against the first one that is a time: a line, or one for each name of the first column of texts. */
function TimePlot({ answer }: { answer: Answer }) {
  const [chosen, choose] = useState(0);
  const drawn = useMemo(() => overTime(answer, chosen), [answer, chosen]);
  const series = useMemo<Series[]>(() => drawn?.lines.map((one, at) => ({ ...one, color: COLORS[at]! })) ?? [], [drawn]);
  if (!drawn) return null;
  return (
    <section className="panel block">
      <header><h2>Over time</h2>
        {drawn.columns.length > 1 && <select aria-label="Column" value={Math.min(chosen, drawn.columns.length - 1)} onChange={(event) => choose(Number(event.target.value))}>{drawn.columns.map((name, at) => <option key={at} value={at}>{name}</option>)}</select>}
      </header>
      <Plot title="The answer over time" times={drawn.times} series={series} format={plain} kind="lines" step={1000} range={drawn.range} height={150} />
      <Legend series={series} />
      {drawn.left > 0 && <p className="note">The {series.length} largest of {exact(series.length + drawn.left)} are drawn.</p>}
    </section>
  );
}

function plain(value: number | null): string {
  return value === null ? "–" : Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 6 });
}
