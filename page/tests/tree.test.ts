import { expect, test } from "vitest";
import { bar, criticalPath, ends, length, parseZoom, search, selfTimes, shown, ticks } from "../src/tree";

/**
 * root 0-100
 *   a 0-40
 *     b 10-30
 *   c 35-90
 *   d 50-60
 */
const tree = { parent: [null, 0, 1, 0, 0], start_ns: [0, 0, 10, 35, 50], duration_ns: [100, 40, 20, 55, 10] };
const depth = [0, 1, 2, 1, 1];

test("the lines below a span are those that follow with a greater depth", () => {
  expect([...ends(depth)]).toEqual([5, 3, 3, 4, 5]);
  expect([...ends([0, 0, 1, 0])]).toEqual([1, 3, 3, 4]);
  expect([...ends([])]).toEqual([]);
});

test("what is folded is not shown, and a search shows what it meets with all above it", () => {
  const end = ends(depth);
  expect([...shown(end, new Set(), null)]).toEqual([0, 1, 2, 3, 4]);
  expect([...shown(end, new Set([1]), null)]).toEqual([0, 1, 3, 4]);
  const { met, hits } = search(tree, (line) => line === 2);
  expect([...hits]).toEqual([2]);
  expect([...shown(end, new Set([1]), met)]).toEqual([0, 1, 2]);
});

test("the critical path is what the end waited for", () => {
  expect([...criticalPath(tree)]).toEqual([1, 0, 0, 1, 0]);
  const sequence = { parent: [null, 0, 0], start_ns: [0, 0, 50], duration_ns: [100, 50, 50] };
  expect([...criticalPath(sequence)]).toEqual([1, 1, 1]);
  expect([...criticalPath({ parent: [null, 0], start_ns: [0, 5], duration_ns: [100, null] })]).toEqual([1, 0]);
  expect([...criticalPath({ parent: [], start_ns: [], duration_ns: [] })]).toEqual([]);
});

test("time of its own is what no child takes, and two at once take it once", () => {
  expect([...selfTimes(tree)]).toEqual([10, 20, 20, 55, 10]);
});

test("a trace without any length can be drawn", () => {
  expect(length(tree)).toBe(100);
  expect(length({ start_ns: [0], duration_ns: [null] })).toBe(1);
  expect(ticks(100, 5)).toEqual([0, 20, 40, 60, 80, 100]);
});

test("a part of the time is drawn, and what reaches beyond it is cut", () => {
  expect([parseZoom("20-60", 100), parseZoom("20-600", 100)]).toEqual([{ from: 20, to: 60 }, { from: 20, to: 100 }]);
  for (const none of ["", "60-20", "100-200", "x", "1e3-5"]) expect(parseZoom(none, 100)).toEqual({ from: 0, to: 100 });
  const zoom = { from: 20, to: 60 };
  expect(bar(zoom, 30, 10)).toEqual({ left: 25, width: 25 });
  expect([bar(zoom, 0, 100), bar(zoom, 0, 40), bar(zoom, 40, 40)]).toEqual([{ left: 0, width: 100 }, { left: 0, width: 50 }, { left: 50, width: 50 }]);
  expect([bar(zoom, 0, 10), bar(zoom, 61, 10)]).toEqual(["before", "after"]);
  expect(ticks(40, 4, 20)).toEqual([20, 30, 40, 50, 60]);
});

test("100,000 spans in a chain are walked without recursion", () => {
  const size = 100_000;
  const chain = {
    parent: Array.from({ length: size }, (_, at) => (at === 0 ? null : at - 1)),
    start_ns: Array.from({ length: size }, (_, at) => at),
    duration_ns: Array.from({ length: size }, (_, at) => size - at),
  };
  expect(ends(chain.parent.map((_, at) => at))[0]).toBe(size);
  expect(criticalPath(chain).every((one) => one === 1)).toBe(true);
  expect(search(chain, (line) => line === size - 1).met[0]).toBe(1);
});
