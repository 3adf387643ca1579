/** Small parts that every view uses. */
import { useEffect, useRef, useState, type ReactNode } from "react";
import { useQuery, useQueryClient, type QueryKey } from "@tanstack/react-query";
import { ApiError, ask, type Rows } from "./api";
import { ago, cut, exactly, oneLine, when } from "./format";
import { parsed } from "./message";
import { address, go, path } from "./router";

const PATHS: Record<string, string> = {
  traces: "M4 6h10M4 12h16M4 18h7",
  sessions: "M4 5h13v9H9l-5 4zM20 9v10l-4-3h-6",
  cost: "M12 3v18M16.5 7.5c-1-1.6-2.6-2-4.5-2-2.400 0-4.500 1-4.500 3.200 0 4.600 9.500 2 9.500 6.800 0 2.200-2.200 3.200-5 3.200-2.200 0-4-.6-5-2.400",
  latency: "M12 21a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM12 8v5l3.200 2M9 2h6",
  experiments: "M9 3h6M10 3v6l-5.500 9.500A1.700 1.700 0 0 0 6 21h12a1.700 1.700 0 0 0 1.500-2.500L14 9V3M7.500 15h9",
  compare: "M9 4v16M15 4v16M4 8h5M4 16h5M15 8h5M15 16h5",
  sql: "M4 6.500C4 4.600 7.600 3 12 3s8 1.600 8 3.500S16.400 10 12 10 4 8.400 4 6.500zM4 6.500v11C4 19.400 7.600 21 12 21s8-1.600 8-3.500v-11M4 12c0 1.900 3.600 3.500 8 3.500s8-1.600 8-3.500",
  import: "M12 3v11m0 0 4-4m-4 4-4-4M4 16v3.500A1.500 1.500 0 0 0 5.500 21h13a1.500 1.500 0 0 0 1.500-1.500V16",
  health: "M3 12h4l2.500-7 5 14 2.500-7h4",
  LLM: "M12 3l1.900 5.600L19.500 10.500l-5.600 1.900L12 18l-1.900-5.600L4.500 10.500l5.600-1.900zM18.500 16l.8 2.200 2.200.8-2.200.8-.8 2.200-.8-2.200-2.200-.8 2.200-.8z",
  AGENT: "M5 9.500A2.500 2.500 0 0 1 7.500 7h9A2.500 2.500 0 0 1 19 9.500v7a2.500 2.500 0 0 1-2.500 2.500h-9A2.500 2.500 0 0 1 5 16.500zM12 7V3.500M9.300 12v2M14.700 12v2M2.500 12v3M21.500 12v3",
  TOOL: "M14.700 6.300a4 4 0 0 1 5.100-1l-2.600 2.600.2 2 2 .2 2.400-2.400a4 4 0 0 1-5.600 4.700L8.500 20a2 2 0 0 1-3-2.800z",
  CHAIN: "M9.500 14.500l5-5M8 11l-2.300 2.300a3.500 3.500 0 0 0 5 5L13 16M11 8l2.300-2.300a3.500 3.500 0 0 1 5 5L16 13",
  RETRIEVER: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.300 15.300 20.500 20.500",
  EMBEDDING: "M5 5h4v4H5zM15 5h4v4h-4zM5 15h4v4H5zM15 15h4v4h-4zM9 7h6M7 9v6M17 9v6",
  RERANKER: "M7 4v16M7 20l-3-3M7 4 4 7M12 6h8M12 12h6M12 18h4",
  EVALUATOR: "M5 12.500l4.500 4.500L19 7",
  GUARDRAIL: "M12 3l7.500 3v5.500c0 4.500-3 8-7.500 9.500-4.500-1.500-7.500-5-7.500-9.500V6z",
  UNKNOWN: "M12 15.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7z",
  peek: "M4 5h16v14H4zM14 5v14",
  close: "M6 6l12 12M18 6L6 18",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.300 15.300 20.500 20.500",
  chevron: "M9 6l6 6-6 6",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  warning: "M12 4 2.800 19.500h18.400zM12 10v4.500M12 17v.5",
};

export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name] ?? PATHS.UNKNOWN} />
    </svg>
  );
}

const KIND_NAMES: Record<string, string> = {
  LLM: "Model call", AGENT: "Agent", TOOL: "Tool", CHAIN: "Workflow", RETRIEVER: "Retrieval", EMBEDDING: "Embedding",
  RERANKER: "Reranking", EVALUATOR: "Evaluator", GUARDRAIL: "Guardrail", UNKNOWN: "Span",
};

