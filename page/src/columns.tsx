/** The columns of the list of traces: those of the URL, else those chosen last, else the usual ones. */
import { useMemo } from "react";
import { useParam } from "./router";

export interface Column {
  name: string;
  label: string;
  className?: string;
}

export const COLUMNS: Column[] = [
  { name: "time", label: "Time" },
  { name: "trace", label: "Trace" },
  { name: "content", label: "Input and output", className: "wide" },
  { name: "model", label: "Model" },
  { name: "duration", label: "Duration", className: "number" },
  { name: "ttft", label: "First token", className: "number" },
  { name: "tokens", label: "Tokens", className: "number" },
  { name: "cost", label: "Cost", className: "number" },
  { name: "service", label: "Service" },
  { name: "agent", label: "Agent" },
  { name: "user", label: "User" },
  { name: "session", label: "Session" },
  { name: "spans", label: "Spans", className: "number" },
  { name: "errors", label: "Errors", className: "number" },
  { name: "id", label: "Trace id" },
];
const USUAL = "time,trace,content,model,duration,tokens,cost";
const KEPT = "millrace.columns";

/** The columns of a list of names, in the order of the list above; the usual ones where there is none that is known. */
export function columnsOf(names: string): Column[] {
  const chosen = new Set(names.split(","));
  const found = COLUMNS.filter((column) => chosen.has(column.name));
  // without its name a line cannot be opened
  return found.length === 0 ? columnsOf(USUAL) : COLUMNS.filter((column) => chosen.has(column.name) || column.name === "trace");
}

function kept(): string {
  try {
    return localStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

export function useColumns(): [Column[], (names: string[]) => void] {
  const [named, set] = useParam("columns");
  const columns = useMemo(() => columnsOf(named || kept()), [named]);
  const choose = (names: string[]) => {
    const text = COLUMNS.filter((column) => names.includes(column.name)).map((column) => column.name).join(",");
    try {
      if (text === USUAL) localStorage.removeItem(KEPT);
      else localStorage.setItem(KEPT, text);
    } catch {
      // a browser that keeps nothing has them in the URL
    }
    set(text);
  };
  return [columns, choose];
}

export function ColumnChoice() {
  const [columns, choose] = useColumns();
  const names = columns.map((column) => column.name);
  return (
    <details className="menu">
      <summary>Columns</summary>
      <div role="group" aria-label="Columns">
        {COLUMNS.map((column) => (
          <label key={column.name}>
            <input type="checkbox" disabled={column.name === "trace"} checked={names.includes(column.name)} onChange={(event) => choose(event.target.checked ? [...names, column.name] : names.filter((name) => name !== column.name))} /> {column.label}
          </label>
        ))}
        <button type="button" className="quiet" onClick={() => choose(USUAL.split(","))}>The usual ones</button>
      </div>
    </details>
  );
}
