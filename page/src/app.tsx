/** The frame: navigation, where and when one looks, and the view of the URL. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Component, lazy, Suspense, useEffect, useRef, useState, type ReactNode } from "react";
import { ApiError, ask, setToken, token, workspace, type Rows } from "./api";
import { rangeLabel, rangeTitle, RANGES, RANGE_DEFAULT, useRange, type Range } from "./range";
import { address, go, usePlace, useParam } from "./router";
import { Palette } from "./palette";
import { toggleTheme, useTheme } from "./theme";
import { Dialog, Empty, Failed, Icon, Link, Loading } from "./ui";
import { Traces } from "./views/traces";
import { TraceView } from "./views/trace";

const Sessions = lazy(() => import("./views/sessions").then((view) => ({ default: view.Sessions })));
const SessionView = lazy(() => import("./views/sessions").then((view) => ({ default: view.SessionView })));
const Cost = lazy(() => import("./views/cost").then((view) => ({ default: view.Cost })));
const Latency = lazy(() => import("./views/latency").then((view) => ({ default: view.Latency })));
const Sql = lazy(() => import("./views/sql").then((view) => ({ default: view.Sql })));
const Import = lazy(() => import("./views/import").then((view) => ({ default: view.Import })));
const Health = lazy(() => import("./views/health").then((view) => ({ default: view.Health })));
const Compare = lazy(() => import("./views/compare").then((view) => ({ default: view.Compare })));
const Experiments = lazy(() => import("./views/experiments").then((view) => ({ default: view.Experiments })));

/** The views of the navigation: their path, name, key after `g`, and whether they are of a time. */
const VIEWS: [string, string, string, boolean][] = [
  ["traces", "Traces", "t", true],
  ["sessions", "Sessions", "s", true],
  ["cost", "Cost", "c", true],
  ["latency", "Latency and errors", "l", true],
  ["experiments", "Experiments", "e", false],
  ["compare", "Compare", "d", false],
  ["sql", "SQL", "q", false],
  ["import", "Import", "i", false],
  ["health", "Health", "h", false],
];

export function App() {
  const { path } = usePlace();
  const view = path[0] ?? "traces";
  useEffect(() => {
    if (path.length === 0) go(address("/traces"), true);
  }, [path.length]);
  const known = VIEWS.find(([name]) => name === view);
  // where the views are a row that scrolls
  const chosen = useRef<HTMLUListElement>(null);
  useEffect(() => {
    void chosen.current?.querySelector(".here")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [view]);
  const isOfTime = known?.[3] ?? false;
  return (
    <div className="app">
      <a className="skip" href="#main">To the content</a>
      <nav className="side" aria-label="Views">
        <Link to="/traces" className="brand"><Logo /> Millrace</Link>
        <ul ref={chosen}>
          {VIEWS.map(([name, label]) => (
            <li key={name}>
              <Link to={`/${name}`} className={isIn(view, name) ? "here" : ""} title={label}><Icon name={name} size={17} /><span>{label}</span></Link>
            </li>
          ))}
        </ul>
        <div className="foot"><Theme /><Keys /></div>
        <Palette views={VIEWS} />
      </nav>
      <div className="main">
        <header className="top">
          <h1>{title(view, path.length > 1 && view === "experiments" ? "Experiment" : known?.[1])}</h1>
          <div className="tools">
            <WorkspaceChoice />
            {isOfTime && <RangeChoice />}
            <Refresh />
          </div>
        </header>
        <main id="main" tabIndex={-1}>
          <Caught key={path.join("/")}>
            <Access>
              <Suspense fallback={<Loading />}><View name={view} rest={path.slice(1)} /></Suspense>
            </Access>
          </Caught>
        </main>
      </div>
    </div>
  );
}

function isIn(view: string, name: string): boolean {
  return view === name || (view === "trace" && name === "traces") || (view === "session" && name === "sessions");
}

function title(view: string, name: string | undefined): string {
  return name ?? (view === "trace" ? "Trace" : view === "session" ? "Session" : "Not found");
}

function View({ name, rest }: { name: string; rest: string[] }) {
  switch (name) {
    case "traces": return <Traces />;
    case "trace": return <TraceView id={rest[0] ?? ""} />;
    case "sessions": return <Sessions />;
    case "session": return <SessionView id={rest[0] ?? ""} />;
    case "cost": return <Cost />;
    case "latency": return <Latency />;
    case "experiments": return <Experiments name={rest[0]} />;
    case "compare": return <Compare />;
    case "sql": return <Sql />;
    case "import": return <Import />;
    case "health": return <Health />;
    default: return <Empty title="There is no such view"><p>The address may be mistyped. <Link to="/traces">Go to the traces</Link>.</p></Empty>;
  }
}

function Logo() {
  return (
    <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true" className="logo">
      <rect width="32" height="32" rx="7" />
      <path d="M5 12c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.600-3 7.300-3M5 18c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.600-3 7.300-3M5 24c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.600-3 7.300-3" />
    </svg>
  );
}

/** What went wrong in drawing a view stays in that view. */
class Caught extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null };
  static getDerivedStateFromError(error: unknown) {
    return { error };
  }
  override render() {
    return this.state.error ? <Failed error={this.state.error} again={() => this.setState({ error: null })} /> : this.props.children;
  }
}

