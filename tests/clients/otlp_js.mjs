// Sends one known trace with the official OpenTelemetry SDK for JavaScript and prints the ledger of it.
//
//     node otlp_js.mjs grpc|proto|json ENDPOINT [WORKSPACE [FILLER]]      (FILLER: bytes of an attribute of the resource)
//
// The ledger (JSON on stdout) says what must now stand in `otel_traces`, all 22 columns of every span, 64-bit numbers
// as strings. As in otlp_python.py, every attribute is written down twice: the value and the text it must become.

import { randomBytes } from "node:crypto";

import { Metadata } from "@grpc/grpc-js";
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, createTraceState, trace } from "@opentelemetry/api";
import { ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { CompressionAlgorithm } from "@opentelemetry/otlp-exporter-base";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, InMemorySpanExporter, SamplingDecision, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [protocol, endpoint, workspace, fillerBytes = "0"] = process.argv.slice(2);
const compression = CompressionAlgorithm.GZIP;
const filler = randomBytes(Number(fillerBytes) / 2).toString("hex");

function makeExporter() {
  const headers = workspace ? { "x-millrace-workspace": workspace } : {};
  switch (protocol) {
    case "grpc": {
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
      return new GrpcExporter({ url: endpoint, compression, metadata });
    }
    case "proto":
      return new ProtoExporter({ url: endpoint, compression, headers });
    case "json":
      return new JsonExporter({ url: endpoint, compression, headers });
    default:
      throw new Error(`protocol must be grpc, proto or json, not ${protocol}`);
  }
}

const RESOURCE = {
  "service.name": ["frontend-ä", "frontend-ä"],
  "service.instance.id": ["627cc493-f310-47de-96bd-71410b7dec09", "627cc493-f310-47de-96bd-71410b7dec09"],
  "process.pid": [4711, "4711"],
  "process.command_args": [["node", "app.mjs"], '["node","app.mjs"]'],
  "filler": [filler, filler],
};

const KINDS = {
  "kind.string": ["plain", "plain"],
  "kind.string.empty": ["", ""],
  "kind.string.unicode": ["naïve – 日本語 – 🦀", "naïve – 日本語 – 🦀"],
  "kind.string.controls": ["tab\there\nline\\back'quote\"double", "tab\there\nline\\back'quote\"double"],
  "kind.bool.true": [true, "true"],
  "kind.bool.false": [false, "false"],
  "kind.int": [42, "42"],
  "kind.int.negative": [-7, "-7"],
  "kind.int.safe": [Number.MAX_SAFE_INTEGER, "9007199254740991"],
  "kind.double": [3.5, "3.5"],
  "kind.double.negative": [-0.125, "-0.125"],
  "kind.array.string": [["a", "ü", ""], '["a","ü",""]'],
  "kind.array.int": [[1, -2, 3], "[1,-2,3]"],
  "kind.array.bool": [[true, false], "[true,false]"],
  "kind.array.double": [[0.5, 1.25], "[0.5,1.25]"],
  "kind.array.empty": [[], "[]"],
};

const CHAT = {
  "gen_ai.operation.name": ["chat", "chat"],
  "gen_ai.provider.name": ["anthropic", "anthropic"],
  "gen_ai.request.model": ["claude-sonnet-4", "claude-sonnet-4"],
  "gen_ai.response.finish_reasons": [["end_turn"], '["end_turn"]'],
  "gen_ai.request.temperature": [0.7, "0.7"],
  "gen_ai.usage.input_tokens": [321, "321"],
  "gen_ai.usage.output_tokens": [12, "12"],
};

const EVENT = { "event.n": [1, "1"], "event.list": [["p", "q"], '["p","q"]'] };
const LINK = { "link.reason": ["retry of", "retry of"], "link.n": [2, "2"] };
const SCOPE_NAME = "millrace.tests.js";
const SCOPE_VERSION = "2.0.0-rc.1";
const STATE = "millrace=t2,k=v";
const KIND_NAMES = new Map([
  [SpanKind.INTERNAL, "Internal"],
  [SpanKind.SERVER, "Server"],
  [SpanKind.CLIENT, "Client"],
  [SpanKind.PRODUCER, "Producer"],
  [SpanKind.CONSUMER, "Consumer"],
]);

const values = (pairs) => Object.fromEntries(Object.entries(pairs).map(([key, [value]]) => [key, value]));
const texts = (pairs) => Object.fromEntries(Object.entries(pairs).map(([key, [, text]]) => [key, text]));
const hrTime = (nanos) => [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)];

