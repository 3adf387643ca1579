"""Sends batches of spans with the official OpenTelemetry SDK for Python and keeps a ledger of what was acknowledged.

    load_python.py --protocol grpc|http --endpoint URL [--batches N] [--batch-spans N] [--threads N]
                   [--span-bytes N] [--tries N] [--service NAME]

Each batch goes out as one request, whose answer decides: acknowledged = the exporter returned SUCCESS. The exporter's
own retries stay on; a batch that it gave up on is handed to it again, up to `--tries` times in all, as a collector
in between would do. Ends when all batches are done, or, once standard input is closed, after the batches under way.

Writes one JSON line for every batch, as soon as its fate is known:
    {"batch": 0, "acknowledged": true, "tries": 1, "trace_id": "...", "span_ids": ["...", ...]}
"""

import argparse
import json
import logging
import sys
import threading

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import set_span_in_context

from otlp_python import OneRequest, exporter


def make_batch(service, number, spans, span_bytes):
    """One trace: a root and its children, made by the SDK."""
    kept = OneRequest()
    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("millrace.load")
    root = tracer.start_span(f"batch {number}")
    within = set_span_in_context(root)
    for i in range(spans - 1):
        # The filler differs from span to span, so that compression does not make it vanish.
        filler = f"{number:08x}{i:08x}" * (span_bytes // 16)
        tracer.start_span(f"step {i % 10}", context=within, attributes={"n": i, "filler": filler}).end()
    root.end()
    return kept.spans


class Load:
    """The work of all threads: who takes which batch, and the one place that writes the ledger."""

    def __init__(self, args):
        self.args = args
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._next = 0

    def take(self):
        with self._lock:
            if self.stop.is_set() or self._next >= self.args.batches:
                return None
            self._next += 1
            return self._next - 1

    def report(self, **line):
        with self._lock:
            print(json.dumps(line), flush=True)

    def work(self):
        args = self.args
        to = exporter(args.protocol, args.endpoint, "gzip", None)
        while (number := self.take()) is not None:
            spans = make_batch(args.service, number, args.batch_spans, args.span_bytes)
            acknowledged, tries = False, 0
            while not acknowledged and tries < args.tries and not (tries and self.stop.is_set()):
                acknowledged = to.export(spans) is SpanExportResult.SUCCESS
                tries += 1
            self.report(
                batch=number,
                acknowledged=acknowledged,
                tries=tries,
                trace_id=format(spans[0].context.trace_id, "032x"),
                span_ids=[format(span.context.span_id, "016x") for span in spans],
            )
        to.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=["grpc", "http"], required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--batch-spans", type=int, default=50)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--span-bytes", type=int, default=256)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--service", default="load")
    load = Load(parser.parse_args())
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)

    def until_closed():
        sys.stdin.read()
        load.stop.set()

    threading.Thread(target=until_closed, daemon=True).start()
    threads = [threading.Thread(target=load.work) for _ in range(load.args.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
