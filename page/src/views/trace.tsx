/** One trace: its tree and waterfall in one list, and what is known of the chosen span. */
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { lazy, memo, Suspense, useCallback, useEffect, useImperativeHandle, useMemo, useRef, useState, type CSSProperties, type PointerEvent, type Ref } from "react";
import { isTyping } from "../app";
import { ask, download, intake, type Trace, type Tree } from "../api";
import { count, duration, exactly, money, oneLine, plural } from "../format";
import { setParams, useParam } from "../router";
import { useTheme } from "../theme";
import { bar, criticalPath, ends, length, parseZoom, search, selfTimes, shown, ticks, type Zoom } from "../tree";
import { AskSql, Empty, Failed, Icon, Kind, kindName, Link, Loading, Status, Tabs, useTitle } from "../ui";
import { SpanPanel } from "./span";
import { useFacts } from "./traces";

const Conversation = lazy(() => import("./conversation").then((view) => ({ default: view.Conversation })));

const ROW = 28;

export function TraceView({ id }: { id: string }) {
  const tree = useQuery({ queryKey: ["tree", intake(""), id], queryFn: ({ signal }) => ask<Tree>(intake(`/traces/${encodeURIComponent(id)}/tree`), { signal }), staleTime: 60_000, gcTime: 30_000 });
  const trace = useQuery({ queryKey: ["trace", intake(""), id], queryFn: ({ signal }) => ask<Trace>(intake(`/traces/${encodeURIComponent(id)}?mode=preview`), { signal }) });
  const [tab, setTab] = useParam("tab");
  useTitle(trace.data?.name ?? "Trace");
  if (tree.isPending) return <Loading what="Reading the trace" of={[["tree", intake(""), id], ["trace", intake(""), id]]} />;
  if (tree.isError) return <Failed error={tree.error} again={() => void tree.refetch()} />;
  return (
    <div className="trace">
      <Head trace={trace.data} tree={tree.data} />
      <Tabs label="trace" tabs={[["spans", "Spans"], ["conversation", "Conversation"]]} chosen={tab === "conversation" ? "conversation" : "spans"} choose={(name) => setTab(name === "spans" ? "" : name)} />
      {tab === "conversation"
        ? <Suspense fallback={<Loading />}><Conversation of="trace" id={id} /></Suspense>
        : <Spans tree={tree.data} key={tree.data.trace_id} />}
    </div>
  );
}

function Head({ trace, tree }: { trace: Trace | undefined; tree: Tree }) {
  const facts = useFacts([tree.trace_id]).get(tree.trace_id);
  const errors = useMemo(() => tree.status.filter((status) => status === "error").length, [tree]);
  return (
    <header className="trace-head">
      <div className="names">
        <h2 dir="auto" title={trace?.name}>{trace?.name || (tree.names[tree.name[0] ?? 0] ?? tree.trace_id)}</h2>
        {trace && <Status status={trace.status} />}
        <span className="dim">{exactly(Date.parse(tree.started_at))}</span>
        <code className="dim id" title="Trace id">{tree.trace_id}</code>
        {trace && !trace.session_id.startsWith("session-") && <Link to={`/session/${encodeURIComponent(trace.session_id)}`} title={trace.session_id}>Session <bdi>{oneLine(trace.session_id, 40)}</bdi></Link>}
        <Link to="/compare" query={{ a: tree.trace_id }}>Compare…</Link>
        <Export id={tree.trace_id} />
        <AskSql of={[intake(`/traces/${encodeURIComponent(tree.trace_id)}/tree`), intake(`/traces/${encodeURIComponent(tree.trace_id)}?mode=preview`)]} />
      </div>
      <dl className="facts">
        <div><dt>Duration</dt><dd>{isTimed(tree) ? duration(length(tree)) : <span title="Nobody told when it ended">not known</span>}</dd></div>
        <div><dt>Spans</dt><dd>{count(tree.span_count)}{!tree.is_complete && <span title="Only the first 100,000 spans are shown">+</span>}</dd></div>
        <div><dt>Errors</dt><dd className={errors > 0 ? "error" : ""}>{count(errors)}</dd></div>
        <div><dt>Tokens</dt><dd title={trace ? `${count(trace.input_tokens)} in (${count(trace.cached_tokens)} cached), ${count(trace.output_tokens)} out` : undefined}>{count(trace?.total_tokens)}</dd></div>
        <div><dt>Cost{facts && facts.unpriced > 0 ? `, ${count(facts.unpriced)} of ${plural(facts.calls, "call")} unpriced` : facts && facts.computed > 0 ? ", computed" : ""}</dt><dd>{money(trace?.cost_usd)}</dd></div>
      </dl>
    </header>
  );
}

