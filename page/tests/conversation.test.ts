import { judged, parameters, paths, said } from "../src/compare";
import { samples, total } from "../src/metrics";
import { expect, test } from "vitest";
import { changes, difference, outcomes, turns, type Told } from "../src/conversation";

const text = (role: string, content: string) => ({ role, parts: [{ type: "text", content }], span_id: "s", call: 0 });
const call = (span_id: string, more: object) => ({ trace_id: "t", span_id, agent: 0, system: null, kept: 0, dropped: 0, added: [], output: [], started_at: "2026-03-02T09:00:00Z", duration_ms: 1, status: "success", model: "m", input_tokens: 1, output_tokens: 1, cost_usd: null, ...more });

const told: Told = {
  agents: [{ span_id: null, name: null, parent: null }, { span_id: "a", name: "scout", parent: 0 }],
  systems: [{ text: "be brief", span_id: "1" }, { text: "be long", span_id: "3" }],
  messages: [
    text("user", "weather?"),
    { role: "assistant", parts: [{ type: "tool_call", id: "c1", name: "weather", arguments: {} }], span_id: "1", call: 0 },
    { role: "tool", parts: [{ type: "tool_call_response", id: "c1", result: "sunny" }], span_id: "2", call: 1 },
    text("assistant", "fine"),
    { role: "tool", parts: [{ type: "tool_call_response", id: "gone", result: "of a call that nobody has" }], span_id: "3", call: 2 },
  ],
  calls: [
    call("1", { system: 0, added: [0], output: [1] }),
    call("2", { system: 0, added: [2], output: [3] }),
    call("3", { system: 1, added: [4], agent: 0, dropped: 2 }),
    call("4", { system: 1, agent: 1 }),
  ],
  tools: [{ trace_id: "t", span_id: "w", call_id: "c1", name: "weather", input: null, output: null, started_at: "2026-03-02T09:00:00Z", duration_ms: 5, status: "error" }],
  is_complete: true,
};

test("results of tools are shown where they were asked for, others where they are", () => {
  const all = turns(told);
  expect(all.map((turn) => [turn.added.length, turn.answer.length])).toEqual([[1, 1], [0, 1], [1, 0], [0, 0]]);
  const came = outcomes(told);
  expect(came.get("c1")?.result?.result).toBe("sunny");
  expect(came.get("c1")?.run?.status).toBe("error");
});

test("a system prompt is shown once, its change by agent with the one before", () => {
  expect(turns(told).map((turn) => [turn.system, turn.systemBefore])).toEqual([["be brief", null], [null, null], ["be long", "be brief"], ["be long", null]]);
  expect(turns(told).map((turn) => [turn.agent, turn.depth])).toEqual([["", 0], ["", 0], ["", 0], ["scout", 1]]);
});

test("differences are by lines", () => {
  expect(difference("a\nb\nc", "a\nx\nc").map((one) => [one.kind, one.text])).toEqual([["same", "a"], ["removed", "b"], ["added", "x"], ["same", "c"]]);
  expect(difference("", "").length).toBe(1);
});

test("in lines that changed it is said which words did, unless everything did", () => {
  const shown = (before: string, after: string) => changes(before, after).map(({ kind, pieces }) => [kind, pieces.map((piece) => (piece.isChanged ? `[${piece.text}]` : piece.text)).join("")]);
  expect(shown("be brief\nask first", "be brief\nnever ask first")).toEqual([["same", "be brief"], ["removed", "ask first"], ["added", "[never ]ask first"]]);
  expect(shown("one", "completely other")).toEqual([["removed", "[one]"], ["added", "[completely other]"]]);
  expect(shown("a\nb", "a")).toEqual([["same", "a"], ["removed", "b"]]);
  expect(shown("", "")).toEqual([["same", ""]]);
  const long = "word ".repeat(2_000);
  expect(shown(long, `${long}more`).map(([kind]) => kind)).toEqual(["removed", "added"]);
});

test("a test case with one score that is worse is worse", () => {
  const figures = (difference: number | null) => ({ mean: { value: 1, baseline: 1, difference } });
  const of = (...differences: (number | null)[]) => judged({ scores: Object.fromEntries(differences.map((difference, at) => [at, difference === null ? null : figures(difference)])) });
  expect([of(0.5, -0.1), of(0.5, 0), of(0, null), of()]).toEqual(["worse", "better", "same", "same"]);
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

test("a call's parameters and messages are texts that can be compared by lines", () => {
  expect(parameters({ RequestModel: "m", Provider: "", RequestParameters: '{"top_p":1,"seed":"x"}' })).toBe("model: m\nseed: x\ntop_p: 1");
  expect(parameters({})).toBe("");
  expect(said('[{"role":"user","parts":[{"type":"text","content":"hi"}]},{"role":"assistant","parts":[{"type":"tool_call","name":"f"}]}]').split("\n")).toEqual(["[user]", "hi", "", "[assistant]", "{", ' "type": "tool_call",', ' "name": "f"', "}"]);
  const image = (end: string) => said(JSON.stringify([{ role: "user", parts: [{ type: "blob", mime_type: "image/svg+xml", content: `iVBORw0KGgo${"A".repeat(60)}${end}` }] }]));
  expect(image("BBBBBBBBBBBB=")).toBe("[user]\n[image/png, 63 B, …BBBBBBBBBBB=]");
  expect(image("B")).not.toBe(image("C"));
});
