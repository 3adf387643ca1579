/** Two beside each other: spans of traces, paired by their path of names and turn; calls; experiments. Linear in what is compared. */
import type { Tree } from "./api";
import { bytes, count } from "./format";
import { base64Of, mediaType, messages, parsed, type Part } from "./message";

export interface Pair {
  name: string;
  kind: string;
  depth: number;
  /** Lines of the trees; null where one has no such span. */
  a: number | null;
  b: number | null;
}

/** The path of each line: the names from the root, each with which of its like it is among its siblings. */
export function paths(tree: Pick<Tree, "parent" | "names" | "name">): string[] {
  const seen = new Map<string, number>();
  const out: string[] = [];
  for (let line = 0; line < tree.parent.length; line++) {
    const parent = tree.parent[line] ?? null;
    const base = `${parent === null ? "" : out[parent]}\n${tree.names[tree.name[line]!] ?? ""}`;
    const nth = seen.get(base) ?? 0;
    seen.set(base, nth + 1);
    // two roots of another name are the same place
    out.push(parent === null && nth === 0 && line === 0 ? "\n" : `${base}#${nth}`);
  }
  return out;
}

export function pair(a: Tree, b: Tree): Pair[] {
  const [ofA, ofB] = [paths(a), paths(b)];
  const linesOfB = new Map(ofB.map((path, line) => [path, line]));
  const known = new Set(ofA);
  const row = (tree: Tree, line: number, pair: Pick<Pair, "a" | "b">): Pair => ({ name: tree.names[tree.name[line]!] ?? "", kind: tree.kind[line]!, depth: tree.depth[line]!, ...pair });
  const out: Pair[] = [];
  // what only b has comes after the span of a that stands before it in b
  const extra = new Map<number, number[]>();
  let last = -1;
  const linesOfA = new Map(ofA.map((path, line) => [path, line]));
  ofB.forEach((path, line) => {
    if (known.has(path)) last = linesOfA.get(path)!;
    else extra.set(last, [...(extra.get(last) ?? []), line]);
  });
  const push = (after: number) => (extra.get(after) ?? []).forEach((line) => out.push(row(b, line, { a: null, b: line })));
  push(-1);
  ofA.forEach((path, line) => {
    out.push(row(a, line, { a: line, b: linesOfB.get(path) ?? null }));
    push(line);
  });
  return out;
}

/** What is said of each as a text: a line a message or part, so that a difference shows where it is. */
export function said(stored: string): string {
  return messages(stored).map((message) => [...(message.role ? [`[${message.role}]`] : []), ...message.parts.map(partText)].join("\n")).join("\n\n");
}

/** Parts that are words, which may look like base64. */
const isWords = (part: Part): boolean => ["text", "reasoning", "thinking"].includes(part.type ?? "");

/** A part as text. Of media that is what they are, and their last 12 letters, which tell them apart. */
function partText(part: Part): string {
  const data = isWords(part) ? null : base64Of(part);
  if (data) return `[${mediaType(data) ?? String(part.mime_type ?? part.type)}, ${bytes(Math.floor(data.length * 0.75))}, …${data.slice(-12)}]`;
  return typeof part.content === "string" ? part.content : JSON.stringify(part, null, 1);
}

/** Parameters by name, in order. */
export function parameters(span: Record<string, unknown>): string {
  const given = parsed(typeof span.RequestParameters === "string" ? span.RequestParameters : "");
  const entries = Object.entries((given ?? {}) as Record<string, unknown>).sort(([one], [other]) => (one < other ? -1 : 1));
  return [["model", span.RequestModel], ["provider", span.Provider], ...entries].filter(([, value]) => value !== "" && value !== undefined).map(([name, value]) => `${String(name)}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n");
}

/** A figure of an experiment beside that of its baseline. */
interface Side { value: number | null; baseline: number | null; difference: number | null }
export interface Figures { mean: Side }
export interface TestCase { test_case_id: string; run_count: { value: number; baseline: number }; cost_usd: Figures | null; latency_ms: Figures | null; tokens: Figures | null; scores: Record<string, Figures | null> }
export interface Compared { cost_usd: Figures | null; latency_ms: Figures | null; tokens: Figures | null; scores: Record<string, Figures | null>; test_cases: TestCase[]; is_complete: boolean }

/** Whether the scores of a test case are worse than those of the baseline: one that is worse says so, whatever the others do. */
export function judged(one: Pick<TestCase, "scores">): "worse" | "better" | "same" {
  const differences = Object.values(one.scores).map((figures) => figures?.mean.difference ?? 0);
  if (differences.some((difference) => difference < 0)) return "worse";
  return differences.some((difference) => difference > 0) ? "better" : "same";
}

/** How much more or less than before. */
export function change(before: number | null | undefined, after: number | null | undefined): string {
  if (before === null || before === undefined || after === null || after === undefined || before === 0) return "";
  const share = ((after - before) / before) * 100;
  // a share says nothing any more
  if (share >= 1000) return `${count(Math.round(after / before))} times`;
  if (share < -99.5 && after > 0) return "almost −100 %";
  return Math.abs(share) < 0.5 ? "same" : `${share > 0 ? "+" : "−"}${Math.abs(share) >= 10 ? Math.round(Math.abs(share)) : Math.abs(share).toFixed(1)} %`;
}

/** The line that has a character (from 1) of a text, what of the line comes before it, and its index in UTF-16. */
export function lineOf(text: string, position: number): { line: string; column: number; at: number } {
  const before = [...text].slice(0, position - 1).join("");
  const begin = before.lastIndexOf("\n") + 1;
  const end = text.indexOf("\n", before.length);
  return { line: text.slice(begin, end < 0 ? undefined : end), column: [...before.slice(begin)].length, at: before.length };
}