/** The trace as a file. */
function Export({ id }: { id: string }) {
  const [failure, setFailure] = useState("");
  const [isOpen, setOpen] = useState(false);
  const save = (format: string) => {
    setOpen(false);
    setFailure("");
    download(intake(`/traces/${encodeURIComponent(id)}/export?format=${format}`)).catch((error: unknown) => setFailure(error instanceof Error ? error.message : String(error)));
  };
  return (
    <>
      <details className="menu" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Export</summary>
        {isOpen && <div>{FORMATS.map(([format, name]) => <button key={format} type="button" className="quiet" onClick={() => save(format)}>{name}</button>)}</div>}
      </details>
      {failure && <span className="error" role="alert">{failure}</span>}
    </>
  );
}

const FORMATS = [["md", "Markdown"], ["json", "JSON"], ["otlp", "OTLP/JSON"]] as const;

/** Pixels of a window in which the list and a span both have room. */
const ROOMY = 1000;

/** Whether any span has a known length or begins after another: else there is no time to draw. */
function isTimed(tree: Tree): boolean {
  return tree.duration_ns.some((nanos) => nanos !== null) || tree.start_ns.some((nanos) => nanos > 0);
}

function likely(tree: Tree): number {
  const failed = tree.status.indexOf("error");
  if (failed < 0) return Math.max(0, tree.kind.indexOf("LLM"));
  // the deepest of the first that failed: the others failed because of it
  let line = failed;
  while (line + 1 < tree.status.length && tree.status[line + 1] === "error" && tree.parent[line + 1] === line) line += 1;
  return line;
}

/** Of each span that reports a call of another one, the name of that call. */
function reportsOf(tree: Tree): Map<string, string> {
  if (tree.reports.length === 0) return new Map();
  const lines = new Map(tree.span_id.map((id, line) => [id, line]));
  return new Map(tree.reports.map(({ span_id, of }) => [span_id, tree.names[tree.name[lines.get(of) ?? -1] ?? -1] ?? of]));
}

