import { expect, test } from "vitest";
import { paths } from "../src/compare";
import { conversation, difference, type Call } from "../src/conversation";
import { samples, total } from "../src/metrics";

const said = (role: string, text: string) => ({ role, parts: [{ type: "text", content: text }] });
let number = 0;
function call(input: object[], output: object[], more: Partial<Call> = {}): Call {
  number += 1;
  return { trace_id: "t", span_id: String(number), started_ms: number, duration: 1, model: "m", agent: "", status: "success", input_tokens: 1, output_tokens: 1, cost: null, input: JSON.stringify(input), output: JSON.stringify(output), system: "", ...more };
}
const texts = (turns: ReturnType<typeof conversation>) => turns.map((turn) => [...turn.added, ...turn.answer].map((message) => message.parts[0]!.content));

test("each message is shown once, where it was new", () => {
  const [a, b, c, d] = [said("user", "A"), said("assistant", "B"), said("user", "C"), said("assistant", "D")];
  expect(texts(conversation([call([a], [b]), call([a, b, c], [d])]))).toEqual([["A", "B"], ["C", "D"]]);
});

test("another report of a call is not another turn", () => {
  const [a, b] = [said("user", "A"), said("assistant", "B")];
  expect(texts(conversation([call([a], [b]), call([a], [b])]))).toEqual([["A", "B"]]);
});

test("a history that was rewritten is said to be", () => {
  const [a, b, c, x] = [said("user", "A"), said("assistant", "B"), said("user", "C"), said("user", "X")];
  const turns = conversation([call([a], [b]), call([a, b, c], [said("assistant", "D")]), call([a, x], [said("assistant", "E")])]);
  expect(turns.map((turn) => turn.dropped > 0)).toEqual([false, false, true]);
  expect(texts(turns)[2]).toEqual(["X", "E"]);
});

test("a system prompt is shown once, and again when it changes", () => {
  const a = said("user", "A");
  const turns = conversation([call([a], [said("assistant", "1")], { system: "be brief" }), call([a], [said("assistant", "2")], { system: "be brief" }), call([a], [said("assistant", "3")], { system: "be long" })]);
  expect(turns.map((turn) => turn.system)).toEqual(["be brief", null, "be long"]);
});

test("texts differ by lines", () => {
  expect(difference("a\nb\nc", "a\nx\nc").map((line) => `${line.kind[0]}${line.text}`)).toEqual(["sa", "rb", "ax", "sc"]);
});

test("spans of two traces have the same path where they have the same names in the same turn", () => {
  const tree = { parent: [null, 0, 0, 1], names: ["root", "step"], name: [0, 1, 1, 1] };
  expect(paths(tree)).toEqual(["\n", "\n\nstep#0", "\n\nstep#1", "\n\nstep#0\nstep#0"]);
});

test("metrics are read, and a counter with both of its names counts once", () => {
  const all = samples('# HELP x\nx{a="1",b="q\\"r"} 2\nx{a="2"} 3\nx_total{a="1"} 5\ny_total 7\n');
  expect(all[0]).toEqual({ name: "x", labels: { a: "1", b: 'q"r' }, value: 2 });
  expect([total(all, "x"), total(all, "y"), total(all, "z")]).toEqual([5, 7, 0]);
});
