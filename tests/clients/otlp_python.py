"""Sends one known trace with the official OpenTelemetry SDK for Python and prints the ledger of it.

    otlp_python.py --protocol grpc|http --endpoint URL [--seed N] [--compression gzip|none] [--workspace NAME]

The ledger (JSON on stdout) says what must now stand in the table: for every span the 22 standard columns of `otel_traces`,
64-bit numbers as strings. Every attribute is written down twice below, as the value that the SDK is given and as the
text that the table must hold; nothing is derived by code that could share a mistake with the service.

The trace: an HTTP server span (root) > an agent span > a chat span that failed and a tool span; the chat span has
events, an exception and links. Ids follow from the seed, times from the clock.
"""

import argparse
import json
import random
import sys
import time

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState, set_span_in_context

TEXTS = {
    "gen_ai.operation.name": ("chat", "chat"),
    "gen_ai.provider.name": ("openai", "openai"),
    "gen_ai.request.model": ("gpt-4.1-mini", "gpt-4.1-mini"),
    "gen_ai.response.model": ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini-2025-04-14"),
    "gen_ai.response.id": ("chatcmpl-é-1", "chatcmpl-é-1"),
    "gen_ai.response.finish_reasons": (["stop", "length"], '["stop","length"]'),
    "gen_ai.request.temperature": (0.25, "0.25"),
    "gen_ai.request.max_tokens": (4096, "4096"),
    "gen_ai.usage.input_tokens": (1234, "1234"),
    "gen_ai.usage.output_tokens": (56, "56"),
    "gen_ai.conversation.id": ("conversation-7", "conversation-7"),
    "gen_ai.input.messages": (
        '[{"role":"user","parts":[{"type":"text","content":"Grüße, 世界 🌍\\n\\"quoted\\""}]}]',
        '[{"role":"user","parts":[{"type":"text","content":"Grüße, 世界 🌍\\n\\"quoted\\""}]}]',
    ),
}

KINDS = {
    "kind.string": ("plain", "plain"),
    "kind.string.empty": ("", ""),
    "kind.string.unicode": ("naïve – 日本語 – 🦀", "naïve – 日本語 – 🦀"),
    "kind.string.controls": ("tab\there\nline\\back'quote\"double", "tab\there\nline\\back'quote\"double"),
    "kind.bool.true": (True, "true"),
    "kind.bool.false": (False, "false"),
    "kind.int": (42, "42"),
    "kind.int.min": (-(2**63), "-9223372036854775808"),
    "kind.int.max": (2**63 - 1, "9223372036854775807"),
    "kind.double": (3.5, "3.5"),
    "kind.double.whole": (2.0, "2"),
    "kind.double.negative": (-0.125, "-0.125"),
    "kind.array.string": (["a", "ü", ""], '["a","ü",""]'),
    "kind.array.int": ([1, -2, 3], "[1,-2,3]"),
    "kind.array.bool": ([True, False], "[true,false]"),
    "kind.array.double": ([0.5, 1.25], "[0.5,1.25]"),
    "kind.array.empty": ([], "[]"),
    "kind.array.nested": ([["x"], [1]], '[["x"],[1]]'),
    "kind.map": ({"a": 1, "b": {"c": "d"}}, '{"a":1,"b":{"c":"d"}}'),
    "kind.none": (None, ""),
    "kind.bytes": (b"\x00\xff\x10millrace", "AP8QbWlsbHJhY2U="),
    "kind.key with spaces / ünï": ("key", "key"),
}

RESOURCE = {
    "service.name": ("checkout-ö", "checkout-ö"),
    "service.version": ("1.2.3", "1.2.3"),
    "deployment.environment.name": ("test", "test"),
    "host.cpus": (2, "2"),
    "process.command_args": (["python", "app.py"], '["python","app.py"]'),
    "telemetry.sdk.language": ("python", "python"),
}

SCOPE = {"scope.stable": (True, "true")}
SCOPE_NAME, SCOPE_VERSION = "millrace.tests", "0.9.1"

EVENT = {"event.n": (1, "1"), "event.text": ("first token", "first token"), "event.list": (["p", "q"], '["p","q"]')}
LINK = {"link.reason": ("retry of", "retry of"), "link.n": (2, "2")}

KIND_NAMES = {
    SpanKind.INTERNAL: "Internal",
    SpanKind.SERVER: "Server",
    SpanKind.CLIENT: "Client",
    SpanKind.PRODUCER: "Producer",
    SpanKind.CONSUMER: "Consumer",
}


def values(pairs):
    return {key: value for key, (value, _) in pairs.items()}


def texts(pairs):
    return {key: text for key, (_, text) in pairs.items()}