export function kindName(kind: string): string {
  return KIND_NAMES[kind] ?? kind;
}

/** What a span is, by its icon and colour; the name is there for those who see neither. */
export function Kind({ kind }: { kind: string }) {
  return (
    <span className={`kind k-${kind}`} role="img" aria-label={kindName(kind)} title={kindName(kind)}>
      <Icon name={kind} size={14} />
    </span>
  );
}

/** Names beside each other. Each has its own direction, so that those that are written from right to left stay in their places. */
export function Names({ of }: { of: string[] }) {
  return <>{of.map((name, at) => <span key={at}>{at > 0 && " · "}<bdi>{name}</bdi></span>)}</>;
}

/** A value by which calls are grouped, as a link to the traces that have it. */
export function Key({ by, value }: { by: string; value: string }) {
  if (!value) return <span className="dim">(none)</span>;
  if (by === "session") return <Link to={path("session", value)}><bdi>{value}</bdi></Link>;
  return <Link to="/traces" query={{ q: `${by}:${JSON.stringify(value)}` }} title={`The traces with this ${by}`}><bdi>{value}</bdi></Link>;
}

/** A list of models: the first, and how many others there are. */
export function Models({ of }: { of: string[] }) {
  const all = of.join(", ");
  return (
    <td className="models">
      <span className="chips">
        {of.slice(0, 1).map((model) => <span key={model} className="chip" dir="auto" title={all}>{model}</span>)}
        {of.length > 1 && <span className="dim" title={all}>+{of.length - 1}</span>}
      </span>
    </td>
  );
}

export function Status({ status }: { status: string }) {
  const name = status === "error" ? "Failed" : status === "cancelled" ? "Cancelled" : status === "success" ? "OK" : "Unknown";
  return <span className={`status s-${status}`}>{name}</span>;
}

export function Time({ ms, relative = false }: { ms: number; relative?: boolean }) {
  const now = Date.now();
  return <time dateTime={new Date(ms).toISOString()} title={exactly(ms)}>{relative ? ago(ms, now) : when(ms, now)}</time>;
}

/** A link to a view of the page. A plain click stays in the page; any other does what the browser does. */
export function Link({ to, query, className, children, title }: { to: string; query?: Record<string, string | undefined>; className?: string; children: ReactNode; title?: string }) {
  const href = address(to, query);
  return (
    <a
      href={href} className={className} title={title}
      onClick={(event) => {
        if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        go(href);
      }}
    >
      {children}
    </a>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [isDone]);
  return (
    <button type="button" className="quiet" onClick={() => navigator.clipboard?.writeText(text).then(() => setDone(true), () => setDone(false))}>
      <Icon name="copy" size={14} /> {isDone ? "Copied" : label}
    </button>
  );
}

/** Seconds after which a wait has a button to end it. */
const LONG_SECONDS = 3;

/** A wait for the questions `of` whose keys begin so; those alone can be ended here. */
export function Loading({ what = "Loading", of = [] }: { what?: string; of?: QueryKey[] }) {
  const client = useQueryClient();
  const [seconds, setSeconds] = useState(0);
  const [isCancelled, setCancelled] = useState(false);
  useEffect(() => {
    if (isCancelled) return;
    const timer = setInterval(() => setSeconds((before) => before + 1), 1000);
    return () => clearInterval(timer);
  }, [isCancelled]);
  const again = () => {
    setSeconds(0);
    setCancelled(false);
    for (const queryKey of of) void client.refetchQueries({ type: "active", queryKey });
  };
  const cancel = () => void Promise.all(of.map((queryKey) => client.cancelQueries({ type: "active", queryKey }))).then(() => setCancelled(true));
  if (isCancelled) return <div className="loading" role="status">Cancelled <button type="button" onClick={again}>Ask again</button></div>;
  return (
    <div className="loading">
      <span className="row" role="status"><span className="spinner" /> {what}…</span>
      {seconds >= LONG_SECONDS && <><span>{seconds} s</span>{of.length > 0 && <button type="button" onClick={cancel}>Cancel</button>}</>}
    </div>
  );
}

