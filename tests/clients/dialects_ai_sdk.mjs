// The conversation of dialects.py (JSON on stdin) through the Vercel AI SDK, unmodified.
//
//     node dialects_ai_sdk.mjs 5|6|7 SERVICE_NAME OTLP_ENDPOINT MODEL_URL < conversation.json

import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { context } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [version, serviceName, endpoint, baseURL] = process.argv.slice(2);
const said = JSON.parse(readFileSync(0, "utf8"));
const { generateText, streamText, jsonSchema, registerTelemetry, stepCountIs, tool } = await import(version === "7" ? "ai" : `ai-${version}`);
const { createOpenAI } = await import(`ai-sdk-openai-${version}`);

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": serviceName }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint }))],
});
const tracer = provider.getTracer("ai");

async function telemetry() {
  if (version !== "7") {
    const metadata = { sessionId: said.SESSION, userId: said.USER };
    return { experimental_telemetry: { isEnabled: true, functionId: "weather", metadata, tracer } };
  }
  const { OpenTelemetry } = await import("@ai-sdk/otel");
  const enrichSpan = () => ({ "session.id": said.SESSION, "user.id": said.USER });
  registerTelemetry(new OpenTelemetry({ tracer, enrichSpan }));
  return { telemetry: { functionId: "weather" } };
}

const getWeather = tool({
  description: said.TOOL.description,
  inputSchema: jsonSchema(said.TOOL.parameters),
  execute: async (input) => {
    assert.deepEqual(input, JSON.parse(said.ARGUMENTS));
    return said.RESULT;
  },
});
const common = {
  model: createOpenAI({ baseURL, apiKey: "sk-none" }).chat(said.MODEL),
  tools: { [said.TOOL.name]: getWeather },
  system: said.SYSTEM,
  temperature: said.SETTINGS.temperature,
  maxOutputTokens: said.SETTINGS.max_tokens,
  maxRetries: 0,
  stopWhen: stepCountIs(4),
  ...(await telemetry()),
};

const question = { role: "user", content: said.FIRST };
const first = await generateText({ ...common, messages: [question] });
assert.equal(first.text, said.ANSWER);
const answers = first.responseMessages ?? first.response.messages;
const messages = [question, ...answers, { role: "user", content: said.SECOND }];
const second = streamText({ ...common, messages });
assert.equal(await second.text, said.STREAMED);
await provider.forceFlush();
await provider.shutdown();
