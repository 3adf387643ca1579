// Pictures of each view, of the sample: docs/page/NAME-light.png and -dark.png.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ask, browser, loadSample, start, until } from "./service.mjs";

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
  ["import", "/import"],
  ["health", "/health"],
];

const SAMPLES = new URL("../../../docs/sample/", import.meta.url).pathname;

/** Two experiments with three runs each. */
async function experiments() {
  const base = `${service.http}/apis/intake/v2/workspaces/evals`;
  const post = async (path, body) => {
    const answer = await fetch(base + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
    return answer.json();
  };
  const group = await post("/experiment-groups", { name: "prompts" });
  for (const [name, cost] of [["short", 0.0021], ["long", 0.0048]]) {
    const experiment = await post("/experiments", { name, experiment_group_id: group.id, dataset_name: "questions", dataset_version: "3" });
    for (let test = 0; test < 3; test++) {
      const start = new Date(Date.now() - 3_600_000 + test * 60_000);
      await post("/ingest/chat-completions", {
        session_id: `${name}-${test}`, started_at: start.toISOString(), ended_at: new Date(start.getTime() + (name === "short" ? 800 : 1400) + test * 90).toISOString(),
        cost_usd: cost + test * 0.0003, experiment_context: { experiment_id: experiment.name, test_case_id: `question-${test + 1}` },
        request: { model: "gpt-4o-mini", messages: [{ role: "user", content: `Question ${test + 1}` }] },
        response: { id: `chatcmpl-${name}-${test}`, model: "gpt-4o-mini", choices: [{ index: 0, message: { role: "assistant", content: "An answer." }, finish_reason: "stop" }], usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 } },
      });
    }
  }
}

mkdirSync(to, { recursive: true });
const service = await start();
const chromium = await browser();
try {
  await loadSample(service);
  await until("the sample is counted", async () => ((await ask(service, "/api/v1/workspaces/default/calls/breakdown?since=0")).rows[0]?.calls ?? 0) >= 12);
  await experiments();
  await until("the experiments have runs", async () => (await ask(service, "/apis/intake/v2/workspaces/evals/experiments")).data.every((one) => one.run_count === 3 && one.cost_usd));
  for (const colorScheme of ["light", "dark"]) {
    const context = await chromium.newContext({ viewport: { width: 1180, height: 720 }, colorScheme, timezoneId: "UTC" });
    const page = await context.newPage();
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
      await page.screenshot({ path: join(to, `${name}-${colorScheme}.png`), animations: "disabled" });
    }
    await context.close();
  }
} finally {
  await chromium.close();
  await service.stop();
}
