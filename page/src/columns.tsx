/** The columns of the list of traces, and how wide they are: those of the URL, else those chosen last, else the usual ones. */
import { useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
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

/** The keys by which an edge is reached from another one. */
const STEPS: Record<string, (at: number, last: number) => number> = {
  ArrowLeft: (at) => Math.max(0, at - 1),
  ArrowRight: (at, last) => Math.min(last, at + 1),
  Home: () => 0,
  End: (_, last) => last,
};

/**
 * The heads of the columns, each with an edge to drag. All edges together are one stop of Tab: the arrows go from one to the next, and with Shift they
 * move it. A double click, and Backspace, give the column its usual width.
 */
export function Heads({ columns }: { columns: Column[] }) {
  const [widths, set] = useWidths();
  const [stop, setStop] = useState("");
  const row = useRef<HTMLTableRowElement>(null);
  const known = Math.max(0, columns.findIndex((column) => column.name === stop));
  const goTo = (at: number) => row.current?.querySelectorAll<HTMLElement>(".edge")[at]?.focus();
  return (
    <tr ref={row}>
      {columns.map((column, at) => (
        <Head
          key={column.name} column={column} width={widths.get(column.name)} set={(width) => set(column.name, width)}
          isStop={at === known} focused={() => setStop(column.name)} step={(key) => goTo(STEPS[key]!(at, columns.length - 1))}
        />
      ))}
    </tr>
  );
}

interface HeadProps {
  column: Column;
  width: number | undefined;
  set: (width: number | null) => void;
  isStop: boolean;
  focused: () => void;
  step: (key: string) => void;
}

function Head({ column, width, set, isStop, focused, step }: HeadProps) {
  const head = useRef<HTMLTableCellElement>(null);
  const drag = useRef<{ x: number; width: number } | null>(null);
  const now = () => head.current?.getBoundingClientRect().width ?? NARROWEST;
  const move = (event: PointerEvent) => drag.current && set(drag.current.width + event.clientX - drag.current.x);
  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) set(now() + (event.key === "ArrowRight" ? BY_KEY : -BY_KEY));
    else if (event.key === "Backspace" || event.key === "Delete") set(null);
    else if (!event.shiftKey && event.key in STEPS) step(event.key);
    else return;
    event.preventDefault();
  };
  return (
    <th ref={head} className={column.className} style={width === undefined ? undefined : { width, minWidth: width }}>
      {column.label}
      <span
        className="edge" role="separator" aria-orientation="vertical" aria-label={`Width of ${column.label}`} tabIndex={isStop ? 0 : -1}
        aria-keyshortcuts="Shift+ArrowLeft Shift+ArrowRight Backspace" title="Drag it, or hold Shift and press an arrow"
        aria-valuenow={width ?? Math.round(now())} aria-valuemin={NARROWEST} aria-valuemax={WIDEST}
        onPointerDown={(event) => { if (event.button === 0) { event.currentTarget.setPointerCapture(event.pointerId); drag.current = { x: event.clientX, width: now() }; event.preventDefault(); } }}
        onPointerMove={move} onPointerUp={() => { drag.current = null; }} onPointerCancel={() => { drag.current = null; }} onDoubleClick={() => set(null)}
        onFocus={focused} onKeyDown={pressed}
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
