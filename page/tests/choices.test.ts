import { expect, test } from "vitest";
import { ingestUrl } from "../src/api";
import { widthsOf } from "../src/widths";
import { targets } from "../src/places";
import { budgetOf, savings, spentNote } from "../src/budget";

test("senders are told where the ingest listens, and by the name of the page if that is everywhere", () => {
  expect(ingestUrl({ listen: "127.0.0.1:14318", is_tls: false }, "mill.example")).toBe("http://127.0.0.1:14318");
  expect(ingestUrl({ listen: "0.0.0.0:4318", is_tls: true }, "mill.example")).toBe("https://mill.example:4318");
  expect(ingestUrl({ listen: "[::]:4318", is_tls: false }, "[::1]")).toBe("http://[::1]:4318");
  expect(ingestUrl({ listen: "[::1]:4318", is_tls: false }, "localhost")).toBe("http://[::1]:4318");
});

test("widths are of known columns and within bounds", () => {
  expect([...widthsOf("trace:240,content:1,nonsense:5,cost:x,model:99999,time:12.6")]).toEqual([["trace", 240], ["content", 48], ["model", 2000], ["time", 48]]);
  expect(widthsOf("").size).toBe(0);
});

test("what is typed leads to views, a trace, a session or a search", () => {
  const views = [["traces", "Traces"], ["cost", "Cost"]] as const;
  const to = (text: string) => targets(text, views).map((target) => target.to);
  expect(to("")).toEqual(["/traces", "/cost"]);
  expect(to("COS")).toEqual(["/cost", "/traces?q=COS", "/session/COS"]);
  expect(to(` ${"AB".repeat(16)} `)).toEqual([`/trace/${"ab".repeat(16)}`]);
  expect(to("a/b&c")).toEqual(["/traces?q=a%2Fb%26c", "/session/a%2Fb%26c"]);
});

test("a budget is a number of dollars, and says how much of it is spent", () => {
  expect([budgetOf("2.5"), budgetOf(""), budgetOf("0"), budgetOf("-1"), budgetOf("much")]).toEqual([2.5, null, null, null, null]);
  expect(spentNote(1, 2, 86400e3)).toBe("The dashed line is $2.00 a day. In this time that makes $2.00, of which 50 % is spent.");
});

test("what caches saved is known only of models with a price", () => {
  const row = (saved: number | null) => ({ model: "m", cache_read_tokens: 1, saved });
  expect(savings(undefined)).toBeNull();
  expect(savings([row(null)])).toBeNull();
  expect(savings([row(1.5), row(null), row(2)])).toBe(3.5);
});