class SeededIds(IdGenerator):
    """Ids that follow from the seed, so that a failing run can be repeated."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def generate_trace_id(self):
        return self._random.getrandbits(127) + 1

    def generate_span_id(self):
        return self._random.getrandbits(63) + 1


class StateSampler(Sampler):
    """Samples everything and gives every span a trace state, which the SDK lets nobody else set on a root."""

    def __init__(self, state):
        self._state = state

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, self._state)

    def get_description(self):
        return "StateSampler"


class OneRequest(SpanExporter):
    """Keeps the ended spans until all can be exported in one call, whose answer is then known."""

    def __init__(self):
        self.spans = []

    def export(self, spans):
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


def exporter(protocol, endpoint, compression, headers, timeout=10):
    """The official exporter, as an application would make it."""
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        compressions = {"gzip": grpc.Compression.Gzip, "none": grpc.Compression.NoCompression}
        return OTLPSpanExporter(
            endpoint=endpoint, insecure=True, compression=compressions[compression], headers=headers, timeout=timeout
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compressions = {"gzip": Compression.Gzip, "none": Compression.NoCompression}
    return OTLPSpanExporter(
        endpoint=endpoint, compression=compressions[compression], headers=headers, timeout=timeout
    )


def row(span, kind, attributes, start, duration, status=("Unset", ""), events=(), links=(), state=""):
    """A span as the table must hold it."""
    context = span.get_span_context()
    parent = span.parent
    return {
        "Timestamp": str(start),
        "TraceId": format(context.trace_id, "032x"),
        "SpanId": format(context.span_id, "016x"),
        "ParentSpanId": format(parent.span_id, "016x") if parent else "",
        "TraceState": state,
        "SpanName": span.name,
        "SpanKind": KIND_NAMES[kind],
        "ServiceName": RESOURCE["service.name"][1],
        "ResourceAttributes": texts(RESOURCE),
        "ScopeName": SCOPE_NAME,
        "ScopeVersion": SCOPE_VERSION,
        "SpanAttributes": attributes,
        "Duration": str(duration),
        "StatusCode": status[0],
        "StatusMessage": status[1],
        "Events.Timestamp": [str(at) for at, _, _ in events],
        "Events.Name": [name for _, name, _ in events],
        "Events.Attributes": [attributes for _, _, attributes in events],
        "Links.TraceId": [link["trace"] for link in links],
        "Links.SpanId": [link["span"] for link in links],
        "Links.TraceState": [link["state"] for link in links],
        "Links.Attributes": [link["attributes"] for link in links],
    }


def make_trace(tracer, state):
    """Makes the four spans and returns their rows, the root first."""
    start = time.time_ns()
    kind = SpanKind.SERVER
    root = tracer.start_span("GET /größe", kind=kind, attributes=values(KINDS), start_time=start)
    within = set_span_in_context(root)
    rows = [row(root, kind, texts(KINDS), start, 90_000_001, status=("Ok", ""), state=state)]

    agent_at, kind = start + 1_000_003, SpanKind.INTERNAL
    agent = tracer.start_span("invoke_agent planner", context=within, kind=kind, start_time=agent_at)
    rows.append(row(agent, kind, {}, agent_at, 80_000_000, state=state))
    within = set_span_in_context(agent)

    rows.append(make_chat_span(tracer, within, start + 2_000_000, state))

    tool_at, kind = start + 3_000_000, SpanKind.PRODUCER
    tool = {"gen_ai.tool.name": ("search", "search"), "gen_ai.operation.name": ("execute_tool", "execute_tool")}
    span = tracer.start_span(
        "execute_tool search", context=within, kind=kind, attributes=values(tool), start_time=tool_at
    )
    # A span of no length: start and end are the same nanosecond.
    span.end(tool_at)
    rows.append(row(span, kind, texts(tool), tool_at, 0, state=state))

    agent.end(agent_at + 80_000_000)
    root.set_status(Status(StatusCode.OK))
    root.end(start + 90_000_001)
    return rows


def make_chat_span(tracer, within, at, state):
    linked = SpanContext(
        trace_id=0xA1B2C3D4E5F60718293A4B5C6D7E8F90,
        span_id=0x1122334455667788,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("vendor", "one"), ("other", "two")]),
    )
    bare = SpanContext(trace_id=0x0F, span_id=0x0E, is_remote=True)
    kind = SpanKind.CLIENT
    links = [Link(linked, values(LINK)), Link(bare)]
    span = tracer.start_span(
        "chat gpt-4.1-mini", context=within, kind=kind, attributes=values(TEXTS), links=links, start_time=at
    )
    span.add_event("gen_ai.first_token", values(EVENT), timestamp=at + 500)
    span.add_event("bare", timestamp=at + 600)
    try:
        raise ValueError("über the limit: \"128\"")
    except ValueError as error:
        span.record_exception(error, timestamp=at + 700)
    exception = span.events[-1]
    assert exception.attributes["exception.type"] == "ValueError", exception.attributes
    span.set_status(Status(StatusCode.ERROR, "über the limit"))
    span.end(at + 7_654_321)
    events = [
        (at + 500, "gen_ai.first_token", texts(EVENT)),
        (at + 600, "bare", {}),
        (at + 700, "exception", dict(exception.attributes)),
    ]
    links = [
        {
            "trace": "a1b2c3d4e5f60718293a4b5c6d7e8f90",
            "span": "1122334455667788",
            "state": "",  # the SDK's own encoder leaves a link's trace state out; the JavaScript one sends it
            "attributes": texts(LINK),
        },
        {"trace": "0" * 31 + "f", "span": "0" * 15 + "e", "state": "", "attributes": {}},
    ]
    status = ("Error", "über the limit")
    return row(span, kind, texts(TEXTS), at, 7_654_321, status=status, events=events, links=links, state=state)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=["grpc", "http"], required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compression", choices=["gzip", "none"], default="gzip")
    parser.add_argument("--workspace")
    args = parser.parse_args()

    headers = {"x-millrace-workspace": args.workspace} if args.workspace else None
    kept = OneRequest()
    state = TraceState([("millrace", "t1"), ("k", "v")])
    provider = TracerProvider(
        resource=Resource(values(RESOURCE)), id_generator=SeededIds(args.seed), sampler=StateSampler(state)
    )
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer(SCOPE_NAME, SCOPE_VERSION, attributes=values(SCOPE))
    rows = make_trace(tracer, state.to_header())

    result = exporter(args.protocol, args.endpoint, args.compression, headers).export(kept.spans)
    if result is not SpanExportResult.SUCCESS:
        sys.exit(f"the exporter answered {result}")
    assert len(kept.spans) == len(rows), (len(kept.spans), len(rows))
    json.dump({"trace_id": rows[0]["TraceId"], "root_span_id": rows[0]["SpanId"], "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main()
