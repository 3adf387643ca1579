/**
 * One conversation made of many calls, each of which repeats what was said before: every message once, where it was new.
 *
 * ```text
 * call 1   [user A]                          -> [assistant B]       shows A, B
 * call 2   [user A, assistant B, user C]     -> [assistant D]       shows C, D
 * call 3   [user A, assistant X]             -> [assistant E]       "1 message was rewritten", X, E
 * ```
 */
import { messages, type Message } from "./message";

export interface Call {
  trace_id: string;
  span_id: string;
  started_ms: number;
  duration: number;
  model: string;
  agent: string;
  status: string;
  input_tokens: number | null;
  output_tokens: number | null;
  cost: number | null;
  input: string;
  output: string;
  system: string;
}

export interface Turn {
  call: Call;
  /** Messages that no earlier call had. */
  added: Message[];
  answer: Message[];
  /** Messages of the history that this call left out or has otherwise. */
  dropped: number;
  /** The instructions, if they are not those of the call before. */
  system: string | null;
  systemBefore: string | null;
}

/** What makes two messages the same: who says it, and what. Ids and reasons to end may differ between input and output. */
function identity(message: Message): string {
  const parts = message.parts.filter((part) => part.type !== "reasoning" && part.type !== "thinking");
  return JSON.stringify([message.role, parts.map((part) => (part.type === "text" ? ["text", part.content] : [part.type, part.name ?? null, part.arguments ?? part.response ?? part.result ?? part.content ?? null]))]);
}

export function conversation(calls: Call[]): Turn[] {
  const turns: Turn[] = [];
  const histories: { keys: string[]; agent: string }[] = [];
  const systems = new Map<string, string>();
  for (const call of calls) {
    const [input, answer] = [messages(call.input), messages(call.output)];
    const keys = input.map(identity);
    let known = 0;
    let before = 0;
    for (const history of histories) {
      let same = 0;
      while (same < keys.length && same < history.keys.length && keys[same] === history.keys[same]) same++;
      if (same > known || (same === known && same > 0)) [known, before] = [same, history.keys.length];
    }
    const whole = [...keys, ...answer.map(identity)];
    // another report of a call that was shown, such as that of a gateway
    const isRepeat = histories.some((history) => history.keys.length === whole.length && history.keys.every((key, at) => key === whole[at]));
    histories.push({ keys: whole, agent: call.agent });
    if (isRepeat && whole.length > 0) continue;
    const system = call.system || "";
    const old = systems.get(call.agent) ?? null;
    systems.set(call.agent, system);
    turns.push({
      call,
      added: input.slice(known),
      answer,
      dropped: known > 0 && known < before && known < keys.length ? before - known : 0,
      system: system && system !== old ? system : null,
      systemBefore: old,
    });
  }
  return turns;
}

export interface Difference {
  kind: "same" | "added" | "removed";
  text: string;
}

/** The most lines that are compared; of longer texts both are shown as they are. */
const LINES_MAX = 2_000;

/** The lines of two texts, by their longest common subsequence. */
export function difference(before: string, after: string): Difference[] {
  const [one, other] = [before.split("\n"), after.split("\n")];
  if (one.length > LINES_MAX || other.length > LINES_MAX) return [{ kind: "removed", text: before }, { kind: "added", text: after }];
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
