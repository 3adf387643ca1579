// Sends log records and data points as the official OpenTelemetry SDK for JavaScript serialises them, and prints the ledger of them.
//
//     node otlp_signals_js.mjs json|proto|grpc LOGS_URL METRICS_URL SERVICE      (grpc: HOST:PORT twice)
//
// The ledger (JSON on stdout) is that of otlp_signals.py: for each table the rows that must now be there, without the columns that
// depend on the clock.

import { Client, credentials } from "@grpc/grpc-js";
import { TraceFlags, trace, ROOT_CONTEXT } from "@opentelemetry/api";
import * as transformer from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";

const [protocol, logsUrl, metricsUrl, service] = process.argv.slice(2);
const name = { json: "Json", proto: "Protobuf", grpc: "Protobuf" }[protocol];
const contentType = { json: "application/json", proto: "application/x-protobuf" }[protocol];
const resource = resourceFromAttributes({ "service.name": service });

// The generated clients do the same: bytes of the request, and the method's path.
function call(address, path, body) {
  const client = new Client(address, credentials.createInsecure());
  const asItIs = (bytes) => Buffer.from(bytes);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, asItIs, asItIs, body, (error, answer) => {
      client.close();
      if (error) reject(error);
      else if (answer.length > 0) reject(new Error(`${path}: ${answer.toString("hex")}`));
      else resolve();
    });
  });
}

async function post(url, body, path) {
  if (protocol === "grpc") return call(url, path, body);
  const answer = await fetch(url, { method: "POST", headers: { "content-type": contentType }, body });
  const text = await answer.text();
  if (answer.status !== 200 || !["", "{}"].includes(text)) throw new Error(`${url}: ${answer.status} ${text}`);
}

async function sendLogs() {
  const memory = new InMemoryLogRecordExporter();
  const provider = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter: memory })] });
  const context = trace.setSpanContext(ROOT_CONTEXT, {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    traceFlags: TraceFlags.SAMPLED,
  });
  const logger = provider.getLogger("logger", "3.1");
  logger.emit({ severityNumber: 17, severityText: "ERROR", body: "über", attributes: { n: 7, half: 0.5 }, context });
  logger.emit({ body: { a: [1, true] }, eventName: "order.placed" });
  await provider.forceFlush();
  await post(logsUrl, transformer[`${name}LogsSerializer`].serializeRequest(memory.getFinishedLogRecords()),
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
  const scope = { ScopeName: "logger", ScopeVersion: "3.1" };
  return [
    {
      ...scope, SeverityText: "ERROR", SeverityNumber: 17, Body: "über", LogAttributes: { n: "7", half: "0.5" },
      TraceId: "4bf92f3577b34da6a3ce929d0e0e4736", SpanId: "00f067aa0ba902b7", TraceFlags: 1,
    },
    { ...scope, SeverityText: "", SeverityNumber: 0, Body: '{"a":[1,true]}', EventName: "order.placed", LogAttributes: {} },
  ];
}

class OnceReader extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
}

async function sendMetrics() {
  const reader = new OnceReader({ aggregationTemporalitySelector: () => AggregationTemporality.DELTA });
  const views = [
    { instrumentName: "latency", aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: [1, 5] } } },
    { instrumentName: "size", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 4 } } },
  ];
  const meter = new MeterProvider({ resource, readers: [reader], views }).getMeter("meter", "4.2");
  meter.createCounter("requests", { unit: "{request}", description: "what was asked" }).add(5, { route: "/a" });
  const latency = meter.createHistogram("latency", { unit: "s" });
  [0.5, 3, 7.25].forEach((value) => latency.record(value));
  const size = meter.createHistogram("size", { unit: "By" });
  [4, 4].forEach((value) => size.record(value));
  meter.createObservableGauge("temperature").addCallback((result) => result.observe(21.5, { room: "ö" }));
  const { resourceMetrics, errors } = await reader.collect();
  if (errors.length > 0) throw errors[0];
  await post(metricsUrl, transformer[`${name}MetricsSerializer`].serializeRequest(resourceMetrics),
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
  const scope = { ScopeName: "meter", ScopeVersion: "4.2" };
  const delta = { AggregationTemporality: 1 };
  return {
    otel_metrics_sum: [
      {
        ...scope, ...delta, MetricName: "requests", MetricUnit: "{request}", MetricDescription: "what was asked",
        Attributes: { route: "/a" }, Value: "5", IsMonotonic: true,
      },
    ],
    otel_metrics_histogram: [
      {
        ...scope, ...delta, MetricName: "latency", MetricUnit: "s", Count: 3, Sum: "10.75", Min: "0.5", Max: "7.25",
        BucketCounts: [1, 1, 1], ExplicitBounds: ["1", "5"], HasSum: true,
      },
    ],
    otel_metrics_exponential_histogram: [
      { ...scope, ...delta, MetricName: "size", MetricUnit: "By", Count: 2, Sum: "8", Min: "4", Max: "4", PositiveBucketCounts: [2] },
    ],
    otel_metrics_gauge: [{ ...scope, MetricName: "temperature", Attributes: { room: "ö" }, Value: "21.5" }],
  };
}

process.stdout.write(JSON.stringify({ otel_logs: await sendLogs(), ...(await sendMetrics()) }));
