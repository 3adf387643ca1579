// Pictures of each view, of the sample: docs/page/NAME-light.png and -dark.png.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ask, browser, loadSample, start, until } from "./service.mjs";

const to = new URL("../../../docs/page/", import.meta.url).pathname;
const SAMPLE = "11111111111111111111111111111111";
const VIEWS = [
  ["traces", "/traces?range=all"],
  ["trace", `/trace/${SAMPLE}?span=1133333333333333`],
  ["conversation", "/session/anna-1?tab=conversation"],
  ["cost", "/cost?range=all"],
  ["latency", "/latency?range=all"],
  ["sql", `/sql?sql=${encodeURIComponent("SELECT toStartOfHour(Timestamp) AS hour, count() AS calls, sum(CostTotal) AS usd\nFROM otel.genai_calls\nGROUP BY hour ORDER BY hour")}`],
];

mkdirSync(to, { recursive: true });
const service = await start();
const chromium = await browser();
try {
  await loadSample(service);
  await until("the sample is counted", async () => ((await ask(service, "/api/v1/workspaces/default/calls/breakdown?since=0")).rows[0]?.calls ?? 0) >= 12);
  for (const colorScheme of ["light", "dark"]) {
    const context = await chromium.newContext({ viewport: { width: 1180, height: 720 }, colorScheme, timezoneId: "UTC" });
    const page = await context.newPage();
    for (const [name, path] of VIEWS) {
      await page.goto(service.page + path);
      await page.waitForLoadState("networkidle");
      await page.waitForTimeout(400);
      await page.screenshot({ path: join(to, `${name}-${colorScheme}.png`), animations: "disabled" });
    }
    await context.close();
  }
} finally {
  await chromium.close();
  await service.stop();
}