function Spans({ tree }: { tree: Tree }) {
  const end = useMemo(() => ends(tree.depth), [tree]);
  const total = useMemo(() => length(tree), [tree]);
  const critical = useMemo(() => criticalPath(tree), [tree]);
  const own = useMemo(() => selfTimes(tree), [tree]);
  const reports = useMemo(() => reportsOf(tree), [tree]);
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  const [text, setText] = useParam("find");
  const [chosenId] = useParam("span");
  const [cursor, setCursor] = useState<number | null>(null);
  const [zoomText, setZoom] = useParam("zoom");
  const zoom = useMemo(() => parseZoom(zoomText, total), [zoomText, total]);
  const isZoomed = zoom.from > 0 || zoom.to < total;

  const found = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return null;
    const lower = { names: tree.names.map((name) => name.toLowerCase()), services: tree.services.map((name) => name.toLowerCase()) };
    return search(tree, (line) =>
      words.every((word) => {
        if (word === "is:error") return tree.status[line] === "error";
        if (word === "is:critical") return critical[line] === 1;
        if (word.startsWith("kind:")) return tree.kind[line]!.toLowerCase() === word.slice(5);
        return lower.names[tree.name[line]!]!.includes(word) || lower.services[tree.service[line]!]!.includes(word) || tree.span_id[line] === word;
      }),
    );
  }, [tree, text, critical]);
  const lines = useMemo(() => shown(end, closed, found?.met ?? null), [end, closed, found]);
  // with room for it, what one most likely looks for is open at once: what failed, or else the first call, or else the root
  const [isPanelClosed, setPanelClosed] = useState(false);
  const chosen = useMemo(() => {
    if (chosenId) return tree.span_id.indexOf(chosenId);
    return isPanelClosed || window.innerWidth <= ROOMY ? -1 : likely(tree);
  }, [tree, chosenId, isPanelClosed]);
  const close = useCallback(() => {
    setPanelClosed(true);
    setParams({ span: undefined });
  }, []);

  const list = useRef<Scroll>(null);

  const choose = useCallback((line: number) => {
    setCursor(line);
    setParams({ span: tree.span_id[line] });
  }, [tree]);

  // a span that the URL names is brought into view
  const wasShown = useRef(false);
  useEffect(() => {
    if (wasShown.current || chosen < 0 || !chosenId) return;
    wasShown.current = true;
    setCursor(chosen);
    const at = lines.indexOf(chosen);
    if (at >= 0) list.current?.toIndex(at, "center");
  }, [chosen, chosenId, lines]);

  const fold = useCallback((line: number, isClosed: boolean) => {
    setClosed((before) => {
      const next = new Set(before);
      if (isClosed) next.add(line);
      else next.delete(line);
      return next;
    });
  }, []);

  const parents = useMemo(() => {
    const all: number[] = [];
    for (let line = 0; line < end.length; line++) if (end[line]! > line + 1) all.push(line);
    return all;
  }, [end]);

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.target instanceof HTMLElement && event.target.closest(".span-panel, .tabs")) {
        if (event.key !== "Escape") return;
      }
      const at = cursor === null ? -1 : lines.indexOf(cursor);
      const to = (next: number) => {
        const line = lines[Math.max(0, Math.min(lines.length - 1, next))];
        if (line === undefined) return;
        setCursor(line);
        list.current?.toIndex(lines.indexOf(line), "auto");
        if (chosen >= 0) setParams({ span: tree.span_id[line] });
      };
      switch (event.key) {
        case "j": case "f": case "ArrowDown": to(at + 1); break;
        case "k": case "b": case "ArrowUp": to(at - 1); break;
        case "PageDown": to(at + 20); break;
        case "PageUp": to(at - 20); break;
        case "Home": to(0); break;
        case "End": to(lines.length - 1); break;
        case "Enter": if (cursor === null || (event.target as HTMLElement).closest("button, a")) return; choose(cursor); break;
        case "Escape": close(); break;
        case "ArrowLeft":
          if (cursor === null) return;
          if (end[cursor]! > cursor + 1 && !closed.has(cursor)) fold(cursor, true);
          else if (tree.parent[cursor] !== null) to(lines.indexOf(tree.parent[cursor]!));
          break;
        case "ArrowRight": if (cursor === null) return; fold(cursor, false); break;
        case "[": setClosed(new Set(parents.filter((line) => tree.depth[line]! > 0))); break;
        case "]": setClosed(new Set()); break;
        case "z": {
          const line = cursor ?? chosen;
          const took = line < 0 ? null : tree.duration_ns[line];
          if (took) setZoom(zoomOf(tree.start_ns[line]!, tree.start_ns[line]! + took));
          break;
        }
        case "0": setZoom(undefined); break;
        case "n": {
          const next = lines.findIndex((line, place) => place > at && tree.status[line] === "error");
          if (next >= 0) to(next);
          break;
        }
        default: return;
      }
      event.preventDefault();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [cursor, lines, closed, end, tree, choose, fold, parents, chosen, close, setZoom]);

  return (
    <div className={chosen >= 0 ? "spans with-panel" : "spans"}>
      <div className="list panel" style={{ "--rows": lines.length } as CSSProperties}>
        <div className="list-tools">
          <label className="find"><Icon name="search" size={14} /><span className="unseen">Find spans</span>
            <input type="search" placeholder="Find spans: a name, is:error, is:critical, kind:tool" value={text} onChange={(event) => setText(event.target.value)} />
          </label>
          {found && <span className="dim" role="status">{plural(found.hits.length, "span")}</span>}
          {isZoomed && <button type="button" onClick={() => setZoom(undefined)} title="Show the whole time of the trace (0)">Whole time</button>}
          <button type="button" className="quiet" onClick={() => setClosed(new Set(parents.filter((line) => tree.depth[line]! > 0)))}>Fold all</button>
          <button type="button" className="quiet" onClick={() => setClosed(new Set())}>Unfold all</button>
        </div>
        <Minimap tree={tree} total={total} zoom={zoom} lines={lines} scroll={(share) => list.current?.toIndex(Math.floor(share * lines.length), "center")} />
        <Scale zoom={zoom} isTimed={isTimed(tree)} choose={(from, to) => setZoom(zoomOf(from, to))} />
        <Lines tree={tree} lines={lines} zoom={zoom} own={own} critical={critical} end={end} closed={closed} reports={reports} chosen={chosen} cursor={cursor} choose={choose} fold={fold} scroll={list} />
      </div>
      {chosen >= 0 && <SpanPanel trace={tree.trace_id} span={tree.span_id[chosen]!} kind={tree.kind[chosen]!} onClose={close} />}
    </div>
  );
}

/** Brings a line into view. */
interface Scroll {
  toIndex: (at: number, align: "center" | "auto") => void;
}

interface LinesProps {
  tree: Tree;
  lines: Int32Array;
  zoom: Zoom;
  own: Float64Array;
  critical: Uint8Array;
  end: Int32Array;
  closed: ReadonlySet<number>;
  reports: Map<string, string>;
  chosen: number;
  cursor: number | null;
  choose: (line: number) => void;
  fold: (line: number, isClosed: boolean) => void;
  scroll: Ref<Scroll>;
}

