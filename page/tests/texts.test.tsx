import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { Markdown, blocks } from "../src/markdown";
import { filterOf } from "../src/filter";

const html = (text: string) => renderToStaticMarkup(<Markdown text={text} />);

test("what looks like HTML is text", () => {
  const hostile = '<img src=x onerror=alert(1)> **<script>alert(2)</script>** `</code><b>`';
  expect(html(hostile)).not.toMatch(/<(img|script|b)\b/);
  expect(html(hostile)).toContain("&lt;script&gt;");
});

test("links lead nowhere and images are not loaded", () => {
  const text = html("[click](javascript:alert(1)) ![x](https://evil.example.com/a.png) [a](https://example.com)");
  expect(text).not.toMatch(/<a |<img |href=|src=/);
  expect(text).toContain("https://example.com");
});

test("the common part of Markdown is elements", () => {
  expect(html("# Title\n\nSome **bold** and `code`.\n\n- one\n- two\n\n```js\nlet a = 1;\n```")).toBe(
    '<div class="markdown"><p class="heading h1">Title</p><p>Some <strong>bold</strong> and <code>code</code>.</p><ul dir="auto"><li>one</li><li>two</li></ul><pre><code>let a = 1;</code></pre></div>',
  );
  expect(html("| a | b |\n| --- | --- |\n| 1 | 2 |")).toContain("<td>2</td>");
  expect(blocks("```\nnever closed\n# no heading").map((block) => block.kind)).toEqual(["code"]);
});

test("a filter has the times and the status", () => {
  expect(filterOf({ since: null, until: null }, "")).toBeUndefined();
  expect(filterOf({ since: null, until: null }, "", "model:m")).toBe('{"started_at":{"$gte":"1970-01-01T00:00:00.000Z"}}');
  expect(filterOf({ since: 0, until: null }, "error")).toBe('{"$and":[{"started_at":{"$gte":"1970-01-01T00:00:00.000Z"}},{"status":"error"}]}');
});
