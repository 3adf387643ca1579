import { expect, test } from "vitest";
import { overTime } from "../src/overtime";
import { change, lineOf } from "../src/compare";
import { readable } from "../src/message";

const meta = [{ name: "day", type: "DateTime('UTC')" }, { name: "Model", type: "LowCardinality(String)" }, { name: "calls", type: "UInt64" }, { name: "usd", type: "Nullable(Decimal(38, 12))" }];

test("an answer with a name has a line for each, the largest first", () => {
  const data = [["2026-03-01 00:00:00", "a", 1, null], ["2026-03-01 00:00:00", "b", 5, "0.5"], ["2026-03-02 00:00:00", "a", 2, "0.1"], ["2026-03-03 00:00:00", "", 3, "0.2"]];
  const drawn = overTime({ meta, data }, 0)!;
  expect(drawn.times.map((at) => new Date(at).toISOString().slice(0, 10))).toEqual(["2026-03-01", "2026-03-02", "2026-03-03"]);
  expect(drawn.columns).toEqual(["calls", "usd"]);
  expect(drawn.lines).toEqual([{ name: "b", values: [5, null, null] }, { name: "a", values: [1, 2, null] }, { name: "(none)", values: [null, null, 3] }]);
  expect(overTime({ meta, data }, 1)!.lines.map((line) => line.name)).toEqual(["b", "(none)", "a"]);
});

test("without a name, or with a time a row, there is one line", () => {
  const data = [["2026-03-02", "a", 2, "1"], ["2026-03-01", "b", 1, null]];
  const drawn = overTime({ meta, data }, 9)!;
  expect(drawn.lines).toEqual([{ name: "usd", values: [null, 1] }]);
  const plain = meta.filter((column) => column.name !== "Model");
  expect(overTime({ meta: plain, data: [["2026-03-01", 1, null], ["2026-03-01", 2, null], ["2026-03-02", 3, null]] }, 0)!.lines[0]!.values).toEqual([1, 2, 3]);
});

test("nothing is drawn without a time, without a number and of a single moment", () => {
  expect(overTime({ meta: meta.slice(1), data: [["a", 1, null]] }, 0)).toBeNull();
  expect(overTime({ meta: meta.slice(0, 2), data: [["2026-03-01", "a"], ["2026-03-02", "a"]] }, 0)).toBeNull();
  expect(overTime({ meta, data: [["2026-03-01", "a", 1, null], ["2026-03-01", "b", 1, null]] }, 0)).toBeNull();
});

test("of many names the largest are drawn, and how many others there are", () => {
  const data = Array.from({ length: 40 }, (_, at) => [`2026-03-0${1 + (at % 2)}`, `m${at >> 1}`, at, null]);
  const drawn = overTime({ meta, data }, 0)!;
  expect([drawn.lines.length, drawn.left, drawn.lines[0]!.name]).toEqual([8, 12, "m19"]);
});

test("the line of a place, and where it is in UTF-16", () => {
  expect(lineOf("SELECT '🎉',\n  x(", 15)).toEqual({ line: "  x(", column: 2, at: 15 });
  expect(lineOf("SELECT", 7)).toEqual({ line: "SELECT", column: 6, at: 6 });
  expect(lineOf("a\nb", 1)).toEqual({ line: "a", column: 0, at: 0 });
});

test("a change is a share, or how many times, of what was before", () => {
  expect([change(100, 150), change(100, 95), change(100, 100.1), change(5022, 125_802_467), change(1000, 1), change(1, 0), change(0, 1), change(null, 1)]).toEqual(["+50 %", "−5.0 %", "same", "25.1k times", "almost −100 %", "−100 %", "", ""]);
});

test("messages as JSON give way to their preview", () => {
  expect(readable('[{"role":"user","par', "Hi")).toBe("Hi");
  expect(readable(' {"a":1}', undefined)).toBe(' {"a":1}');
  expect([readable("Hello\nyou", "Hello you"), readable("", "Hi"), readable(undefined, undefined)]).toEqual(["Hello\nyou", "Hi", ""]);
});