// Samples everything and gives every span a trace state, which the SDK lets nobody else set on a root.
const sampler = {
  shouldSample: () => ({ decision: SamplingDecision.RECORD_AND_SAMPLED, traceState: createTraceState(STATE) }),
  toString: () => "StateSampler",
};

function row(span, parentSpanId, kind, attributes, start, duration, rest = {}) {
  const { traceId, spanId } = span.spanContext();
  const { status = ["Unset", ""], events = [], links = [] } = rest;
  return {
    "Timestamp": String(start),
    "TraceId": traceId,
    "SpanId": spanId,
    "ParentSpanId": parentSpanId,
    "TraceState": STATE,
    "SpanName": span.name,
    "SpanKind": KIND_NAMES.get(kind),
    "ServiceName": RESOURCE["service.name"][1],
    "ResourceAttributes": texts(RESOURCE),
    "ScopeName": SCOPE_NAME,
    "ScopeVersion": SCOPE_VERSION,
    "SpanAttributes": attributes,
    "Duration": String(duration),
    "StatusCode": status[0],
    "StatusMessage": status[1],
    "Events.Timestamp": events.map(([at]) => String(at)),
    "Events.Name": events.map(([, name]) => name),
    "Events.Attributes": events.map(([, , attributes]) => attributes),
    "Links.TraceId": links.map((link) => link.trace),
    "Links.SpanId": links.map((link) => link.span),
    "Links.TraceState": links.map((link) => link.state),
    "Links.Attributes": links.map((link) => link.attributes),
  };
}

function makeTrace(tracer) {
  // Kept to whole microseconds: the SDK's arithmetic on times is in floating point and may lose the last digits.
  const start = BigInt(Date.now()) * 1_000_000n;
  const at = (nanos) => hrTime(start + nanos);
  const rows = [];

  const rootKind = SpanKind.CONSUMER;
  const rootOptions = { kind: rootKind, attributes: values(KINDS), startTime: at(0n) };
  const root = tracer.startSpan("receive größe", rootOptions, ROOT_CONTEXT);
  rows.push(row(root, "", rootKind, texts(KINDS), start, 50_000_000n, { status: ["Ok", ""] }));
  const within = trace.setSpan(ROOT_CONTEXT, root);

  const linked = {
    traceId: "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    spanId: "1122334455667788",
    traceFlags: 1,
    traceState: createTraceState("vendor=one,other=two"),
  };
  const chatKind = SpanKind.CLIENT;
  const chat = tracer.startSpan(
    "chat claude-sonnet-4",
    {
      kind: chatKind,
      attributes: values(CHAT),
      startTime: at(2_000_000n),
      links: [{ context: linked, attributes: values(LINK) }],
    },
    within,
  );
  chat.addEvent("gen_ai.first_token", values(EVENT), at(3_000_000n));
  chat.recordException(new RangeError("über the limit"), at(4_000_000n));
  const exception = chat.events.at(-1);
  if (exception.attributes["exception.type"] !== "RangeError") throw new Error("the SDK recorded no exception");
  chat.setStatus({ code: SpanStatusCode.ERROR, message: "über the limit" });
  chat.end(at(9_000_000n));
  rows.push(
    row(chat, root.spanContext().spanId, chatKind, texts(CHAT), start + 2_000_000n, 7_000_000n, {
      status: ["Error", "über the limit"],
      events: [
        [start + 3_000_000n, "gen_ai.first_token", texts(EVENT)],
        [start + 4_000_000n, "exception", { ...exception.attributes }],
      ],
      links: [
        { trace: linked.traceId, span: linked.spanId, state: "vendor=one,other=two", attributes: texts(LINK) },
      ],
    }),
  );
  root.setStatus({ code: SpanStatusCode.OK });
  root.end(at(50_000_000n));
  return rows;
}

const memory = new InMemorySpanExporter();
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes(values(RESOURCE)),
  sampler,
  spanProcessors: [new SimpleSpanProcessor(memory)],
});
const rows = makeTrace(provider.getTracer(SCOPE_NAME, SCOPE_VERSION));
await provider.forceFlush();
const spans = memory.getFinishedSpans();
if (spans.length !== rows.length) throw new Error(`${spans.length} spans ended, ${rows.length} are in the ledger`);

// All spans in one request, whose answer is then known.
const exporter = makeExporter();
const result = await new Promise((answered) => exporter.export(spans, answered));
await exporter.shutdown();
if (result.code !== ExportResultCode.SUCCESS) throw result.error ?? new Error(`the exporter answered ${result.code}`);
process.stdout.write(JSON.stringify({ trace_id: rows[0].TraceId, root_span_id: rows[0].SpanId, rows }));
