/** One conversation made of many calls, as the read API tells it: each message once, where it was new. */
import type { Message, Part } from "./message";

export interface Told {
  agents: { span_id: string | null; name: string | null; parent: number | null }[];
  systems: { text: string; span_id: string }[];
  calls: Call[];
  messages: (Message & { span_id: string; call: number })[];
  tools: Tool[];
  is_complete: boolean;
}

export interface Call {
  trace_id: string;
  span_id: string;
  agent: number;
  system: number | null;
  kept: number;
  dropped: number;
  added: number[];
  output: number[];
  started_at: string;
  duration_ms: number | null;
  status: string;
  model: string | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
}

/** A run of a tool. */
export interface Tool {
  trace_id: string;
  span_id: string;
  call_id: string | null;
  name: string | null;
  input: string | null;
  output: string | null;
  started_at: string;
  duration_ms: number | null;
  status: string;
}

/** What came of asking for a tool: its result, as a message has it, and its run. */
export interface Came {
  result?: Part;
  run?: Tool;
}

export interface Turn {
  call: Call;
  /** Messages that no earlier call had. Results are shown where they were asked for. */
  added: Message[];
  answer: Message[];
  agent: string;
  /** How many agents are above its own. */
  depth: number;
  /** The instructions, if they are not those of the agent's call before. */
  system: string | null;
  systemBefore: string | null;
}

function idOf(part: Part): string {
  return typeof part.id === "string" ? part.id : "";
}

/** What came of each tool call, by its id. */
export function outcomes(told: Pick<Told, "messages" | "tools">): Map<string, Came> {
  const came = new Map<string, Came>();
  const of = (id: string) => came.get(id) ?? came.set(id, {}).get(id)!;
  for (const message of told.messages) {
    for (const part of message.parts) if (part.type === "tool_call_response" && idOf(part)) of(idOf(part)).result ??= part;
  }
  for (const tool of told.tools) if (tool.call_id) of(tool.call_id).run ??= tool;
  return came;
}

export function turns(told: Told): Turn[] {
  const asked = new Set(told.messages.flatMap((message) => message.parts.filter((part) => part.type === "tool_call").map(idOf)).filter(Boolean));
  const isElsewhere = (message: Message) => message.parts.length > 0 && message.parts.every((part) => part.type === "tool_call_response" && asked.has(idOf(part)));
  const depth = (agent: number) => {
    let deep = 0;
    for (let at = told.agents[agent]?.parent ?? null; at !== null && deep < told.agents.length; at = told.agents[at]?.parent ?? null) deep++;
    return deep;
  };
  const systems = new Map<number, number>();
  return told.calls.map((call) => {
    const before = systems.get(call.agent);
    if (call.system !== null) systems.set(call.agent, call.system);
    const isNew = call.system !== null && call.system !== before;
    const all = (numbers: number[]) => numbers.flatMap((number) => told.messages[number] ?? []).filter((message) => !isElsewhere(message));
    return {
      call,
      added: all(call.added),
      answer: all(call.output),
      agent: told.agents[call.agent]?.name ?? "",
      depth: depth(call.agent),
      system: isNew ? (told.systems[call.system!]?.text ?? null) : null,
      systemBefore: isNew && before !== undefined ? (told.systems[before]?.text ?? null) : null,
    };
  });
}

export interface Difference {
  kind: "same" | "added" | "removed";
  text: string;
}

/** A piece of a changed text, and whether the other text has it too. */
export interface Piece {
  text: string;
  isChanged: boolean;
}

/** The most words of which it is said which ones changed. */
const WORDS_MAX = 1_500;

/** Which words of two texts are not in the other. Of texts without much in common everything is: then it is another text. */
export function words(before: string, after: string): [Piece[], Piece[]] {
  const split = (text: string): string[] => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const [one, other] = [split(before), split(after)];
  const whole: [Piece[], Piece[]] = [[{ text: before, isChanged: true }], [{ text: after, isChanged: true }]];
  if (one.length > WORDS_MAX || other.length > WORDS_MAX) return whole;
  const all = subsequence(one, other);
  const same = all.reduce((sum, piece) => sum + (piece.kind === "same" ? piece.text.trim().length : 0), 0);
  if (same * 3 < Math.max(before.length, after.length)) return whole;
  const of = (kind: "removed" | "added") => {
    const pieces: Piece[] = [];
    for (const piece of all) {
      if (piece.kind !== "same" && piece.kind !== kind) continue;
      const isChanged = piece.kind === kind;
      const last = pieces[pieces.length - 1];
      if (last && last.isChanged === isChanged) last.text += piece.text;
      else pieces.push({ text: piece.text, isChanged });
    }
    return pieces;
  };
  return [of("removed"), of("added")];
}

/** The most lines that are compared; of longer texts both are shown as they are. */
const LINES_MAX = 2_000;

/** The lines of two texts, by their longest common subsequence. */
export function difference(before: string, after: string): Difference[] {
  const [one, other] = [before.split("\n"), after.split("\n")];
  if (one.length > LINES_MAX || other.length > LINES_MAX) return [{ kind: "removed", text: before }, { kind: "added", text: after }];
  return subsequence(one, other);
}

/** Lines in a row that are in both texts, only in the first or only in the second; in the latter two, which words changed. */
export interface Change {
  kind: Difference["kind"];
  pieces: Piece[];
}

export function changes(before: string, after: string): Change[] {
  const out: Change[] = [];
  let removed: string[] = [];
  let added: string[] = [];
  const flush = () => {
    const both = removed.length > 0 && added.length > 0;
    const [gone, come] = both ? words(removed.join("\n"), added.join("\n")) : [[{ text: removed.join("\n"), isChanged: false }], [{ text: added.join("\n"), isChanged: false }]];
    if (removed.length > 0) out.push({ kind: "removed", pieces: gone });
    if (added.length > 0) out.push({ kind: "added", pieces: come });
    [removed, added] = [[], []];
  };
  for (const line of difference(before, after)) {
    if (line.kind === "removed") removed.push(line.text);
    else if (line.kind === "added") added.push(line.text);
    else {
      flush();
      out.push({ kind: "same", pieces: [{ text: line.text, isChanged: false }] });
    }
  }
  flush();
  return out;
}

function subsequence(one: string[], other: string[]): Difference[] {
  const width = other.length + 1;
  const longest = new Uint16Array((one.length + 1) * width);
  for (let a = one.length - 1; a >= 0; a--) {
    for (let b = other.length - 1; b >= 0; b--) {
      longest[a * width + b] = one[a] === other[b] ? longest[(a + 1) * width + b + 1]! + 1 : Math.max(longest[(a + 1) * width + b]!, longest[a * width + b + 1]!);
    }
  }
  const out: Difference[] = [];
  let [a, b] = [0, 0];
  while (a < one.length || b < other.length) {
    if (a < one.length && b < other.length && one[a] === other[b]) {
      out.push({ kind: "same", text: one[a]! });
      a++;
      b++;
    } else if (b >= other.length || (a < one.length && longest[(a + 1) * width + b]! >= longest[a * width + b + 1]!)) out.push({ kind: "removed", text: one[a++]! });
    else out.push({ kind: "added", text: other[b++]! });
  }
  return out;
}
