/**
 * The tree of a trace as a flat list, whatever its size: everything here is linear in the number of spans, and works on columns.
 * A span comes before its children, so the lines below a span are the ones that follow it with a greater depth.
 */
import type { Tree } from "./api";

/** For each line the number of the first line that is not below it. */
export function ends(depth: readonly number[]): Int32Array {
  const end = new Int32Array(depth.length);
  const open: number[] = [];
  for (let line = 0; line <= depth.length; line++) {
    const own = line < depth.length ? depth[line]! : -1;
    while (open.length > 0 && depth[open[open.length - 1]!]! >= own) end[open.pop()!] = line;
    if (line < depth.length) open.push(line);
  }
  return end;
}

/** The lines that are shown: not below one that is closed, and, if there is a search, only those it meets and what is above them. */
export function shown(end: Int32Array, closed: ReadonlySet<number>, met: Uint8Array | null): Int32Array {
  const lines = new Int32Array(end.length);
  let count = 0;
  let line = 0;
  while (line < end.length) {
    if (met && !met[line]) {
      line = end[line]!;
      continue;
    }
    lines[count++] = line;
    line = closed.has(line) && !met ? end[line]! : line + 1;
  }
  return lines.subarray(0, count);
}

/** Which lines a search meets, or have one below them that it meets. */
export function search(tree: Pick<Tree, "parent">, isMet: (line: number) => boolean): { met: Uint8Array; hits: Int32Array } {
  const size = tree.parent.length;
  const met = new Uint8Array(size);
  const hits: number[] = [];
  for (let line = 0; line < size; line++) {
    if (!isMet(line)) continue;
    hits.push(line);
    for (let above: number | null = line; above !== null && !met[above]; above = tree.parent[above] ?? null) met[above] = 1;
  }
  return { met, hits: Int32Array.from(hits) };
}

/**
 * The critical path: what the trace waited for. From the end of the first root back: of the children that ended before the moment one
 * looks at, the one that ended last; then what that one waited for, and so on.
 */
export function criticalPath(tree: Pick<Tree, "parent" | "start_ns" | "duration_ns">): Uint8Array {
  const size = tree.parent.length;
  const critical = new Uint8Array(size);
  if (size === 0) return critical;
  const children: number[][] = [];
  for (let line = 0; line < size; line++) {
    const parent = tree.parent[line];
    if (parent !== null && parent !== undefined) (children[parent] ??= []).push(line);
  }
  const endOf = (line: number) => tree.start_ns[line]! + (tree.duration_ns[line] ?? 0);
  const open: [number, number][] = [[0, endOf(0)]];
  while (open.length > 0) {
    const [line, until] = open.pop()!;
    critical[line] = 1;
    let moment = until;
    for (const child of (children[line] ?? []).sort((one, other) => endOf(other) - endOf(one))) {
      if (endOf(child) > moment || tree.duration_ns[child] === null) continue;
      open.push([child, endOf(child)]);
      moment = tree.start_ns[child]!;
    }
  }
  return critical;
}

/** The nanoseconds of a span that none of its children take. */
export function selfTimes(tree: Pick<Tree, "parent" | "start_ns" | "duration_ns">): Float64Array {
  const size = tree.parent.length;
  const own = new Float64Array(size);
  const covered = new Float64Array(size);
  const until = new Float64Array(size);
  for (let line = 0; line < size; line++) {
    own[line] = tree.duration_ns[line] ?? 0;
    const parent = tree.parent[line];
    if (parent === null || parent === undefined) continue;
    // children come by when they began: what an earlier one covers is not taken twice
    const from = Math.max(tree.start_ns[line]!, until[parent]!, tree.start_ns[parent]!);
    const to = Math.min(tree.start_ns[line]! + own[line]!, tree.start_ns[parent]! + (tree.duration_ns[parent] ?? 0));
    if (to > from) {
      covered[parent] = covered[parent]! + (to - from);
      until[parent] = to;
    }
  }
  for (let line = 0; line < size; line++) own[line] = Math.max(0, own[line]! - covered[line]!);
  return own;
}

/** The end of the last span, in nanoseconds since the trace began; a trace without any length gets one, so that it can be drawn. */
export function length(tree: Pick<Tree, "start_ns" | "duration_ns">): number {
  let end = 0;
  for (let line = 0; line < tree.start_ns.length; line++) {
    end = Math.max(end, tree.start_ns[line]! + (tree.duration_ns[line] ?? 0));
  }
  return end > 0 ? end : 1;
}

/** Round times for an axis of so many nanoseconds, or of those after `from`. */
export function ticks(nanos: number, most: number, from = 0): number[] {
  const raw = nanos / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw) ?? raw;
  const all: number[] = [];
  const first = Math.ceil(from / unit) * unit;
  // counted, since a step may be too small to change a number as large as a time
  for (let step = 0; step <= most + 1; step++) {
    const at = first + step * unit;
    if (at <= from + nanos && at !== all.at(-1)) all.push(at);
  }
  return all;
}

/** The part of a trace that is drawn, in nanoseconds since it began. */
export interface Zoom {
  from: number;
  to: number;
}

/** Reads `FROM-TO`; anything else, or a range outside the trace, means the whole trace. */
export function parseZoom(text: string, total: number): Zoom {
  const found = /^(\d{1,18})-(\d{1,18})$/.exec(text);
  const [from, to] = found ? [Number(found[1]), Math.min(total, Number(found[2]))] : [0, total];
  return from < to ? { from, to } : { from: 0, to: total };
}

/** Where a bar is, in hundredths of what is drawn; or that it is before or after that. */
export function bar(zoom: Zoom, start: number, took: number): { left: number; width: number } | "before" | "after" {
  const share = (at: number) => ((at - zoom.from) / (zoom.to - zoom.from)) * 100;
  const [left, right] = [share(start), share(start + took)];
  if (right < 0) return "before";
  if (left > 100) return "after";
  const seen = Math.max(0, left);
  return { left: seen, width: Math.min(100, right) - seen };
}
