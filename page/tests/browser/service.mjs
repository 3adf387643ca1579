// The real binary on free ports with a folder of its own, and a browser that looks at it.
import { spawn } from "node:child_process";
import { createServer, request } from "node:http";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ROOT = new URL("../../../", import.meta.url).pathname;

function library(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const found = library(path);
      if (found) return found;
    } else if (entry.name === "libchdb.so") return path;
  }
  return null;
}

export async function start() {
  const folder = mkdtempSync(join(tmpdir(), "millrace-page-"));
  const ready = join(folder, "ready.json");
  const any = "{ listen: 127.0.0.1:0 }";
  writeFileSync(
    join(folder, "millrace.yaml"),
    `data_dir: ${folder}/data\nreceivers: { otlp_grpc: ${any}, http: ${any} }\nadmin: { health: ${any}, metrics: ${any} }\npage: ${any}\nembedded: ${any}\nexporter: { flush_after: 200ms }\n`,
  );
  const binary = process.env.MILLRACE_BINARY ?? join(ROOT, "target/debug/millrace");
  const log = [];
  const child = spawn(binary, ["serve", "--config", join(folder, "millrace.yaml"), "--ready-file", ready], {
    env: { ...process.env, MILLRACE_LIBCHDB: process.env.MILLRACE_LIBCHDB ?? library(join(ROOT, ".tools/libchdb")) ?? "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => log.push(String(bytes)));
  const ended = new Promise((done) => child.once("exit", done));
  let isUp = true;
  void ended.then(() => (isUp = false));
  for (let tries = 0; !existsSync(ready); tries++) {
    if (!isUp || tries > 600) throw new Error(`the service did not start:\n${log.join("")}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  const addresses = JSON.parse(readFileSync(ready, "utf8"));
  const built = process.env.MILLRACE_PAGE ? await inFrontOf(addresses.page, process.env.MILLRACE_PAGE) : null;
  return {
    page: `http://${built ? `127.0.0.1:${built.address().port}` : addresses.page}`,
    http: `http://${addresses.http}`,
    sql: addresses.clickhouse,
    async stop() {
      built?.closeAllConnections();
      built?.close();
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** With `MILLRACE_PAGE=build` the page is that of a folder, and no binary has to be made of it: the answers, with their headers, are those of the binary, its files are not. */
async function inFrontOf(address, folder) {
  const types = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", woff2: "font/woff2", html: "text/html" };
  const [hostname, port] = address.split(":");
  const server = createServer((asked, answer) => {
    const path = new URL(asked.url, "http://page").pathname;
    const isOurs = !/^\/apis?\//.test(path);
    const headers = { ...asked.headers, host: address };
    if (headers.origin) headers.origin = `http://${address}`;
    const onward = asked.pipe(request({ hostname, port, path: isOurs ? "/" : asked.url, method: asked.method, headers }, (real) => {
      if (!isOurs) return real.pipe(answer.writeHead(real.statusCode, real.headers));
      real.resume();
      const file = join(folder, existsSync(join(folder, path)) && path !== "/" ? path : "index.html");
      const { "content-length": _length, "content-encoding": _encoding, etag: _etag, ...kept } = real.headers;
      answer.writeHead(200, { ...kept, "content-type": types[file.split(".").pop()] }).end(readFileSync(file));
    }).on("error", () => answer.destroy()));
    answer.on("close", () => onward.destroy());
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

export async function send(url, body, type = "application/json") {
  const answer = await fetch(url, { method: "POST", headers: { "content-type": type }, body });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
}

/** The sample of docs/queries.md. */
export async function loadSample(service) {
  const file = (name) => readFileSync(join(ROOT, "docs/sample", name));
  await send(`${service.http}/v1/traces`, file("spans.json"));
  await send(`${service.http}/apis/intake/v2/workspaces/default/ingest/chat-completions`, file("pairs.ndjson"), "application/x-ndjson");
}

/** Two experiments over the same test cases, with runs and scores, in a workspace of their own. */
export async function loadExperiments(service) {
  const base = `${service.http}/apis/intake/v2/workspaces/evals`;
  const post = async (path, body) => {
    const answer = await fetch(base + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const group = await post("/experiment-groups", { name: "prompts" });
  for (const [name, cost, millis] of [["short", 0.0021, 800], ["long", 0.0048, 1400]]) {
    const experiment = await post("/experiments", { name, experiment_group_id: group.id, dataset_name: "questions", dataset_version: "3" });
    for (let test = 0; test < 3; test++) {
      const start = new Date(Date.now() - 3_600_000 + test * 60_000);
      const session = `${name}-${test}`;
      const { span_id } = await post("/ingest/chat-completions", {
        session_id: session, started_at: start.toISOString(), ended_at: new Date(start.getTime() + millis + test * 90).toISOString(),
        cost_usd: cost + test * 0.0003, experiment_context: { experiment_id: experiment.name, test_case_id: `question-${test + 1}` },
        request: { model: "gpt-4o-mini", messages: [{ role: "user", content: `Question ${test + 1}` }] },
        response: { id: `chatcmpl-${session}`, model: "gpt-4o-mini", choices: [{ index: 0, message: { role: "assistant", content: "An answer." }, finish_reason: "stop" }], usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 } },
      });
      await post("/evaluator-results", { session_id: session, span_id, name: "correctness", data_type: "NUMERIC", value: name === "long" || test > 0 ? 1 : 0 });
    }
  }
  const experiments = async () => (await ask(service, "/apis/intake/v2/workspaces/evals/experiments")).data;
  await until("the experiments have runs and scores", async () => (await experiments()).every((one) => one.run_count === 3 && one.cost_usd && one.aggregate_scores?.correctness));
}

/** Waits until an answer is as it should be. */
export async function until(what, holds) {
  for (let tries = 0; tries < 300; tries++) {
    if (await holds()) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`not within 30 s: ${what}`);
}

export async function ask(service, path) {
  const answer = await fetch(service.page + path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

export function browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}
