import { expect, test } from "vitest";
import { ago, bytes, count, duration, exactly, money, oneLine, percent, plural, when } from "../src/format";

test("counts are whole up to 9,999 and have a letter then", () => {
  expect([0, 7, 9999, 10_000, 12_345, 999_960, 1_234_567, 2.5e9].map(count)).toEqual(["0", "7", "9,999", "10k", "12.3k", "1M", "1.23M", "2.5G"]);
  expect([null, undefined, NaN].map(count)).toEqual(["–", "–", "–"]);
});

test("money has two digits that say something, however small it is", () => {
  expect([0, 0.000038, 0.00073, 0.0123, 0.25, 1.5, 1234.5, 45_678, null].map(money)).toEqual(["$0", "$0.000038", "$0.00073", "$0.012", "$0.25", "$1.50", "$1,234.50", "$45.7k", "–"]);
});

test("durations have the unit that fits", () => {
  expect([0, 5, 1500, 340e3, 45e6, 900e6, 3.2e9, 59.94e9, 60e9, 125e9, 3600e9, 5000e9, null].map(duration)).toEqual(
    ["0", "5 ns", "1.50 µs", "340 µs", "45.0 ms", "900 ms", "3.20 s", "59.9 s", "1 m 00 s", "2 m 05 s", "1 h 00 m", "1 h 23 m", "–"]);
});

test("no unit runs over into the next one", () => {
  expect([999.6e3, 999.6e6, 59.96e9].map(duration)).toEqual(["1.00 ms", "1.00 s", "1 m 00 s"]);
});

test("shares, bytes, nouns and texts", () => {
  expect([percent(1, 12), percent(0, 5), percent(1, 100_000), percent(null, 5), percent(1, 0)]).toEqual(["8.3 %", "0 %", "<0.1 %", "–", "–"]);
  expect([bytes(0), bytes(1536), bytes(5 << 20)]).toEqual(["0 B", "1.5 KiB", "5 MiB"]);
  expect([plural(1, "span"), plural(2, "span"), plural(0, "entry", "entries")]).toEqual(["1 span", "2 spans", "0 entries"]);
  expect(oneLine("a\n\n b   c", 10)).toBe("a b c");
  expect(oneLine("x".repeat(20), 10)).toBe(`${"x".repeat(10)}…`);
  expect([oneLine("123456789🎉", 10), oneLine("12345678🎉9", 10)]).toEqual(["123456789…", "12345678🎉…"]);
});

test("times say as much as is needed", () => {
  const now = Date.UTC(2026, 2, 4, 12);
  expect(ago(now - 90e3, now)).toBe("2 min ago");
  expect(when(Date.UTC(2025, 0, 1, 12), now)).toContain("2025");
  expect(exactly(now)).toMatch(/^4 Mar 2026 .*UTC/);
});
