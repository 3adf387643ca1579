"""Sends log records and data points with the official OpenTelemetry SDK for Python and prints the ledger of them.

    otlp_signals.py --protocol grpc|http --logs URL --metrics URL --service NAME [--compression gzip|none] [--filler BYTES]

The ledger (JSON on stdout) says what must now stand in the tables: for each table the rows that the SDK sent for the service, with the
columns that do not depend on the clock. Floating-point numbers are text, as ClickHouse prints them. Every value is written
down as it is given to the SDK; nothing is derived by code that could share a mistake with the service.
"""

import argparse
import json
import logging
import os
import time

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
NEVER_MS = 3_600_000
TRIES = 20


def exporters(protocol, logs, metrics, compression):
    """The official exporters, as an application would make them."""
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        chosen = {"gzip": grpc.Compression.Gzip, "none": grpc.Compression.NoCompression}[compression]
        return (
            OTLPLogExporter(endpoint=logs, insecure=True, compression=chosen),
            OTLPMetricExporter(endpoint=metrics, insecure=True, compression=chosen),
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    chosen = {"gzip": Compression.Gzip, "none": Compression.NoCompression}[compression]
    return OTLPLogExporter(endpoint=logs, compression=chosen), OTLPMetricExporter(endpoint=metrics, compression=chosen)


def persistent(exporter):
    """Hands the exporter again what it gave up on, as a collector in between would do. Its own retries stay on."""
    once = exporter.export

    def export(*batch, **options):
        results = (once(*batch, **options) for _ in range(TRIES))
        return next((result for result in results if result.name == "SUCCESS"), None) or once(*batch, **options)

    exporter.export = export
    return exporter


def send_logs(exporter, resource):
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("logger", "3.1")
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            severity_text="WARN",
            severity_number=SeverityNumber.WARN,
            body="größer als erwartet",
            attributes={"n": 7, "list": ["a", 1]},
        )
    )
    logger.emit(LogRecord(timestamp=time.time_ns(), body={"a": [1, True]}, event_name="order.placed"))
    if not provider.force_flush():
        raise SystemExit("the log records were not taken")
    provider.shutdown()
    scope = {"ScopeName": "logger", "ScopeVersion": "3.1"}
    return [
        scope
        | {"SeverityText": "WARN", "SeverityNumber": 13, "Body": "größer als erwartet", "EventName": ""}
        | {"LogAttributes": {"n": "7", "list": '["a",1]'}},
        scope
        | {"SeverityText": "", "SeverityNumber": 0, "Body": '{"a":[1,true]}', "EventName": "order.placed"}
        | {"LogAttributes": {}},
    ]


def send_metrics(exporter, resource):
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER_MS)
    view = View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation(max_size=4, max_scale=0))
    provider = MeterProvider(
        [reader], resource=resource, views=[view], exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False
    )
    meter = provider.get_meter("meter", "4.2", "https://example.com/schema", {"scope.n": 1})
    requests = meter.create_counter("requests", "{request}", "what was asked")
    active = meter.create_up_down_counter("active")
    latency = meter.create_histogram("latency", "s", explicit_bucket_boundaries_advisory=[1, 5])
    size = meter.create_histogram("size", "By")
    meter.create_observable_gauge("temperature", [lambda _: [Observation(21.5, {"room": "ö"}), Observation(-3, {})]], "Cel")
    context = trace.set_span_in_context(
        NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=False, trace_flags=TraceFlags(1)))
    )
    requests.add(2**53 + 1, {"route": "/a"}, context)
    active.add(5)
    active.add(-2.5)
    for value in (0.5, 3, 7.25):
        latency.record(value, {"route": "/a"})
    for value in (1, 2, 4):
        size.record(value)
    if not provider.force_flush():
        raise SystemExit("the data points were not taken")
    # and not the provider, which would send everything again
    exporter.shutdown()
    scope = {"ScopeName": "meter", "ScopeVersion": "4.2", "ScopeAttributes": {"scope.n": "1"}}
    scope |= {"ScopeSchemaUrl": "https://example.com/schema"}

    def rows(name, unit, description, more):
        return [scope | {"MetricName": name, "MetricUnit": unit, "MetricDescription": description} | row for row in more]

    cumulative = {"AggregationTemporality": 2}
    counted = {"HasSum": True, "HasMin": True, "HasMax": True} | cumulative
    exemplar = {"Exemplars.TraceId": [f"{TRACE:032x}"], "Exemplars.SpanId": [f"{SPAN:016x}"]}
    return {
        "otel_metrics_gauge": rows(
            "temperature",
            "Cel",
            "",
            [
                {"Attributes": {"room": "ö"}, "Value": "21.5", "ValueInt": None},
                {"Attributes": {}, "Value": "-3", "ValueInt": -3},
            ],
        ),
        "otel_metrics_sum": rows(
            "requests",
            "{request}",
            "what was asked",
            [
                {"Attributes": {"route": "/a"}, "Value": "9007199254740992", "ValueInt": 9007199254740993}
                | {"IsMonotonic": True}
                | cumulative
                | exemplar
            ],
        )
        + rows("active", "", "", [{"Attributes": {}, "Value": "2.5", "IsMonotonic": False} | cumulative]),
        "otel_metrics_histogram": rows(
            "latency",
            "s",
            "",
            [
                {"Attributes": {"route": "/a"}, "Count": 3, "Sum": "10.75", "Min": "0.5", "Max": "7.25"}
                | {"BucketCounts": [1, 1, 1], "ExplicitBounds": ["1", "5"]}
                | counted
            ],
        ),
        "otel_metrics_exponential_histogram": rows(
            "size",
            "By",
            "",
            [
                # buckets of scale 0: (0.5, 1], (1, 2], (2, 4]
                {"Attributes": {}, "Count": 3, "Sum": "7", "Min": "1", "Max": "4", "Scale": 0, "ZeroCount": 0}
                | {"PositiveOffset": -1, "PositiveBucketCounts": [1, 1, 1, 0]}
                | counted
            ],
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=["grpc", "http"], required=True)
    parser.add_argument("--logs", required=True)
    parser.add_argument("--metrics", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--compression", choices=["gzip", "none"], default="gzip")
    parser.add_argument("--filler", type=int, default=0, help="bytes of an attribute of the resource")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    logs, metrics = exporters(arguments.protocol, arguments.logs, arguments.metrics, arguments.compression)
    resource = Resource({"service.name": arguments.service, "filler": os.urandom(arguments.filler // 2).hex()})
    ledger = {"otel_logs": send_logs(persistent(logs), resource)} | send_metrics(persistent(metrics), resource)
    print(json.dumps(ledger))


main()