/** Asks for a token where Millrace needs one. */
function Access({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [text, setText] = useState("");
  const asked = useQuery({
    queryKey: ["access", workspace(), token()],
    queryFn: ({ signal }) => ask(`/api/v1/workspaces/${encodeURIComponent(workspace())}/calls/breakdown?limit=1`, { signal }),
    staleTime: Infinity,
    retry: false,
  });
  if (!(asked.error instanceof ApiError && asked.error.status === 401)) return children;
  return (
    <form
      className="access"
      onSubmit={(event) => {
        event.preventDefault();
        setToken(text.trim());
        void client.invalidateQueries();
        void asked.refetch();
      }}
    >
      <h2>This Millrace asks for a token</h2>
      <p>Paste one with the scope <code>read</code>. It is kept until this tab is closed.</p>
      <input type="password" aria-label="Token" autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} />
      <button type="submit" className="primary">Open</button>
      {token() && <p className="error" role="alert">{asked.error.message}</p>}
    </form>
  );
}

function WorkspaceChoice() {
  const [chosen] = useParam("ws");
  const known = useQuery({ queryKey: ["workspaces"], queryFn: ({ signal }) => ask<Rows<{ workspace: string; spans: number }>>("/api/v1/workspaces", { signal }), retry: false, staleTime: 60_000 });
  const names = new Set([...(known.data?.rows.map((row) => row.workspace) ?? []), chosen || "default"]);
  if (names.size < 2) return null;
  return (
    <label className="choice">
      <span className="unseen">Workspace</span>
      <select value={chosen || "default"} onChange={(event) => go(`/traces?ws=${encodeURIComponent(event.target.value)}`)}>
        {[...names].map((name) => <option key={name}>{name}</option>)}
      </select>
    </label>
  );
}

function RangeChoice() {
  const [range, setRange] = useRange();
  const [isOpen, setOpen] = useState(false);
  const now = Date.now();
  const isOwn = range.name !== "all" && !RANGES.some(([name]) => name === range.name);
  return (
    <>
    <label className="choice" title={rangeTitle(range)}>
      <span className="unseen">Time</span>
      <select value={range.name} onChange={(event) => (event.target.value === OWN ? setOpen(true) : setRange(event.target.value === RANGE_DEFAULT ? "" : event.target.value))}>
        {RANGES.map(([name, label]) => <option key={name} value={name}>Last {label}</option>)}
        <option value="all">All time</option>
        {isOwn && <option value={range.name}>{rangeLabel(range, now)}</option>}
        <option value={OWN}>Between…</option>
      </select>
    </label>
    {isOpen && <Between range={range} choose={setRange} close={() => setOpen(false)} />}
    </>
  );
}

