/** The columns of the list of traces, and how wide they are: those of the URL, else those chosen last, else the usual ones. */
import { useMemo, useRef, type PointerEvent } from "react";
import { useParam } from "./router";
import { COLUMNS, NARROWEST, WIDEST, widthsOf, type Column } from "./widths";

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

/** Pixels by which a key widens a column. */
const BY_KEY = 20;

export function useWidths(): [Map<string, number>, (name: string, width: number | null) => void] {
  const [text, setText] = useParam("widths");
  const widths = useMemo(() => widthsOf(text), [text]);
  const set = (name: string, width: number | null) => {
    const next = new Map(widths);
    if (width === null) next.delete(name);
    else next.set(name, Math.max(NARROWEST, Math.min(WIDEST, Math.round(width))));
    setText(COLUMNS.filter((column) => next.has(column.name)).map((column) => `${column.name}:${next.get(column.name)}`).join(","));
  };
  return [widths, set];
}

/** The head of a column, with an edge to drag. The arrows move it too, and a double click gives the column its usual width. */
export function Head({ column, width, set }: { column: Column; width: number | undefined; set: (width: number | null) => void }) {
  const head = useRef<HTMLTableCellElement>(null);
  const drag = useRef<{ x: number; width: number } | null>(null);
  const now = () => head.current?.getBoundingClientRect().width ?? NARROWEST;
  const move = (event: PointerEvent) => drag.current && set(drag.current.width + event.clientX - drag.current.x);
  return (
    <th ref={head} className={column.className} style={width === undefined ? undefined : { width, minWidth: width }}>
      {column.label}
      <span
        className="edge" role="separator" aria-orientation="vertical" aria-label={`Width of ${column.label}`} tabIndex={0}
        aria-valuenow={width ?? Math.round(now())} aria-valuemin={NARROWEST} aria-valuemax={WIDEST}
        onPointerDown={(event) => { if (event.button === 0) { event.currentTarget.setPointerCapture(event.pointerId); drag.current = { x: event.clientX, width: now() }; event.preventDefault(); } }}
        onPointerMove={move} onPointerUp={() => { drag.current = null; }} onPointerCancel={() => { drag.current = null; }} onDoubleClick={() => set(null)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
          set(now() + (event.key === "ArrowRight" ? BY_KEY : -BY_KEY));
          event.preventDefault();
        }}
      />
    </th>
  );
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
