"""How soon the read API answers with millions of spans: a Millrace with its embedded engine, asked over HTTP by one client, warm.

    make bench-reads                                    10,000,000 spans over 30 days
    python3 tools/bench/reads.py BINARY --spans 1000000 --runs 10
    python3 tools/bench/reads.py BINARY --data FOLDER   keeps what was made, and asks again without making it

The engine makes the spans (a trace has an agent, five calls and two tools; a session has five traces) and the rows of what is counted of them, which
Millrace then finds to be right. Each question is asked once, and so many times again; ids and names are others each time. Prints p50 and p95 of the
answers, and the CPU that one answer takes of Millrace and its engine together.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

DAYS = 30
SPANS_A_TRACE = 8
TREE_SPANS = 10_000
PREFIX = "/apis/intake/v2/workspaces/default"
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """data_dir: {folder}
receivers: {{ otlp_grpc: {{ listen: '127.0.0.1:0' }}, http: {{ listen: '127.0.0.1:0' }} }}
admin: {{ health: {{ listen: '127.0.0.1:0' }}, metrics: {{ listen: '127.0.0.1:0' }} }}
embedded: {{ listen: '127.0.0.1:0' }}
page: {{ listen: '127.0.0.1:0' }}
"""

MESSAGE = "concat('[{\"role\":\"%s\",\"parts\":[{\"type\":\"text\",\"content\":\"', %s, '\"}]}]')"
ASKED = ("concat('What is the weather in city ', toString(c % 100000), ' and do I need a coat when I go there? ', hex(c), ' ', hex(h), ' ', "
         "repeat('I would like to know it by the hour. ', c % 8))")
SAID = "concat('It will rain in the afternoon, ', hex(c + 2), ' so take one, and an umbrella as well. ', hex(c + 3))"


def spans(first, count, begin, step):
    """The rows of some traces: places 1, 3, 4, 6 and 7 are calls, 2 and 5 tools, 0 is the agent."""
    return f"""INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName,
        SpanAttributes, Duration, StatusCode, StatusMessage, Workspace, SessionId, ConversationId, UserId, Operation, Provider, RequestModel, ResponseModel,
        ResponseId, InputTokens, OutputTokens, CacheReadTokens, CostTotal, CostInput, CostOutput, CostSource, TimeToFirstToken, ToolName, ToolCallId,
        AgentName, ErrorType, InputMessages, OutputMessages, InputPreview, OutputPreview)
        WITH {first} + intDiv(number, {SPANS_A_TRACE}) AS trace, number % {SPANS_A_TRACE} AS place, cityHash64(trace) AS h, cityHash64(trace, place) AS c,
             place IN (1, 3, 4, 6, 7) AS is_call, place IN (2, 5) AS is_tool, c % 30 AS model, intDiv(trace, 5) AS session,
             concat('model-', toString(model), '-2026') AS model_name, concat('session-', toString(session)) AS session_name,
             is_call AND c % 50 = 0 AS fails, {MESSAGE % ('user', ASKED)} AS asked, {MESSAGE % ('assistant', SAID)} AS said
        SELECT fromUnixTimestamp64Nano(toInt64({begin} + trace * {step} + h % {step} + place * 1500000000)), lower(hex(MD5(toString(trace)))),
             if(place = 0, lower(hex(h)), lower(hex(c))), if(place = 0, '', lower(hex(h))),
             multiIf(is_call, concat('chat ', model_name), is_tool, 'execute_tool weather', concat('invoke_agent agent-', toString(h % 20))),
             if(is_call, 'Client', 'Internal'), concat('service-', toString(h % 12)),
             map('service.name', concat('service-', toString(h % 12)), 'host.name', concat('host-', toString(h % 40))), 'bench',
             map('gen_ai.system', concat('provider-', toString(model % 8)), 'http.route', concat('/ask-', toString(h % 40)), 'step', toString(place)),
             if(place = 0, 15000000000, 200000000 + c % 1200000000), if(fails, 'Error', 'Unset'), if(fails, 'it took too long', ''), 'default',
             session_name, session_name, concat('user-', toString(cityHash64(session) % 20000)),
             multiIf(is_call, 'chat', is_tool, 'execute_tool', 'invoke_agent'), if(is_call, concat('provider-', toString(model % 8)), ''),
             if(is_call, model_name, ''), if(is_call, model_name, ''), if(is_call, concat('chatcmpl-', hex(c)), ''),
             if(is_call, c % 4000, NULL), if(is_call, c % 900, NULL), if(is_call, c % 1000, NULL),
             if(is_call, toDecimal64(c % 1000000, 12) / 100000000, NULL), if(is_call, toDecimal64(c % 500000, 12) / 100000000, NULL),
             if(is_call, toDecimal64(c % 500000, 12) / 100000000, NULL), if(is_call, 'computed', ''), if(is_call, c % 900000000, NULL),
             if(is_tool, 'weather', ''), if(is_tool, concat('call_', hex(c)), ''), concat('agent-', toString(h % 20)), if(fails, 'timeout', ''),
             if(is_call, asked, ''), if(is_call, said, ''), if(is_call, {ASKED}, ''), if(is_call, {SAID}, '')
        FROM numbers({count * SPANS_A_TRACE})"""


REPORTS = """INSERT INTO genai_report_rows (Workspace, Timestamp, TraceId, SpanId, SpanKind, ServiceName, ParentSpanId, SpanName, Duration, Operation,
        CountedAs, Provider, RequestModel, ResponseModel, Model, ResponseId, SessionId, ConversationId, UserId, AgentName, InputTokens, OutputTokens,
        TotalTokens, CacheReadTokens, CostTotal, CostInput, CostOutput, CostSource, TimeToFirstToken, IsError, ErrorType, ErrorMessage, ReportedBy, Reports,
        Digest, Version)
    SELECT Workspace, Timestamp, TraceId, SpanId, SpanKind, ServiceName, ParentSpanId, SpanName, Duration, Operation, 'call', Provider, RequestModel,
        ResponseModel, ResponseModel, ResponseId, SessionId, ConversationId, UserId, AgentName, InputTokens, OutputTokens, InputTokens + OutputTokens,
        CacheReadTokens, CostTotal, CostInput, CostOutput, CostSource, TimeToFirstToken, StatusCode = 'Error', ErrorType, StatusMessage, ['span'], 1,
        cityHash64(SpanId), 1
    FROM otel_traces WHERE Timestamp >= fromUnixTimestamp64Nano({since}) AND Timestamp < fromUnixTimestamp64Nano({until}) AND Operation = 'chat'"""
# the checksum is that of src/clickhouse/rollups: with another one, Millrace would count the trace again
TRACES = """INSERT INTO genai_trace_rows (Workspace, Timestamp, TraceId, Duration, RootSpanId, RootName, RootService, Spans, Errors, Calls, InputTokens,
        OutputTokens, TotalTokens, CacheReadTokens, CostTotal, Models, Providers, Agents, SessionId, UserId, InputPreview, OutputPreview, Checksum, Digest,
        Version)
    SELECT any(Workspace), min(Timestamp), TraceId, toUInt64(15000000000), anyIf(SpanId, ParentSpanId = ''), anyIf(SpanName, ParentSpanId = ''),
        any(ServiceName), count(), countIf(StatusCode = 'Error'), countIf(Operation = 'chat'), sum(InputTokens), sum(OutputTokens),
        sum(InputTokens + OutputTokens), sum(CacheReadTokens), sum(CostTotal), groupUniqArrayIf(toString(ResponseModel), ResponseModel != ''),
        groupUniqArrayIf(toString(Provider), Provider != ''), groupUniqArray(toString(AgentName)), any(SessionId), any(UserId),
        argMinIf(InputPreview, Timestamp, InputPreview != ''), argMaxIf(OutputPreview, Timestamp, OutputPreview != ''),
        sum(cityHash64(SpanId, SegmentId, ifNull(CostTotal, 0), PriceId)), cityHash64(TraceId), 1
    FROM otel_traces WHERE Timestamp >= fromUnixTimestamp64Nano({since}) AND Timestamp < fromUnixTimestamp64Nano({until}) GROUP BY TraceId"""

TREE = f"""INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Duration, Workspace, Operation)
    SELECT now64(9) - toIntervalHour(3) + toIntervalMillisecond(number), lower(hex(MD5('tree'))), lower(hex(cityHash64('tree', number))),
        if(number = 0, '', lower(hex(cityHash64('tree', intDiv(number - 1, 4))))), concat('step ', toString(number % 50)), 'Internal', 'tree', 1000000000,
        'default', if(number % 5 = 0, 'execute_tool', '') FROM numbers({TREE_SPANS})"""

SCORES = """INSERT INTO genai_evaluator_results (CreatedAt, EvaluatorResultId, SessionId, SpanId, TraceId, Name, DataType, Value, Workspace, Version)
    SELECT now64(9) - toIntervalSecond(number * 20), concat('res-', hex(number)), concat('session-', toString(number)), lower(hex(cityHash64(number * 5, 1))), '',
        concat('metric-', toString(number % 10)), 'NUMERIC', number % 100 / 100, 'default', 1 FROM numbers(100000)"""
NOTES = """INSERT INTO genai_annotations (CreatedAt, AnnotationId, SessionId, SpanId, TraceId, Kind, Text, Workspace, Version)
    SELECT now64(9) - toIntervalSecond(number * 20), concat('ann-', hex(number)), concat('session-', toString(number)), '', '', 'note', 'as it should be',
        'default', 1 FROM numbers(100000)"""


class Service:
    """A running Millrace."""

    def __init__(self, binary, folder):
        self.log = folder.parent / f"{folder.name}.log"
        config, ready = folder.parent / f"{folder.name}.yaml", folder.parent / f"{folder.name}.ready"
        config.write_text(CONFIG.format(folder=folder))
        ready.unlink(missing_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([binary, "serve", "--config", config, "--ready-file", ready], stdout=log, stderr=log)
        deadline = time.time() + 120
        while not ready.exists():
            if self.process.poll() is not None or time.time() > deadline:
                sys.exit(self.log.read_text())
            time.sleep(0.1)
        said = json.loads(ready.read_text())
        self.engine, host = said["clickhouse"], said["http"]
        self.connection = http.client.HTTPConnection(host, timeout=600)

    def sql(self, statement):
        url = self.engine if self.engine.startswith("http") else f"http://{self.engine}"
        with urllib.request.urlopen(f"{url}/?database=otel", statement.encode(), timeout=3600) as answer:
            return answer.read().decode().strip()

    def get(self, path):
        self.connection.request("GET", PREFIX + path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {body.decode()}")
        return body

    def cpu(self):
        """Seconds that the service and its engine have used."""
        pids = [self.process.pid]
        for pid in pids:
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
        return sum(int(of[11]) + int(of[12]) for of in fields) / TICKS

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


def fill(service, count):
    """Spans, and what is counted of them: a quarter of a day after the other. The spans of a trace are less than a quarter of a minute."""
    began = time.time()
    traces = count // SPANS_A_TRACE
    step = DAYS * 86_400_000_000_000 // traces
    begin = (int(time.time()) - DAYS * 86_400 - 60) * 1_000_000_000
    pieces = DAYS * 4
    for piece in range(pieces):
        first, last = traces * piece // pieces, traces * (piece + 1) // pieces
        service.sql(spans(first, last - first, begin, step))
    service.sql(TREE)
    for day in range(DAYS):
        bounds = {"since": begin + day * 86_400_000_000_000, "until": begin + (day + 1) * 86_400_000_000_000}
        service.sql(REPORTS.format(**bounds))
        service.sql(TRACES.format(**bounds))
    for statement in (SCORES, NOTES):
        service.sql(statement)
    print(f"{count:,} spans made in {time.time() - began:.0f} s", flush=True)


def settle(service):
    """Waits until nothing is merged any more and the service rests."""
    quiet = 0
    while quiet < 3:
        cpu = service.cpu()
        time.sleep(5)
        quiet = quiet + 1 if service.cpu() - cpu < 1.0 and service.sql("SELECT count() FROM system.merges") == "0" else 0


def ago(**since):
    seconds = since.get("hours", 0) * 3_600 + since.get("days", 0) * 86_400
    return "filter[started_at][$gte]=" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def questions(traces):
    """Each with its name, and what makes its path; `trace` is a number."""
    def any_trace():
        return random.randrange(traces)

    def trace_id(trace):
        return hashlib.md5(str(trace).encode()).hexdigest()

    def q(text):
        return "q=" + urllib.parse.quote(text)

    def model():
        return f"model-{random.randrange(30)}-2026"

    tree = hashlib.md5(b"tree").hexdigest()
    return [
        ("GET /spans", lambda: "/spans"),
        ("GET /spans?cursor=", lambda: "/spans?cursor="),
        ("the same, page_size=100", lambda: "/spans?cursor=&page_size=100"),
        ("GET /spans of a trace", lambda: f"/spans?filter[trace_id]={trace_id(any_trace())}"),
        ("GET /spans of a session", lambda: f"/spans?filter[session_id]=session-{any_trace() // 5}"),
        ("GET /spans of a model, cursor", lambda: f"/spans?filter[model]={model()}&cursor="),
        ("GET /spans of a model, 1 day", lambda: f"/spans?filter[model]={model()}&{ago(days=1)}"),
        ("GET /spans?q=model:... has:error, 1 day", lambda: f"/spans?{q(f'model:{model()} has:error started:>-1d')}"),
        ("GET /spans/groups?by=trace_id, 1 day", lambda: f"/spans/groups?by=trace_id&{ago(days=1)}"),
        ("GET /traces", lambda: "/traces"),
        ("GET /traces?cursor=", lambda: "/traces?cursor="),
        ("the same, page_size=100", lambda: "/traces?cursor=&page_size=100"),
        ("GET /traces of a session", lambda: f"/traces?filter[session_id]=session-{any_trace() // 5}"),
        ("GET /traces that failed, 1 day", lambda: f"/traces?filter[status]=error&{ago(days=1)}"),
        ("GET /traces?q=has:error, 1 day, cursor", lambda: f"/traces?{q('has:error started:>-1d')}&cursor="),
        ("GET /traces?q=cost:>0.04, 1 day, cursor", lambda: f"/traces?{q('cost:>0.04 started:>-1d')}&cursor="),
        ("GET /traces/histogram, 1 day", lambda: "/traces/histogram"),
        ("GET /traces/facets?fields=model, 1 day", lambda: "/traces/facets?fields=model"),
        ("GET /traces/metrics, 7 days by day", lambda: "/traces/metrics"),
        ("GET /sessions", lambda: "/sessions"),
        ("GET /sessions?cursor=", lambda: "/sessions?cursor="),
        ("GET /sessions, 1 day", lambda: f"/sessions?{ago(days=1)}"),
        ("GET /users", lambda: "/users"),
        ("GET /users?cursor=", lambda: "/users?cursor="),
        ("GET /users, 1 day", lambda: f"/users?{ago(days=1)}"),
        ("GET /annotations of 100,000", lambda: "/annotations"),
        ("GET /evaluator-results of 100,000", lambda: "/evaluator-results"),
        ("GET /experiments", lambda: "/experiments"),
        ("GET /experiment-groups", lambda: "/experiment-groups"),
        ("GET /metrics by model and day, 7 days", lambda: "/metrics?by=model&bucket=day"),
        ("GET /values?field=model", lambda: "/values?field=model"),
        ("GET /traces/{id}", lambda: f"/traces/{trace_id(any_trace())}"),
        ("GET /traces/{id}/tree, 8 spans", lambda: f"/traces/{trace_id(any_trace())}/tree"),
        (f"GET /traces/{{id}}/tree, {TREE_SPANS:,} spans", lambda: f"/traces/{tree}/tree"),
        ("GET /traces/{id}/conversation", lambda: f"/traces/{trace_id(any_trace())}/conversation"),
        ("GET /traces/{id}/cost", lambda: f"/traces/{trace_id(any_trace())}/cost"),
        ("GET /sessions/{id}", lambda: f"/sessions/session-{any_trace() // 5}"),
    ]


def of_spans(service):
    """Questions for one span, recent and old."""
    def ids(condition):
        rows = service.sql(f"SELECT SpanId, TraceId FROM otel_traces WHERE {condition} LIMIT 40 FORMAT TSV")
        return [line.split("\t") for line in rows.splitlines()]

    recent = ids("Timestamp > now() - INTERVAL 6 HOUR AND Timestamp < now() - INTERVAL 5 HOUR AND ServiceName != 'tree'")
    old = ids("Timestamp > now() - INTERVAL 481 HOUR AND Timestamp < now() - INTERVAL 480 HOUR")
    return [
        ("GET /spans/{id} of the last day", lambda: f"/spans/{random.choice(recent)[0]}"),
        ("GET /spans/{id} of 20 days ago", lambda: f"/spans/{random.choice(old)[0]}"),
        ("the same, with trace_id", lambda: "/spans/{}?trace_id={}".format(*random.choice(old))),
    ]


def ask(service, name, path, runs):
    service.get(path())
    cpu, times = service.cpu(), []
    for _ in range(runs):
        asked = path()
        began = time.perf_counter()
        service.get(asked)
        times.append((time.perf_counter() - began) * 1_000)
    cpu = (service.cpu() - cpu) / runs * 1_000
    times.sort()
    p50, p95 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 95 // 100)]
    print(f"| `{name}` | {p50:.0f} | {p95:.0f} | {cpu:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--data", type=pathlib.Path, help="a folder to keep what was made in")
    parser.add_argument("--only", help="only questions with this text in their names")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as ended:
        folder = arguments.data or pathlib.Path(ended.enter_context(tempfile.TemporaryDirectory())) / "data"
        is_made = (folder / "made").exists()
        folder.mkdir(parents=True, exist_ok=True)
        service = Service(arguments.binary, folder.resolve())
        ended.callback(service.stop)
        if not is_made:
            fill(service, arguments.spans)
            (folder / "made").write_text(str(arguments.spans))
        settle(service)
        count = int(service.sql("SELECT sum(rows) FROM system.parts WHERE active AND database = 'otel' AND table = 'otel_traces'"))
        size = int(service.sql("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'otel'"))
        print(f"{count:,} spans, {size / 1e9:.1f} GB\n\n| question | p50 ms | p95 ms | CPU ms |\n| --- | ---: | ---: | ---: |", flush=True)
        for name, path in questions(int((folder / "made").read_text()) // SPANS_A_TRACE) + of_spans(service):
            if not arguments.only or arguments.only in name:
                ask(service, name, path, arguments.runs)


if __name__ == "__main__":
    main()