/** What happened, and what to try. */
export function Failed({ error, again }: { error: unknown; again?: () => void }) {
  const status = error instanceof ApiError ? error.status : -1;
  const message = error instanceof Error ? error.message : String(error);
  const hint =
    status === 0 ? "Start it with `make run`, or check the address of this page."
    : status === 400 || status === 422 ? "Change what was asked for, then ask again."
    : status === 401 ? "Enter a token above. `millrace token create` makes one."
    : status === 403 ? "This token may not read here. Choose another workspace, or ask for a token with the scope read."
    : status === 404 ? "It may have been deleted, be older than what is kept, or be in another workspace."
    : status === 413 ? "Choose a shorter time, or fewer results."
    : status === 503 ? "Try again in a moment, or choose a shorter time. The Health page says whether ClickHouse is there."
    : "Try again. If it stays so, the log of Millrace says more.";
  return (
    <div className="failed" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{message}</strong>
        <p>{hint.split("`").map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part))}</p>
        {again && status !== 400 && status !== 422 && <button type="button" onClick={again}>Try again</button>}
      </div>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return <div className="empty"><h2>{title}</h2>{children}</div>;
}

/** A line to paste. */
export function Paste({ text }: { text: string }) {
  return <div className="paste"><pre tabIndex={0}>{text}</pre><Copy text={text} /></div>;
}

/** The statements that made a view. */
export function ShowSql({ of }: { of: (Pick<Rows<unknown>, "sql"> & { elapsed_ms?: number } | undefined)[] }) {
  const [isOpen, setOpen] = useState(false);
  const statements = of.filter((one) => one !== undefined);
  if (statements.length === 0) return null;
  return (
    <>
      <button type="button" className="quiet" onClick={() => setOpen(true)}>Show SQL</button>
      {isOpen && (
        <Dialog title="The SQL of this view" onClose={() => setOpen(false)}>
          {statements.map((one, at) => <StatementView key={at} sql={one.sql} elapsed={one.elapsed_ms} />)}
        </Dialog>
      )}
    </>
  );
}

/** The statements behind answers of the read API, which says them when it is asked to. */
export function AskSql({ of }: { of: string[] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="quiet" onClick={() => setOpen(true)}>Show SQL</button>
      {isOpen && <Dialog title="The SQL of this view" onClose={() => setOpen(false)}>{of.map((url) => <SqlOf key={url} url={url} />)}</Dialog>}
    </>
  );
}

interface Shown { statement: string; elapsed_ms: number }

function SqlOf({ url }: { url: string }) {
  const asked = useQuery({
    queryKey: ["sql of", url],
    queryFn: ({ signal }) => ask<{ sql: Shown[] | string; elapsed_ms?: number }>(url + (url.includes("?") ? "&" : "?") + "show=sql", { signal }),
    staleTime: 60_000,
    retry: false,
  });
  if (asked.isPending) return <Loading what="Asking which statements it takes" of={[["sql of", url]]} />;
  if (asked.isError) return <Failed error={asked.error} />;
  const { sql, elapsed_ms } = asked.data;
  const all = typeof sql === "string" ? [{ statement: sql, elapsed_ms: elapsed_ms ?? 0 }] : sql;
  return <>{all.map((one, at) => <StatementView key={at} sql={one.statement} elapsed={one.elapsed_ms} />)}</>;
}

function StatementView({ sql, elapsed }: { sql: string; elapsed: number | undefined }) {
  return (
    <div className="statement">
      <pre tabIndex={0}>{formatSql(sql)}</pre>
      <div className="row">
        {elapsed !== undefined && <span className="dim">{Math.round(elapsed)} ms</span>}
        <Copy text={sql} />
        <Link to="/sql" query={{ sql }} className="button quiet">Open in the SQL view</Link>
      </div>
    </div>
  );
}

/** A statement on several lines, so that it can be read. */
export function formatSql(sql: string): string {
  return sql.replace(/ (FROM|WHERE|GROUP BY|ORDER BY|LIMIT|LEFT JOIN) /g, "\n$1 ").replace(/ AND (?=Timestamp|[A-Z][A-Za-z]+ (=|IN) )/g, "\n  AND ");
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label={title} onClick={(event) => event.target === dialog.current && dialog.current.close()}>
      <header>
        <h2>{title}</h2>
        <button type="button" className="quiet" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div className="content">{children}</div>
    </dialog>
  );
}

