// Pictures of each view, of the sample: docs/page/NAME-light.webp and -dark.webp.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ask, browser, loadExperiments, loadSample, start, until } from "./service.mjs";

const to = new URL("../../../docs/page/", import.meta.url).pathname;
const SAMPLE = "11111111111111111111111111111111";
const VIEWS = [
  ["traces", "/traces?range=all"],
  ["trace", `/trace/${SAMPLE}?span=1133333333333333`],
  ["conversation", "/session/anna-1?tab=conversation"],
  ["peek", `/traces?range=all&peek=${SAMPLE}&columns=time,trace,model,duration,tokens,cost`],
  ["sessions", "/sessions?range=all"],
  ["session", "/session/anna-1"],
  ["cost", "/cost?range=all"],
  ["latency", "/latency?range=all"],
  ["sql", `/sql?sql=${encodeURIComponent("SELECT toStartOfHour(Timestamp) AS hour, count() AS calls, sum(CostTotal) AS usd\nFROM otel.genai_calls\nGROUP BY hour ORDER BY hour")}`],
  ["compare", `/compare?a=${SAMPLE}&b=22222222222222222222222222222222`],
  ["experiments", "/experiments?ws=evals&base=short"],
  ["comparison", "/experiments/long?ws=evals&base=short"],
  ["import", "/import"],
  ["health", "/health"],
];

const SAMPLES = new URL("../../../docs/sample/", import.meta.url).pathname;

mkdirSync(to, { recursive: true });
const service = await start();
const chromium = await browser();
try {
  await loadSample(service);
  await until("the sample is counted", async () => ((await ask(service, "/api/v1/workspaces/default/calls/breakdown?since=0")).rows[0]?.calls ?? 0) >= 12);
  await loadExperiments(service);
  for (const colorScheme of ["light", "dark"]) {
    const context = await chromium.newContext({ viewport: { width: 1180, height: 720 }, colorScheme, timezoneId: "UTC" });
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    for (const [name, path] of VIEWS) {
      await page.goto(service.page + path);
      await page.waitForLoadState("networkidle");
      if (name === "import") {
        const buffer = Buffer.concat([readFileSync(join(SAMPLES, "pairs.ndjson")), Buffer.from("{a line that is broken\n")]);
        await page.locator("input[type=file][aria-label=Files]").setInputFiles({ name: "pairs.ndjson", mimeType: "application/x-ndjson", buffer });
        await page.locator('.import[data-state="checked"]').waitFor();
      }
      await page.locator("main .loading").first().waitFor({ state: "detached" });
      await page.waitForTimeout(400);
      // a third of the bytes of PNG, of which each change keeps all in the history
      const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 82 });
      writeFileSync(join(to, `${name}-${colorScheme}.webp`), Buffer.from(data, "base64"));
    }
    await context.close();
  }
} finally {
  await chromium.close();
  await service.stop();
}