/**
 * The lines in view. Scrolling draws nothing else anew, and a line that comes takes the elements of one that went: making elements is what
 * takes long. So elements stay in the order in which they were made, and `aria-owns` has the order of the lines.
 */
const Lines = memo(function Lines({ tree, lines, zoom, own, critical, end, closed, reports, chosen, cursor, choose, fold, scroll }: LinesProps) {
  const box = useRef<HTMLDivElement>(null);
  // what a scroll draws is a task of its own, before that of the frame
  const virtual = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 12, useFlushSync: false });
  useImperativeHandle(scroll, () => ({ toIndex: (at, align) => virtual.scrollToIndex(at, { align }) }), [virtual]);
  const items = virtual.getVirtualItems();
  const places = useRef(0);
  places.current = Math.max(places.current, items.length);
  const byPlace = items.map((item) => ({ place: item.index % places.current, at: item.index, top: item.start })).sort((one, other) => one.place - other.place);
  return (
    <div
      className="lines" ref={box} tabIndex={0} role="tree" aria-label="Spans" aria-activedescendant={cursor === null ? undefined : `span-${cursor}`}
      aria-owns={items.map((item) => `span-${lines[item.index]!}`).join(" ") || undefined}
    >
      <div style={{ height: virtual.getTotalSize() }}>
        {byPlace.map(({ place, at, top }) => {
          const line = lines[at]!;
          return (
            <Line
              key={place} tree={tree} line={line} top={top} zoom={zoom} own={own[line]!} isCritical={critical[line] === 1}
              hasChildren={end[line]! > line + 1} isClosed={closed.has(line)} isChosen={line === chosen} isCursor={line === cursor}
              reportOf={reports.get(tree.span_id[line]!)} choose={choose} fold={fold}
            />
          );
        })}
      </div>
      {lines.length === 0 && <Empty title="No span is like this"><p>Search for part of a name, or <code>is:error</code>.</p></Empty>}
    </div>
  );
});

interface LineProps {
  tree: Tree;
  line: number;
  top: number;
  zoom: Zoom;
  own: number;
  isCritical: boolean;
  hasChildren: boolean;
  isClosed: boolean;
  isChosen: boolean;
  isCursor: boolean;
  reportOf: string | undefined;
  choose: (line: number) => void;
  fold: (line: number, isClosed: boolean) => void;
}

const DEPTH_MAX = 24;

const Line = memo(function Line({ tree, line, top, zoom, own, isCritical, hasChildren, isClosed, isChosen, isCursor, reportOf, choose, fold }: LineProps) {
  const name = tree.names[tree.name[line]!] || "(no name)";
  const [start, took, status, kind] = [tree.start_ns[line]!, tree.duration_ns[line] ?? null, tree.status[line]!, tree.kind[line]!];
  const drawn = bar(zoom, start, took ?? 0);
  const tokens = tree.total_tokens[line] ?? null;
  const title = `${kindName(kind)}: ${name}\n${took === null ? "duration not known" : `${duration(took)}, ${duration(own)} of its own`}${isCritical ? ", on the critical path" : ""}`;
  return (
    <div
      id={`span-${line}`} role="treeitem" aria-level={tree.depth[line]! + 1} aria-selected={isChosen} aria-expanded={hasChildren ? !isClosed : undefined}
      className={`line${isChosen ? " chosen" : ""}${isCursor ? " cursor" : ""}${status === "error" ? " failed-line" : ""}`}
      style={{ transform: `translateY(${top}px)` }} onClick={() => choose(line)}
    >
      <div className="cell" style={{ paddingLeft: 6 + Math.min(tree.depth[line]!, DEPTH_MAX) * 14 }}>
        <button
          type="button" tabIndex={-1} className={`toggle${isClosed ? "" : " open"}${hasChildren ? "" : " none"}`} disabled={!hasChildren} aria-label={isClosed ? "Unfold" : "Fold"}
          onClick={(event) => { event.stopPropagation(); fold(line, !isClosed); }}
        />
        <Kind kind={kind} />
        <span className="name" dir="auto">{name}</span>
        {tree.parent_id[line] && <span className="chip" title={`Its parent ${tree.parent_id[line]} has not arrived`}>no parent</span>}
        {reportOf !== undefined && <span className="chip" title={`It reports the same call as ${reportOf}, which counts`}>report of {reportOf}</span>}
        {status === "error" && <span className="mark error" title="Failed" />}
        {tokens !== null && <span className="tokens">{count(tokens)}</span>}
      </div>
      <div className="time" title={title}>
        {typeof drawn === "string" ? <span className={`beyond ${drawn}`}>{drawn === "before" ? "‹" : "›"}</span> : <Bar left={drawn.left} width={drawn.width} took={took} className={`k-${kind}${status === "error" ? " error" : ""}${isCritical ? " critical" : ""}`} />}
      </div>
    </div>
  );
});