export function Tabs<T extends string>({ tabs, chosen, choose, label }: { tabs: [T, string][]; chosen: T; choose: (tab: T) => void; label: string }) {
  const move = (by: number) => {
    const at = tabs.findIndex(([name]) => name === chosen);
    const next = tabs[(at + by + tabs.length) % tabs.length]!;
    choose(next[0]);
    document.getElementById(`tab-${label}-${next[0]}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={label}>
      {tabs.map(([name, text]) => (
        <button
          key={name} type="button" role="tab" id={`tab-${label}-${name}`} aria-selected={name === chosen} tabIndex={name === chosen ? 0 : -1}
          onClick={() => choose(name)}
          onKeyDown={(event) => {
            if (event.key === "ArrowRight") move(1);
            if (event.key === "ArrowLeft") move(-1);
          }}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** A value before and after, each on one line. */
export function FromTo({ before, after }: { before: string; after: string }) {
  return <><span className="nowrap">{before}</span> <span className="dim">→</span> <span className="nowrap">{after}</span></>;
}

/** A number with its name. */
export function Figure({ name, value, note, tone }: { name: string; value: ReactNode; note?: ReactNode; tone?: string }) {
  return (
    <div className={`figure ${tone ?? ""}`}>
      <div className="name">{name}</div>
      <div className="value">{value}</div>
      {note && <div className="note">{note}</div>}
    </div>
  );
}

const TEXT_LETTERS = 20_000;

/** A text as it is; of a very long one the beginning. */
export function Text({ text, className }: { text: string; className?: string }) {
  const [letters, setLetters] = useState(TEXT_LETTERS);
  return (
    <>
      <pre className={`text ${className ?? ""}`}>{cut(text, letters)}</pre>
      {text.length > letters && (
        <button type="button" className="quiet" onClick={() => setLetters(letters * 10)}>
          Show more ({(text.length - letters).toLocaleString("en-US")} letters are left)
        </button>
      )}
    </>
  );
}

const ITEMS = 100;

/** A JSON value to be unfolded. */
export function Json({ value, depth = 0 }: { value: unknown; depth?: number }) {
  if (value === null || typeof value === "number" || typeof value === "boolean") return <span className="j-number">{String(value)}</span>;
  if (typeof value === "string") return <JsonText text={value} />;
  return <JsonTree value={value as Record<string, unknown> | unknown[]} depth={depth} />;
}

function JsonText({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const isLong = text.length > 500;
  return (
    <span className="j-text">
      "{cut(text, isLong && !isWhole ? 500 : TEXT_LETTERS)}"
      {isLong && !isWhole && <button type="button" className="more" onClick={() => setWhole(true)}>… {text.length - 500} more</button>}
    </span>
  );
}

function JsonTree({ value, depth }: { value: Record<string, unknown> | unknown[]; depth: number }) {
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const [isOpen, setOpen] = useState(depth < 2 && entries.length <= ITEMS);
  const [most, setMost] = useState(ITEMS);
  if (entries.length === 0) return <span className="dim">{isList ? "[]" : "{}"}</span>;
  if (depth > 200) return <span className="dim">nested too deeply to be shown</span>;
  return (
    <span className="j-tree">
      <button type="button" className="fold" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <Icon name="chevron" size={12} /> {isList ? `[${entries.length}]` : `{${entries.length}}`}
      </button>
      {isOpen && (
        <span className="j-items">
          {entries.slice(0, most).map(([name, item]) => (
            <span key={name} className="j-item"><span className="j-name">{name}</span><span className="dim">: </span><Json value={item} depth={depth + 1} /></span>
          ))}
          {entries.length > most && <button type="button" className="more" onClick={() => setMost(most * 10)}>… {entries.length - most} more</button>}
        </span>
      )}
    </span>
  );
}

/** What a text holds, as a tree if it is JSON. */
export function Value({ text }: { text: string }) {
  const value = parsed(text);
  return value === null ? <Text text={text} /> : <div className="json"><Json value={value} /></div>;
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Millrace` : "Millrace";
  }, [title]);
}

/** A table that scrolls where it is wider than the window; then it takes the focus, so that keys scroll it. */
export function TableBox({ label, children, className = "" }: { label: string; children: ReactNode; className?: string }) {
  const box = useRef<HTMLDivElement>(null);
  const [isWide, setWide] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const measured = new ResizeObserver(() => setWide(element.scrollWidth > element.clientWidth));
    measured.observe(element);
    if (element.firstElementChild) measured.observe(element.firstElementChild);
    return () => measured.disconnect();
  }, []);
  return <div ref={box} className={`table-box ${className}`} {...(isWide ? { tabIndex: 0, role: "region", "aria-label": label } : {})}>{children}</div>;
}

/** A cell of a table: the beginning of what was asked, and of what was answered. */
export function Said({ input, output }: { input: string | undefined; output: string | undefined }) {
  return (
    <td className="wide">
      {input && <span className="preview" dir="auto">{oneLine(input, 160)}</span>}
      {output && <span className="preview dim" dir="auto"><Icon name="chevron" size={11} />{oneLine(output, 160)}</span>}
    </td>
  );
}
