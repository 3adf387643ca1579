// The page in Chromium against the real binary. Prints what it measures; fails on the first promise that does not hold.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ask, browser, loadExperiments, loadSample, send, start, until } from "./service.mjs";
import { ARABIC, HOSTILE, hostileTrace, largeTrace, LONG_ID, ODD_ID, oddTraces } from "./traces.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SAMPLE = "11111111111111111111111111111111";
const TEN = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const HUNDRED = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const HOSTILE_ID = "cccccccccccccccccccccccccccccccc";
/** Views, each with what is on it once it is there. */
const VIEWS = [
  ["/traces?range=all", "table.traces .preview"],
  ["/traces?range=all&q=model%3Agpt*", "table.traces tbody tr"],
  [`/traces?range=all&peek=${SAMPLE}&columns=time,trace,model,ttft,session,user,id`, ".peek .peek-spans li"],
  ["/traces?range=all&status=error", ".histogram canvas"],
  [`/trace/${SAMPLE}`, ".line"],
  [`/trace/${SAMPLE}?span=1133333333333333`, ".span-panel .message"],
  [`/trace/${SAMPLE}?tab=conversation`, ".turn .message"],
  ["/sessions?range=all", "table.rows .preview"],
  ["/session/anna-1", "table.rows tbody tr"],
  ["/session/anna-1?tab=conversation", ".turn .message"],
  ["/cost?range=all", "table.rows tbody tr"],
  ["/cost?range=all&by=user", "table.rows tbody tr"],
  ["/latency?range=all", "table.rows tbody tr"],
  ["/sql?sql=SELECT%20toStartOfHour(Timestamp)%20AS%20hour%2C%20count()%20AS%20calls%20FROM%20otel.genai_calls%20GROUP%20BY%20hour%20ORDER%20BY%20hour", "table.rows tbody tr"],
  ["/import", ".drop"],
  ["/health", "table.rows tbody tr"],
  ["/experiments", ".empty"],
  ["/experiments?ws=evals&base=short", "table.rows tbody tr"],
  ["/experiments/short?ws=evals", "table.rows tbody tr"],
  ["/experiments/long?ws=evals&base=short", ".figure"],
  [`/compare?a=${SAMPLE}&b=22222222222222222222222222222222`, ".cards, .failed"],
  [`/compare?a=${SAMPLE}/1133333333333333&b=${SAMPLE}/1133333333333333`, ".cards"],
  ["/nothing", ".empty"],
  [`/trace/${LONG_ID}?span=0000000000000002`, ".span-panel .body"],
  [`/trace/${LONG_ID}?tab=conversation`, ".turn .message"],
  [`/traces?range=1h&peek=${LONG_ID}`, ".peek .peek-spans li"],
  [`/compare?a=${SAMPLE}&b=${LONG_ID}`, ".cards"],
  [`/trace/${ODD_ID}?span=0000000000000001`, ".span-panel .message"],
];

const service = await start();
const chromium = await browser();
const problems = [];

