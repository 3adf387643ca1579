// The conversation of dialects.py (JSON on stdin) through Genkit, unmodified. Its packages are not among those of the tests: its
// OpenTelemetry is another version. npm install genkit@1.42.0 @genkit-ai/compat-oai@1.42.0 and the exporter of its sdk-node beside it.
//
//     GENKIT_ENV=prod node dialects_genkit.mjs SERVICE_NAME OTLP_ENDPOINT MODEL_URL < conversation.json

import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { genkit, z } from "genkit";
import { enableTelemetry, flushTracing } from "genkit/tracing";
import { openAICompatible } from "@genkit-ai/compat-oai";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [serviceName, endpoint, baseURL] = process.argv.slice(2);
const said = JSON.parse(readFileSync(0, "utf8"));
await enableTelemetry({
  serviceName, autoDetectResources: false,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint }))],
});
const ai = genkit({ plugins: [openAICompatible({ name: "openai", apiKey: "none", baseURL })] });
const weather = ai.defineTool(
  { name: "get_weather", description: said.TOOL.description, inputSchema: z.object({ city: z.string(), unit: z.string() }), outputSchema: z.string() },
  async (input) => {
    assert.deepEqual(input, JSON.parse(said.ARGUMENTS));
    return said.RESULT;
  },
);
const common = { model: `openai/${said.MODEL}`, tools: [weather], system: said.SYSTEM, config: { temperature: 0.2, maxOutputTokens: 256 } };
const first = await ai.generate({ ...common, prompt: said.FIRST });
assert.equal(first.text, said.ANSWER);
const second = await ai.generate({ ...common, system: undefined, messages: first.messages, prompt: said.SECOND });
assert.equal(second.text, said.STREAMED);
await flushTracing();