function Bar({ left, width, took, className }: { left: number; width: number; took: number | null; className: string }) {
  return (
    <>
      {took === null ? <span className="span-bar unknown" style={{ left: `${left}%` }} /> : <span className={`span-bar ${className}`} style={{ left: `${left}%`, width: `max(2px, ${width}%)` }} />}
      <span className="took" style={left > 70 ? { right: `calc(${100 - left}% + 6px)` } : { left: `calc(${left + width}% + 6px)` }}>{duration(took)}</span>
    </>
  );
}

function zoomOf(from: number, to: number): string {
  return `${Math.floor(Math.max(0, from))}-${Math.ceil(to)}`;
}

/** A window of fewer pixels has fewer times above the bars. */
const NARROW = 600;
/** Pixels from which on a drag is none by mistake. */
const DRAGGED = 4;

/** The times above the bars. Dragging over them shows that part alone. */
function Scale({ zoom, isTimed, choose }: { zoom: Zoom; isTimed: boolean; choose: (from: number, to: number) => void }) {
  const marks = useMemo(() => (isTimed ? ticks(zoom.to - zoom.from, window.innerWidth < NARROW ? 2 : 5, zoom.from) : []), [isTimed, zoom]);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const at = (event: PointerEvent<HTMLDivElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(box.width, event.clientX - box.left));
  };
  const done = (event: PointerEvent<HTMLDivElement>) => {
    if (!drag) return;
    setDrag(null);
    const [low, high] = [Math.min(drag.from, at(event)), Math.max(drag.from, at(event))];
    const each = (zoom.to - zoom.from) / event.currentTarget.getBoundingClientRect().width;
    if (high - low >= DRAGGED) choose(zoom.from + low * each, zoom.from + high * each);
  };
  return (
    <div className="scale" aria-hidden="true">
      <span />
      <div
        title={isTimed ? "Drag to zoom" : undefined} onPointerUp={done} onPointerCancel={() => setDrag(null)}
        onPointerDown={(event) => { if (isTimed && event.button === 0) { event.currentTarget.setPointerCapture(event.pointerId); setDrag({ from: at(event), to: at(event) }); } }}
        onPointerMove={(event) => drag && setDrag({ ...drag, to: at(event) })}
      >
        {marks.map((mark) => <span key={mark} style={{ left: `${((mark - zoom.from) / (zoom.to - zoom.from)) * 100}%` }}>{mark === 0 ? "0" : duration(mark)}</span>)}
        {drag && <i style={{ left: Math.min(drag.from, drag.to), width: Math.abs(drag.to - drag.from) }} />}
      </div>
    </div>
  );
}

/** All spans at once, however many: a line of a pixel for each, or for several. */
function Minimap({ tree, total, zoom, lines, scroll }: { tree: Tree; total: number; zoom: Zoom; lines: Int32Array; scroll: (share: number) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useTheme();
  const height = Math.min(48, Math.max(12, Math.ceil(lines.length / 4)));
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const style = getComputedStyle(element);
    const [plain, failed] = [style.getPropertyValue("--map"), style.getPropertyValue("--error")];
    const width = element.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    element.width = width * ratio;
    element.height = height * ratio;
    context.scale(ratio, ratio);
    const each = Math.max(1, lines.length / (height * 4));
    for (let at = 0; at < lines.length; at += each) {
      const line = lines[Math.floor(at)]!;
      context.fillStyle = tree.status[line] === "error" ? failed : plain;
      context.fillRect((tree.start_ns[line]! / total) * width, (at / lines.length) * height, Math.max(1.5, ((tree.duration_ns[line] ?? 0) / total) * width), Math.max(1, height / lines.length - 0.4));
    }
    // what the waterfall does not show
    context.fillStyle = style.getPropertyValue("--dim");
    context.globalAlpha = 0.25;
    context.fillRect(0, 0, (zoom.from / total) * width, height);
    context.fillRect((zoom.to / total) * width, 0, width, height);
  }, [tree, total, zoom, lines, height, theme]);
  if (lines.length < 60) return null;
  return (
    <canvas
      ref={canvas} className="minimap" style={{ height }} aria-hidden="true"
      onClick={(event) => scroll((event.clientY - event.currentTarget.getBoundingClientRect().top) / height)}
    />
  );
}