const OWN = "between";

/** A time as the browser's own field of times has it, which is in the time zone of the browser. */
function fieldOf(ms: number): string {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
}

function Between({ range, choose, close }: { range: Range; choose: (name: string) => void; close: () => void }) {
  const now = Date.now();
  const [since, setSince] = useState(fieldOf(range.since ?? now - 86400e3));
  const [until, setUntil] = useState(fieldOf(range.until ?? now));
  const [from, to] = [new Date(since).getTime(), new Date(until).getTime()];
  const isRight = from < to;
  return (
    <Dialog title="Between two times" onClose={close}>
      <form className="row" onSubmit={(event) => { event.preventDefault(); if (isRight) { choose(`${from}-${to}`); close(); } }}>
        <label>From <input type="datetime-local" value={since} onChange={(event) => setSince(event.target.value)} /></label>
        <label>to <input type="datetime-local" value={until} onChange={(event) => setUntil(event.target.value)} /></label>
        <button type="submit" className="primary" disabled={!isRight}>Show</button>
        {!isRight && <span className="error" role="alert">The second time is not after the first</span>}
      </form>
    </Dialog>
  );
}

function Refresh() {
  const client = useQueryClient();
  return <button type="button" onClick={() => void client.invalidateQueries()} title="Ask again (r)">Refresh</button>;
}

function Theme() {
  const theme = useTheme();
  return (
    <button type="button" className="quiet" onClick={toggleTheme} aria-label={theme === "dark" ? "Use light colours" : "Use dark colours"}>
      <Icon name={theme === "dark" ? "sun" : "moon"} />
    </button>
  );
}

const HELP: [string, string][] = [
  ["j, k or arrows", "next, previous line; in a trace f and b as well"],
  ["⌘K or Ctrl K", "go to a view, a trace or a session by its name"],
  ["Enter", "open"],
  ["Esc", "close what is open"],
  ["p", "look at a trace beside the list"],
  ["/", "search"],
  ["← →", "fold and unfold a span"],
  ["[ and ]", "fold, unfold all spans"],
  ["Shift ← →", "on the edge of a column: narrower, wider"],
  ["n", "next error of a trace"],
  ["z and 0", "zoom to the time of a span, to that of the trace"],
  ["r", "ask again"],
  ["?", "this list"],
];

/** Keys that work everywhere, and the list of all. */
function Keys() {
  const [isOpen, setOpen] = useState(false);
  const afterG = useRef(0);
  const client = useQueryClient();
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const view = VIEWS.find(([, , key]) => key === event.key);
      if (view && performance.now() - afterG.current < 1200) {
        go(address(`/${view[0]}`));
      } else if (event.key === "?") setOpen(true);
      else if (event.key === "r") void client.invalidateQueries();
      else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("main input[type=search]");
        if (!field) return;
        field.focus();
        field.select();
      } else {
        afterG.current = event.key === "g" ? performance.now() : 0;
        return;
      }
      afterG.current = 0;
      event.preventDefault();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [client]);
  return (
    <>
      <button type="button" className="quiet" onClick={() => setOpen(true)} aria-label="Keys"><kbd>?</kbd></button>
      {isOpen && (
        <Dialog title="Keys" onClose={() => setOpen(false)}>
          <table className="keys">
            <tbody>
              {HELP.map(([key, what]) => <tr key={key}><th scope="row"><kbd>{key}</kbd></th><td>{what}</td></tr>)}
              {VIEWS.map(([name, label, key]) => <tr key={name}><th scope="row"><kbd>g {key}</kbd></th><td>{label}</td></tr>)}
            </tbody>
          </table>
        </Dialog>
      )}
    </>
  );
}

/** Whether a key belongs to what it is pressed in. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.matches("input, textarea, select") || target.isContentEditable || target.closest("dialog") !== null);
}