/** A window in which nothing may go wrong: no error, no report of the policy, no request to another origin. */
async function open(options = {}) {
  const context = await chromium.newContext({ viewport: { width: 1360, height: 860 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && problems.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("request", (request) => !request.url().startsWith(service.page) && !/^(data|blob):/.test(request.url()) && problems.push(`asks ${request.url()}`));
  await page.addInitScript(() => {
    window.reports = [];
    document.addEventListener("securitypolicyviolation", (event) => window.reports.push(`${event.violatedDirective} ${event.blockedURI}`));
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask", buffered: true });
  });
  return page;
}

async function clean(page, what) {
  problems.push(...(await page.evaluate(() => window.reports)).map((report) => `policy: ${report}`));
  assert.deepEqual(problems, [], what);
}

async function view(page, path, there) {
  await page.goto(service.page + path);
  await page.locator(there).first().waitFor({ timeout: 20_000 });
}

async function axe(page, what) {
  // in the page's own world the policy would refuse it, and it is no part of the page
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  const run = (expression) => session.send("Runtime.evaluate", { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true });
  await run(AXE);
  const { result } = await run(`axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }).then((found) => JSON.stringify(found.violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))])))`);
  problems.push(...JSON.parse(result.value).map((found) => `${what}: axe: ${found.join(" ")}`)); assert.ok(result.value, `${what}: axe finds nothing serious`);
}

/** A number as it is shown, in its basic unit: dollars, nanoseconds, a hundredth, or pieces. */
function read(text) {
  const units = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9, d: 86_400e9 };
  const parts = [...text.replaceAll(",", "").matchAll(/(-?[\d.]+)\s*(ns|µs|ms|[kMGTsmhd])?/g)];
  assert.ok(parts.length > 0, `${text} is no number`);
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (unit ? units[unit] : 1), 0);
}

/** The texts of the first table's rows. */
async function cells(page) {
  return page.locator("table.rows").first().locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

/** With `STEPS=words`, only those that have them in their names, after the first. */
let isFirst = true;
async function step(name, run) {
  if (!isFirst && process.env.STEPS && !new RegExp(process.env.STEPS).test(name)) return;
  isFirst = false;
  const began = performance.now();
  const said = await run();
  console.log(`${name.padEnd(58)} ${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${said ?? ""}`);
}

try {
  await step("the sample, large traces and hostile ones are stored", async () => {
    await loadSample(service);
    await loadExperiments(service);
    const start = String(BigInt(Date.now() - 600_000) * 1_000_000n);
    for (const body of [...largeTrace(TEN, 10_000, start), ...largeTrace(HUNDRED, 100_000, start), hostileTrace(HOSTILE_ID, start), ...oddTraces(start)]) {
      await send(`${service.http}/v1/traces`, body);
    }
    const spans = async (id) => (await fetch(`${service.page}/apis/intake/v2/workspaces/default/traces/${id}/tree`)).json();
    for (const [id, size] of [[TEN, 10_000], [HUNDRED, 100_000], [HOSTILE_ID, 1], [ODD_ID, 1], [LONG_ID, 2]]) {
      await until(`${id} has ${size} spans`, async () => (await spans(id)).span_count === size);
    }
    await until("its calls are counted", async () => ((await ask(service, "/api/v1/workspaces/default/calls/breakdown?since=0")).rows[0]?.calls ?? 0) > 12);
    await until("nothing waits to be counted", async () => (await ask(service, "/api/v1/status")).counting.traces_waiting === 0);
  });

  for (const colorScheme of ["light", "dark"]) {
    await step(`every view is there, accessible, and asks nobody else: ${colorScheme}`, async () => {
      const page = await open({ colorScheme });
      for (const [path, there] of VIEWS) {
        await view(page, path, there);
        await page.waitForLoadState("networkidle");
        await axe(page, `${path} ${colorScheme}`);
        await clean(page, path);
      }
      await page.context().close();
    });
  }

  await step("on a telephone nothing is too wide, and all is accessible", async () => {
    const page = await open({ viewport: { width: 390, height: 844 } });
    for (const [path, there] of VIEWS) {
      await view(page, path, there);
      await page.waitForLoadState("networkidle");
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(over <= 0, `${path} is ${over} pixels too wide`);
      await axe(page, `${path} at 390 pixels`);
      // the heads of columns are not there, so that a number has to say what it counts
      const bare = await page.locator(".traces td.number").evaluateAll((cells) => cells.filter((cell) => /^[\d.,]+[kMGT]?$/.test(cell.firstChild?.textContent ?? "") && getComputedStyle(cell, "::after").content === "none").map((cell) => cell.textContent));
      assert.deepEqual(bare, [], `${path} has numbers without a unit`);
    }
    await clean(page, "390 pixels");
    await page.context().close();
  });

  await step("names of 300 letters hide nothing beside them", async () => {
    const page = await open();
    for (const [path, there] of [["/traces?range=1h", "table.traces .preview"], [`/traces?range=1h&peek=${LONG_ID}`, ".peek .peek-spans li"], ["/sessions?range=1h", "table.rows .preview"], ["/cost?range=1h", "table.rows tbody tr"], ["/latency?range=1h", "table.rows tbody tr"], [`/trace/${LONG_ID}?span=0000000000000002`, ".span-panel .body"], [`/compare?a=${SAMPLE}&b=${LONG_ID}`, ".cards"]]) {
      await view(page, path, there);
      await page.waitForLoadState("networkidle");
      const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll(".table-box")].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.getAttribute("aria-label") ?? box.tagName));
      assert.deepEqual(wide, [], `${path} is too wide`);
    }
    // what failed, and the tabs, are to be seen without scrolling
    await view(page, `/trace/${LONG_ID}?span=0000000000000002`, ".span-panel .tabs");
    const tabs = await page.locator(".span-panel .tabs").boundingBox();
    assert.ok(tabs.y + tabs.height < page.viewportSize().height, `the tabs are at ${tabs.y}`);
    await clean(page, "long names");
    await page.context().close();
  });

  await step("texts from right to left have their own direction, and numbers stay beside them", async () => {
    const page = await open();
    const q = encodeURIComponent("user:מיכל");
    await view(page, `/traces?range=1h&q=${q}`, "table.traces .preview");
    const direction = (of) => of.evaluate((one) => getComputedStyle(one).direction);
    const preview = page.locator("table.traces .preview", { hasText: ARABIC }).first();
    await preview.waitFor();
    assert.equal(await direction(preview), "rtl");
    assert.ok(!(await preview.textContent()).includes("{"), "what was said is shown, not its JSON");
    await page.locator(".facets button", { hasText: "מיכל" }).waitFor();
    /** Where the first and the last letter of a text stand. */
    const ends = (of, text) => of.evaluate((one, text) => {
      const walker = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const at = node.data.indexOf(text);
        if (at < 0) continue;
        const x = (from) => { const range = document.createRange(); range.setStart(node, from); range.setEnd(node, from + 1); return range.getBoundingClientRect().x; };
        return [x(at), x(at + text.length - 1)];
      }
      return null;
    }, text);
    const chip = page.locator(".facets button", { hasText: "מיכל" });
    const [name] = await ends(chip, "מיכל");
    assert.ok((await chip.locator(".dim").boundingBox()).x > name, "the number is after the name");
    const [[service], [user]] = [await ends(page.locator("td.title .sub").first(), "خدمة"), await ends(page.locator("td.title .sub").first(), "מיכל")];
    assert.ok(service < user, "names stand in their order");
    await view(page, `/trace/${ODD_ID}?span=0000000000000001`, ".span-panel .message");
    const message = page.locator(".span-panel .message").first();
    const [first, last] = await ends(message, ARABIC);
    assert.ok(last < first, "the question mark is at the left end");
    const [english] = await ends(message, "What is it?");
    assert.ok(english < first, "and English begins at the left");
    assert.equal(await direction(page.locator(".span-panel .markdown ul").first()), "rtl");
    await clean(page, "right to left");
    await page.context().close();
  });

  await step("what cannot be read is said once, and where it is wrong", async () => {
    const page = await open();
    for (const path of ["/traces", "/sessions"]) {
      await view(page, `${path}?q=${encodeURIComponent("cost:>abc")}`, ".failed");
      await page.waitForLoadState("networkidle");
      assert.match(await page.locator(".failed").first().textContent(), /character 6/);
      assert.equal(await page.locator(".failed").count(), 1, path);
      assert.equal(await page.getByRole("searchbox").getAttribute("aria-invalid"), "true");
    }
    await view(page, `/sql?sql=${encodeURIComponent("SELECT 'ä',\n  count( FROM otel.genai_calls")}`, ".where pre");
    assert.match(await page.locator(".failed").textContent(), /line 2, column 8/);
    assert.equal(await page.locator(".where pre").textContent(), "  count( FROM otel.genai_calls\n       ^");
    await page.getByRole("button", { name: "Go there" }).click();
    assert.equal(await page.locator("textarea").evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd)), "(");
    await view(page, `/sql?sql=${encodeURIComponent("SELECT nope FROM otel.genai_calls")}`, ".failed");
    assert.match(await page.locator(".failed").textContent(), /nope/);
    problems.splice(0, problems.length, ...problems.filter((problem) => !problem.includes("status of 400")));
    await clean(page, "what cannot be read");
    await page.context().close();
  });

  await step("while nobody answers, that is said, once, and what was known stays", async () => {
    const page = await open();
    await view(page, "/health", ".figure");
    await page.route(/\/apis?\//, (route) => route.abort());
    await page.locator(".failed", { hasText: "does not answer" }).waitFor();
    assert.ok((await page.locator(".figure").count()) > 3, "the last figures are still there");
    await view(page, "/health", ".failed");
    // it is asked every three seconds, and says so all the time
    await page.evaluate(() => {
      window.gone = 0;
      new MutationObserver(() => (window.gone += document.querySelector(".failed") ? 0 : 1)).observe(document.querySelector("main"), { childList: true, subtree: true });
    });
    for (let asked = 0; asked < 2; asked++) await page.waitForRequest(/status/);
    await page.waitForTimeout(100);
    assert.equal(await page.evaluate(() => window.gone), 0, "the error does not come and go");
    for (const path of ["/traces", "/traces?status=error", "/sessions", "/cost", "/latency", "/import", "/experiments", "/sql?sql=SELECT%201", `/trace/${SAMPLE}`]) {
      await view(page, path, ".failed");
      await page.locator(".loading").first().waitFor({ state: "detached" });
      assert.equal(await page.locator(".failed").count(), 1, path);
    }
    problems.splice(0, problems.length, ...problems.filter((problem) => !problem.includes("net::ERR_FAILED")));
    await clean(page, "nobody answers");
    await page.context().close();
  });

  await step("a key leads to its traces, and lists are in the order of their times", async () => {
    const page = await open();
    await view(page, "/cost?range=all", "table.rows tbody tr");
    const model = await page.locator("table.rows td a").first().textContent();
    await page.locator("table.rows td a").first().click();
    await page.locator("table.traces .preview").first().waitFor();
    assert.equal(new URL(page.url()).searchParams.get("q"), `model:"${model}"`);
    for (const path of ["/traces?range=all", "/sessions?range=all"]) {
      await view(page, path, "table.traces tbody time");
      const times = await page.locator("table.traces tbody tr").evaluateAll((rows) => rows.map((row) => row.cells[0].querySelector("time").dateTime));
      assert.ok(times.length > 3);
      assert.deepEqual(times, times.toSorted().toReversed(), path);
    }
    await view(page, "/sessions?range=all", "table.traces tbody time");
    await page.getByRole("searchbox").fill("user:anna");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => new URLSearchParams(location.search).get("q") === "user:anna");
    await page.getByRole("link", { name: "anna-1", exact: true }).waitFor();
    await page.getByRole("button", { name: "Help" }).click();
    await page.getByRole("dialog").getByText("resource.KEY").waitFor();
    await axe(page, "the help of searches");
    await clean(page, "keys and order");
    await page.context().close();
  });

  await step("a view of a time that ends now comes to rest", async () => {
    const page = await open();
    for (const path of ["/traces", "/traces?status=error", "/sessions", "/cost", "/latency"]) {
      await view(page, path, "main table, main .histogram, main .cards, main .empty");
      // one that asks again whenever it is drawn again never does
      await page.waitForLoadState("networkidle");
    }
    await clean(page, "rest");
    await page.context().close();
  });

  await step("from the list to a span and back with keys alone", async () => {
    const page = await open();
    await view(page, "/traces?range=all", "table.traces tbody tr");
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    const named = await page.evaluate(() => document.activeElement.querySelector("a").textContent);
    await page.keyboard.press("Enter");
    await page.locator(".trace-head h2").waitFor();
    assert.equal(await page.locator(".trace-head h2").textContent(), named);
    await page.locator(".span-panel").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".span-panel").waitFor({ state: "detached" });
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.locator(".span-panel").waitFor();
    assert.match(page.url(), /span=/);
    await page.keyboard.press("Escape");
    await page.locator(".span-panel").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await page.locator("table.traces").waitFor();
    await clean(page, "keys");
    await page.context().close();
  });

  await step("every view is reached and used with keys alone", async () => {
    const page = await open();
    await view(page, "/traces?range=all", "table.traces tbody tr");
    await page.keyboard.press("?");
    const keys = await page.locator("table.keys kbd").allTextContents();
    await page.keyboard.press("Escape");
    const jumps = keys.filter((key) => key.startsWith("g ")).map((key) => key.slice(2));
    assert.ok(jumps.length >= 7, keys.join());
    const seen = new Set();
    for (const key of jumps) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.waitForLoadState("networkidle");
      const at = new URL(page.url()).pathname;
      assert.ok(!seen.has(at), `g ${key} leads to ${at} again`);
      seen.add(at);
      // Tab goes through what can be used, shows where it is, and comes out again
      const stops = await page.evaluate(() => [...document.querySelectorAll("main a[href], main button:not(:disabled), main input:not([type=hidden]):not(:disabled), main select, main textarea, main summary")].filter((one) => one.checkVisibility() && one.tabIndex >= 0).length);
      let [inside, isOut] = [0, false];
      await page.evaluate(() => document.activeElement?.blur());
      for (let presses = 0; presses < 400 && !isOut; presses++) {
        await page.keyboard.press("Tab");
        const where = await page.evaluate(() => {
          const one = document.activeElement;
          if (!one || one === document.body) return "none";
          const style = getComputedStyle(one);
          const around = getComputedStyle(one.parentElement);
          const isShown = [style, around].some((of) => of.outlineStyle !== "none" || of.boxShadow !== "none");
          return one.closest("main") ? (isShown ? "main" : `hidden: ${one.outerHTML.slice(0, 120)}`) : "around";
        });
        assert.ok(!where.startsWith("hidden"), `${at}: the focus is not shown on ${where}`);
        if (where === "main") inside++;
        isOut = inside > 0 && where !== "main";
      }
      if (stops > 0 && stops < 300) assert.ok(inside > 0 && isOut, `${at}: Tab reached ${inside} of ${stops}, and ${isOut ? "left" : "stayed"}`);
    }
    // a line of a table is opened, a tab is changed, a base is chosen with keys
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.locator("table.rows tbody tr").first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.pathname.startsWith("/session/"));
    await clean(page, "keys everywhere");
    await page.context().close();
    return `${seen.size} views`;
  });

  await step("a look beside the list goes with the keys, and columns are kept", async () => {
    const page = await open();
    await view(page, "/traces?range=all", "table.traces tbody tr");
    await page.keyboard.press("j");
    await page.keyboard.press("p");
    const named = () => page.evaluate(() => document.activeElement.querySelector("a").textContent);
    await page.locator(".peek h2", { hasText: await named() }).waitFor();
    const first = new URL(page.url()).searchParams.get("peek");
    await page.keyboard.press("j");
    await page.waitForFunction((id) => new URLSearchParams(location.search).get("peek") !== id, first);
    await page.locator(".peek h2", { hasText: await named() }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".peek").waitFor({ state: "detached" });
    await page.getByText("Columns").click();
    await axe(page, "the choice of columns");
    await page.getByRole("checkbox", { name: "Trace id" }).check();
    await page.getByRole("columnheader", { name: "Trace id" }).waitFor();
    await view(page, "/traces?range=all", "table.traces tbody tr");
    await page.getByRole("columnheader", { name: "Trace id" }).waitFor();
    await clean(page, "peek and columns");
    await page.context().close();
  });

  await step("a place is found by what is typed, and widths of columns and a budget are in the address", async () => {
    const page = await open();
    await view(page, "/health", "table.rows tbody tr");
    await page.keyboard.press("Control+k");
    await page.getByLabel("Where to go").fill("cos");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/cost/);
    await page.keyboard.press("Control+k");
    await page.getByLabel("Where to go").fill(SAMPLE.toUpperCase());
    await page.keyboard.press("Enter");
    await page.locator(".line").first().waitFor();
    assert.ok(page.url().includes(`/trace/${SAMPLE}`));
    await view(page, "/traces?range=all", "table.traces .preview");
    const width = () => page.locator("table.traces th.wide + th").evaluate((head) => head.getBoundingClientRect().width);
    const before = await width();
    // all edges are one stop of Tab, and the arrows go along them
    const stops = await page.getByRole("separator").evaluateAll((edges) => edges.filter((edge) => edge.tabIndex >= 0).map((edge) => edge.ariaLabel));
    assert.deepEqual(stops, ["Width of Time"]);
    await page.getByRole("separator", { name: "Width of Time" }).focus();
    for (let times = 0; times < 3; times++) await page.keyboard.press("ArrowRight");
    const edge = page.getByRole("separator", { name: "Width of Model" });
    assert.ok(await edge.evaluate((one) => one === document.activeElement && one.tabIndex === 0), "the fourth column has the focus");
    for (let times = 0; times < 3; times++) await page.keyboard.press("Shift+ArrowRight");
    assert.ok((await width()) > before + 40, `${before} ${await width()}`);
    assert.match(page.url(), /widths=model%3A\d+/);
    await page.keyboard.press("Backspace");
    assert.doesNotMatch(page.url(), /widths/);
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement.closest("tbody") !== null), "Tab goes on to the lines");
    await view(page, "/cost?range=all", "table.rows tbody tr");
    await page.getByLabel(/Budget a day/).fill("2");
    await page.getByText(/\$2\.00 a day/).waitFor();
    assert.match(page.url(), /budget=2/);
    await page.locator(".figure", { hasText: "Saved by caches" }).getByText(/^\$0\.000/).waitFor();
    await clean(page, "places, widths and a budget");
    await page.context().close();
  });

  await step("whoever has sent nothing is told where to send", async () => {
    const page = await open();
    await view(page, "/traces?ws=fresh&range=all", ".empty .paste");
    const lines = await page.locator(".empty .paste pre").allTextContents();
    assert.ok(lines[0].includes(`=${service.http} `) && lines[0].includes("x-millrace-workspace=fresh"), lines[0]);
    assert.ok(lines[1].includes(`${service.http}/apis/intake/v2/workspaces/fresh/ingest/chat-completions`), lines[1]);
    await view(page, `/traces?ws=${encodeURIComponent("a'; rm -rf x")}&range=all`, ".empty .paste, .failed");
    for (const line of await page.locator(".paste pre").allTextContents()) assert.ok(!line.includes("rm -rf"), line);
    problems.splice(0, problems.length, ...problems.filter((problem) => !problem.includes("status of 422")));
    await clean(page, "where to send");
    await page.context().close();
  });

  await step("a live list shows what is stored without being asked again", async () => {
    const page = await open();
    await view(page, "/traces?live=1&range=15m", ".live.on");
    const asks = [];
    page.on("request", (request) => request.url().includes("/traces?") && asks.push(request.url()));
    await page.waitForLoadState("domcontentloaded");
    const start = String(BigInt(Date.now()) * 1_000_000n);
    await send(`${service.http}/v1/traces`, JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: "f".repeat(32), spanId: "f".repeat(16), name: "seen at once", startTimeUnixNano: start, endTimeUnixNano: start }] }] }] }));
    await page.getByRole("link", { name: "seen at once" }).waitFor({ timeout: 20_000 });
    assert.ok(asks.length > 0 && asks.length < 12, `${asks.length} questions`);
    await page.getByRole("button", { name: "Live" }).click();
    await page.locator(".live.on").waitFor({ state: "detached" });
    await clean(page, "live");
    await page.context().close();
  });

  await step("every view that asks shows its SQL, which runs", async () => {
    const page = await open();
    for (const path of ["/traces?range=all", `/trace/${SAMPLE}`, `/trace/${SAMPLE}?tab=conversation`, "/sessions?range=all", "/session/anna-1", "/cost?range=all", "/latency?range=all", "/experiments?ws=evals", "/experiments/short?ws=evals", "/experiments/long?ws=evals&base=short", "/health", `/traces?range=all&peek=${SAMPLE}`, `/compare?a=${SAMPLE}/1133333333333333&b=${SAMPLE}/1133333333333333`, `/compare?a=${SAMPLE}&b=22222222222222222222222222222222`, "/traces?range=all&status=error"]) {
      await view(page, path, "main button:visible, .empty");
      await page.waitForLoadState("networkidle");
      const buttons = await page.getByRole("button", { name: "Show SQL" }).all();
      assert.ok(buttons.length > 0, `${path} shows its SQL`);
      for (const button of buttons) {
        await button.click();
        const statements = page.locator("dialog .statement pre");
        await statements.first().waitFor();
        for (const statement of await statements.allTextContents()) {
          const answer = await fetch(service.sql, { method: "POST", body: `${statement} FORMAT Null` });
          assert.ok(answer.ok, `${path}: ${statement}\n${answer.ok ? "" : await answer.text()}`);
        }
        await page.keyboard.press("Escape");
        await page.locator("dialog").waitFor({ state: "detached" });
      }
    }
    await clean(page, "SQL");
    await page.context().close();
  });

  await step("a part of the time of a trace is shown, with the mouse and with keys", async () => {
    const page = await open();
    await view(page, `/trace/${SAMPLE}`, ".line");
    const zoom = () => new URL(page.url()).searchParams.get("zoom");
    const scale = page.locator(".scale > div");
    await page.waitForLoadState("networkidle");
    await scale.hover({ position: { x: 40, y: 5 } });
    // where it stands still
    const box = await scale.boundingBox();
    await page.mouse.move(box.x + box.width / 4, box.y + 5);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 5, { steps: 3 });
    await page.mouse.up();
    await page.getByRole("button", { name: "Whole time" }).waitFor();
    const [from, to] = zoom().split("-").map(Number);
    assert.ok(Math.abs(to / from - 2) < 0.1, zoom());
    await page.keyboard.press("0");
    await page.getByRole("button", { name: "Whole time" }).waitFor({ state: "detached" });
    assert.equal(zoom(), null);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("z");
    await page.getByRole("button", { name: "Whole time" }).waitFor();
    const width = await page.locator(".line.cursor .span-bar").evaluate((bar) => bar.getBoundingClientRect().width / bar.parentElement.getBoundingClientRect().width);
    assert.ok(width > 0.99, `the span takes ${width} of the width`);
    await clean(page, "zoom");
    await page.context().close();
  });

  await step("any time is chosen with keys alone", async () => {
    const page = await open({ timezoneId: "Asia/Tokyo" });
    await view(page, "/cost?range=all", "table.rows tbody tr");
    await page.locator(".top select").last().selectOption("between");
    await page.getByLabel("From").fill("2026-03-02T18:00");
    await page.getByLabel("to", { exact: true }).fill("2026-03-02T17:00");
    assert.ok(await page.getByRole("button", { name: "Show", exact: true }).isDisabled());
    await page.getByLabel("to", { exact: true }).fill("2026-03-02T20:00");
    await axe(page, "the dialog of times");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).searchParams.get("range"), `${Date.parse("2026-03-02T09:00:00Z")}-${Date.parse("2026-03-02T11:00:00Z")}`);
    await clean(page, "times");
    await page.context().close();
  });

  await step("a wait can be ended and begun again", async () => {
    const page = await open();
    let isHeld = true;
    await page.route("**/tree", async (route) => {
      while (isHeld) await new Promise((done) => setTimeout(done, 50));
      await route.continue().catch(() => undefined);
    });
    await page.goto(`${service.page}/trace/${SAMPLE}`);
    await page.getByRole("button", { name: "Cancel" }).click();
    isHeld = false;
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator(".line").first().waitFor();
    await clean(page, "cancelled");
    await page.context().close();
  });

  await step("an experiment is compared with a baseline, by test case", async () => {
    const page = await open();
    await view(page, "/experiments?ws=evals", "table.rows tbody tr");
    await page.getByLabel("Compare with short").check();
    await page.getByRole("link", { name: "long", exact: true }).click();
    await page.locator(".figure", { hasText: "correctness" }).waitFor();
    assert.equal(await page.locator(".figure", { hasText: "correctness" }).locator(".value").textContent(), "0.667 → 1.000");
    const rows = () => page.getByRole("row", { name: /^question-/ }).filter({ hasText: "1 → 1" });
    assert.equal(await rows().count(), 3);
    assert.match(await rows().first().textContent(), /question-1.*0\.000 → 1\.000\+1\.000/);
    await page.getByRole("button", { name: "Better" }).click();
    await page.waitForFunction(() => new URLSearchParams(location.search).get("only") === "better");
    assert.equal(await rows().count(), 1);
    await page.getByLabel("Baseline").selectOption("");
    await page.locator(".figure").first().waitFor({ state: "detached" });
    await clean(page, "comparison");
    await page.context().close();
  });

  await step("a trace is saved as a file in each format", async () => {
    const page = await open();
    await view(page, `/trace/${SAMPLE}`, ".line");
    for (const [name, extension, begin] of [["Markdown", "md", "# "], ["JSON", "json", '{"trace":'], ["OTLP/JSON", "otlp.json", '{"resourceSpans":']]) {
      await page.getByText("Export", { exact: true }).click();
      const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name, exact: true }).click()]);
      assert.equal(file.suggestedFilename(), `trace-${SAMPLE}.${extension}`);
      assert.ok(readFileSync(await file.path(), "utf8").startsWith(begin), name);
    }
    await clean(page, "export");
    await page.context().close();
  });

  await step("files are counted, imported and go again", async () => {
    const page = await open();
    await view(page, "/import", ".drop");
    const span = (id) => JSON.stringify({ resourceSpans: [{ resource: { attributes: [{ key: "service.name", value: { stringValue: "imported" } }] }, scopeSpans: [{ spans: [{ traceId: id.repeat(32), spanId: id.repeat(16), name: "from a file", startTimeUnixNano: "1780272000000000000", endTimeUnixNano: "1780272001000000000" }] }] }] });
    await page.locator("input[type=file][aria-label=Files]").setInputFiles({ name: "spans.jsonl", mimeType: "application/json", buffer: Buffer.from(`${span("d")}\n{broken\n${span("e")}\n`) });
    const job = page.locator(".import");
    await page.locator('.import[data-state="checked"]').waitFor();
    assert.match(await job.textContent(), /Rows that would be sent2/);
    await job.getByRole("cell", { name: "spans.jsonl" }).waitFor();
    await axe(page, "an import that is counted");
    await job.getByRole("button", { name: "Import 2 rows" }).click();
    await page.locator('.import[data-state="done"]').waitFor();
    await page.locator("table.imports tbody tr").waitFor();
    await until("its spans are stored", async () => (await fetch(`${service.page}/apis/intake/v2/workspaces/default/traces/${"d".repeat(32)}`)).ok);
    await axe(page, "an import that is done");
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByText("2 rows removed.").waitFor();
    await page.locator("table.imports").waitFor({ state: "detached" });
    assert.equal((await fetch(`${service.page}/apis/intake/v2/workspaces/default/traces/${"d".repeat(32)}`)).status, 404);
    await clean(page, "import");
    await page.context().close();
  });

  await step("hostile texts are shown and do nothing", async () => {
    const page = await open();
    for (const of of ["", "attributes", "events", "scores", "raw"]) {
      await view(page, `/trace/${HOSTILE_ID}?span=000000000000004d${of ? `&of=${of}` : ""}`, ".span-panel .body");
      await page.waitForLoadState("networkidle");
      assert.equal(await page.evaluate(() => window.hacked), undefined, of);
      assert.equal(await page.locator(".span-panel script, .span-panel img, .span-panel svg:not(.icon), .span-panel a[href^=javascript]").count(), 0, of);
    }
    await view(page, `/trace/${HOSTILE_ID}?span=000000000000004d`, ".span-panel .message");
    assert.ok((await page.locator(".span-panel .message").first().textContent()).includes(HOSTILE[0]));
    await view(page, "/traces", "table.traces tbody tr");
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    const harmless = async (what, within) => {
      await page.waitForLoadState("networkidle");
      assert.equal(await page.evaluate(() => window.hacked), undefined, what);
      assert.equal(await page.locator("main").locator("script, img[onerror], svg[onload], a[href^=javascript]").count(), 0, what);
      assert.ok((await page.locator(within).allTextContents()).join("").includes("<"), `${what}: the text itself is shown`);
    };
    await view(page, `/traces?peek=${HOSTILE_ID}`, ".peek h2");
    await harmless("peek", ".peek");
    await view(page, `/trace/${HOSTILE_ID}?tab=conversation`, ".turn .message");
    await harmless("conversation", ".turn");
    await view(page, `/compare?a=${HOSTILE_ID}&b=${HOSTILE_ID}`, ".cards");
    await harmless("compare traces", "main");
    await view(page, `/compare?a=${HOSTILE_ID}/000000000000004d&b=${HOSTILE_ID}/000000000000004d`, ".cards");
    await harmless("compare calls", "main");
    for (const [path, there] of [["/cost?range=all&by=user", "table.rows tbody tr"], ["/latency?range=all", "table.rows tbody tr"], ["/sessions?range=all", "table.rows tbody tr"], [`/session/${encodeURIComponent(HOSTILE[0])}`, "main h2, table.rows tbody tr"]]) {
      await view(page, path, there);
      await harmless(path, "main");
    }
    await view(page, "/import", ".drop");
    const name = "<img src=x onerror=window.hacked=1>.jsonl";
    await page.locator("input[type=file][aria-label=Files]").setInputFiles({ name, mimeType: "application/json", buffer: Buffer.from(`{"resourceSpans":5,"<script>window.hacked=1</script>":1}\n{"type":${JSON.stringify(HOSTILE[1])},"sessionId":"s"}\n`) });
    await page.locator('.import[data-state="checked"]').waitFor();
    await page.waitForLoadState("networkidle");
    assert.equal(await page.evaluate(() => window.hacked), undefined, "import");
    assert.equal(await page.locator("main script, main img, main svg[onload], main a[href^=javascript]").count(), 0, "import");
    await clean(page, "hostile");
    await page.context().close();
  });

  await step("the numbers shown are those of SQL", async () => {
    const page = await open();
    const of = (view) => `(SELECT * FROM otel.${view} WHERE Workspace = 'default')`;
    const sql = async (statement) => (await (await fetch(service.sql, { method: "POST", body: `${statement} FORMAT JSONCompactEachRow` })).text()).trim().split("\n").map((line) => JSON.parse(line).map((value) => (value === null ? "unknown" : String(value))));
    const figure = (name) => page.locator(".figure", { has: page.locator(".name", { hasText: new RegExp(`^${name}$`) }) });
    /** What is shown is rounded: to three digits, dollars to two, shares of ten and more to a whole. */
    const same = (shown, want, what) => {
      if (!Number.isFinite(want)) return assert.equal(shown, "–", `${what}: what is unknown is no number`);
      const value = read(shown);
      const most = shown.includes("%") ? 0.51 : Math.abs(want) * (shown.startsWith("$") ? 0.051 : 0.0051) + 1e-12;
      assert.ok(Math.abs(value - want) <= most, `${what}: ${shown} is shown, and SQL says ${want}`);
    };
    const counted = async () => Number((await sql(`SELECT count() FROM ${of("genai_calls")}`))[0][0]);
    let before = -1;
    await until("every call is counted", async () => (await ask(service, "/api/v1/status")).counting.traces_waiting === 0 && before === (before = await counted()));
    await view(page, "/traces?range=all", ".histogram dd");
    await page.waitForLoadState("networkidle");
    const [[calls, errors]] = await sql(`SELECT count(), countIf(IsError) FROM ${of("genai_calls")}`);
    assert.equal((await page.locator(".histogram dd").first().getAttribute("title")).replaceAll(",", ""), calls);
    assert.equal(await page.locator(".histogram dd").nth(1).textContent(), `${Number(((errors / calls) * 100).toFixed(1))} %`);

    await view(page, "/cost?range=all", "table.rows tbody tr");
    await page.waitForLoadState("networkidle");
    const [[cost, given, computed, cached, reasoning]] = await sql(`SELECT sum(CostTotal), sumIf(CostTotal, CostSource != 'computed'), sumIf(CostTotal, CostSource = 'computed'), sum(CacheReadTokens) / sum(InputTokens) * 100, sum(ReasoningTokens) / sum(OutputTokens) * 100 FROM ${of("genai_calls")}`);
    for (const [name, want] of [["Cost", cost], ["Given by senders", given], ["Computed", computed], ["Read from caches", cached], ["Reasoning", reasoning]]) {
      same(await figure(name).locator(".value").textContent(), Number(want), name);
    }
    const byModel = await sql(`SELECT Model, sum(CostTotal), count(), sum(InputTokens), sum(OutputTokens) FROM ${of("genai_calls")} GROUP BY Model`);
    const shown = new Map((await cells(page)).map((row) => [row[0] === "(none)" ? "" : row[0], row]));
    assert.equal(shown.size, byModel.length, "a row for each model");
    for (const [model, ...wanted] of byModel) {
      const row = shown.get(model);
      for (const [at, want] of [[1, wanted[0]], [3, wanted[1]], [5, wanted[2]], [7, wanted[3]]]) {
        same(row[at], Number(want), `${model}, column ${at}`);
      }
    }

    await view(page, "/latency?range=all", "table.rows tbody tr");
    await page.waitForLoadState("networkidle");
    // More than 8,192 calls are sampled by quantile(), so that each question takes others: the rank is right within a standard deviation of 0.55 %.
    const [[p50, least, most, failed]] = await sql(`SELECT quantileExact(0.5)(Duration), quantileExact(0.47)(Duration), quantileExact(0.53)(Duration), countIf(IsError) / count() * 100 FROM ${of("genai_calls")}`);
    const median = read(await figure("Latency, median").locator(".value").textContent());
    assert.ok(median >= least * 0.99 && median <= most * 1.01, `the median: ${median} is shown, and by SQL it is ${p50}, between ${least} and ${most}`);
    same(await figure("Failed calls").locator(".value").textContent(), Number(failed), "failed calls");

    await view(page, "/sessions?range=all", "table.rows tbody tr");
    await page.waitForLoadState("networkidle");
    const sessions = new Map((await sql(`SELECT SessionId, Traces, Calls, toFloat64(CostTotal) FROM ${of("genai_sessions")}`)).map(([id, ...rest]) => [id, rest]));
    for (const row of await page.locator("table.rows tbody tr").all()) {
      const id = await row.locator("td.title a").textContent();
      const known = sessions.get(id);
      if (known === undefined || id.includes("<")) continue;
      const [traces, money] = [await row.locator("td").nth(4).textContent(), await row.locator("td").nth(6).textContent()];
      assert.equal(traces, `${known[0]}${known[1]} ${known[1] === "1" ? "call" : "calls"}`, `traces and calls of ${id}`);
      same(money, Number(known[2]), `cost of ${id}`);
    }
    await clean(page, "numbers");
    await page.context().close();
  });
  for (const [id, size] of [[TEN, 10_000], [HUNDRED, 100_000]]) {
    await step(`a trace of ${size.toLocaleString("en-US")} spans opens and scrolls`, async () => {
      const page = await open();
      await view(page, "/traces?range=all", "table.traces tbody tr");
      const began = performance.now();
      await page.evaluate((path) => { history.pushState(null, "", path); window.dispatchEvent(new PopStateEvent("popstate")); }, `/trace/${id}`);
      await page.locator(".line").first().waitFor({ timeout: 60_000 });
      const painted = performance.now() - began;
      assert.ok((await page.locator(".line").count()) < 200, "only the lines in view are elements");
      await page.waitForLoadState("networkidle");
      await page.evaluate(() => (window.longTasks = []));
      await page.locator(".lines").hover();
      for (let turn = 0; turn < 60; turn++) {
        await page.mouse.wheel(0, 900);
        await page.waitForTimeout(16);
      }
      const long = await page.evaluate(() => window.longTasks.map(Math.round));
      // a line that comes takes the elements of one that went, and stands where it belongs
      await page.evaluate(() => {
        window.made = 0;
        new MutationObserver((changes) => changes.forEach((change) => [...change.addedNodes].forEach((node) => (window.made += node.classList?.contains("line") ? 1 : 0)))).observe(document.querySelector(".lines"), { childList: true, subtree: true });
      });
      for (const by of [-2000, 700, 28, -28 * 40]) {
        await page.mouse.wheel(0, by);
        await page.waitForTimeout(100);
        const wrong = await page.locator(".line").evaluateAll((lines) => lines.filter((line) => line.id !== `span-${new DOMMatrix(getComputedStyle(line).transform).f / line.offsetHeight}`).length);
        assert.equal(wrong, 0, "each line is in its place");
      }
      // whether one more fits into the window depends on where it stands
      const made = await page.evaluate(() => window.made);
      assert.ok(made < 10, `${made} lines were made for scrolling by 137`);
      await clean(page, `${size} spans`);
      await page.context().close();
      return `first paint ${Math.round(painted)} ms; long tasks while scrolling: ${long.length ? long.join(", ") : "none"}`;
    });
  }

  await step("memory is given back when the largest trace is closed", async () => {
    const page = await open();
    const session = await page.context().newCDPSession(page);
    await session.send("HeapProfiler.enable");
    const heap = async () => {
      await session.send("HeapProfiler.collectGarbage");
      return (await session.send("Runtime.getHeapUsage")).usedSize / 2 ** 20;
    };
    await view(page, "/traces?range=all", "table.traces tbody tr");
    const before = await heap();
    await view(page, `/trace/${HUNDRED}`, ".line");
    const during = await heap();
    await page.goto(`${service.page}/traces?range=all`);
    await page.locator("table.traces tbody tr").first().waitFor();
    const after = await heap();
    await page.context().close();
    assert.ok(after < before + (during - before) / 2, `${after.toFixed(1)} MiB are left of ${during.toFixed(1)}`);
    return `heap ${before.toFixed(1)} MiB, ${during.toFixed(1)} with the trace, ${after.toFixed(1)} after`;
  });
} finally {
  await chromium.close();
  await service.stop();
}
