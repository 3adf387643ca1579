"""How fast `millrace import` is: a file of each format into a fresh Millrace with its embedded engine, both on this machine.

    make bench-import                          every format
    python3 tools/bench/import.py BINARY otlp-json calls --rows 50000

Prints for each format rows, the time until all are accepted and until all are stored, rows a second, and CPU and peak memory of the command.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

START = 1_780_272_000_000_000_000


def attribute(key, value):
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def span(number):
    start = START + number * 1_000_000
    attributes = [attribute("http.request.method", "GET"), attribute("url.path", f"/mill/{number % 100}"), attribute("step", number)]
    return {"traceId": f"{number // 10 + 1:032x}", "spanId": f"{number + 1:016x}", "parentSpanId": f"{number // 10 + 1:016x}", "name": "GET /mill",
            "kind": 2, "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 5_000_000), "attributes": attributes}


def otlp(first, count):
    resource = {"attributes": [attribute("service.name", "mill"), attribute("host.name", "north")]}
    spans = [span(number) for number in range(first, first + count)]
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "bench"}, "spans": spans}]}]}


def otlp_json(rows):
    return [otlp(first, 10) for first in range(0, rows, 10)], rows


def clock(second):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(START // 1_000_000_000 + second))


def claude_code(rows):
    lines = []
    for number in range(rows // 2):
        base = {"sessionId": "bench", "version": "2.1.0", "isSidechain": False, "cwd": "/mill", "gitBranch": "main"}
        lines.append({**base, "type": "user", "uuid": f"u{number}", "timestamp": clock(number * 4), "message": {"role": "user", "content": "Grind " * 20}})
        usage = {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 5}
        for part in range(3):
            content = [{"type": "text", "text": f"{part} " + "flour " * 60}]
            message = {"id": f"m{number}", "role": "assistant", "model": "claude-sonnet-4-5", "content": content, "usage": usage, "stop_reason": "end_turn"}
            lines.append({**base, "type": "assistant", "uuid": f"a{number}-{part}", "requestId": f"r{number}", "timestamp": clock(number * 4 + 1 + part),
                          "message": message})
    return lines, rows // 2 * 2


def codex(rows):
    lines = [{"timestamp": clock(0), "type": "session_meta", "payload": {"id": "bench", "originator": "codex_cli_rs"}},
             {"timestamp": clock(0), "type": "turn_context", "payload": {"model": "gpt-5-codex"}}]
    for number in range(rows // 2):
        def line(kind, payload, second=number * 4):
            return {"timestamp": clock(second), "type": kind, "payload": payload}
        counts = {"input_tokens": 100, "cached_input_tokens": 40, "output_tokens": 20, "total_tokens": 120}
        answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "flour " * 60}]}
        lines += [line("event_msg", {"type": "user_message", "message": "Grind " * 20}), line("response_item", answer, number * 4 + 2),
                  line("event_msg", {"type": "token_count", "info": {"total_token_usage": {"total_tokens": 120 * (number + 1)}, "last_token_usage": counts}},
                       number * 4 + 3)]
    return lines, rows // 2 * 2 + 1


def chatgpt(rows):
    lines = []
    for number in range(rows // 20):
        mapping = {"root": {"id": "root", "parent": None, "children": [f"{number}-0"], "message": None}}
        for message in range(20):
            at = f"{number}-{message}"
            is_question = message % 2 == 0
            mapping[at] = {"id": at, "parent": f"{number}-{message - 1}" if message else "root", "children": [f"{number}-{message + 1}"] if message < 19 else [],
                           "message": {"id": at, "author": {"role": "user" if is_question else "assistant"}, "create_time": START / 1e9 + number * 60 + message,
                                       "content": {"content_type": "text", "parts": ["How is the flour? " * 10 if is_question else "It is fine. " * 20]},
                                       "recipient": "all", "metadata": {} if is_question else {"model_slug": "gpt-4o"}}}
        lines.append({"title": "Flour", "create_time": START / 1e9 + number * 60, "conversation_id": f"c{number}", "mapping": mapping})
    return lines, rows // 20 * 20


def claude_ai(rows):
    lines = []
    for number in range(rows // 20):
        messages = [{"uuid": f"{number}-{message}", "sender": "assistant" if message % 2 else "human", "created_at": clock(number * 60 + message),
                     "content": [{"type": "text", "text": "It is fine. " * 20 if message % 2 else "How is the flour? " * 10}]} for message in range(20)]
        lines.append({"uuid": f"c{number}", "name": "Flour", "created_at": clock(number * 60), "chat_messages": messages})
    return lines, rows // 20 * 20


def call(number):
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{number}: " + "How is the flour? " * 10}]}
    response = {"id": f"chatcmpl-{number:024x}", "object": "chat.completion", "created": START // 1_000_000_000 + number, "model": "gpt-4o-mini",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is fine. " * 20}}],
                "usage": {"prompt_tokens": 50, "completion_tokens": 60, "total_tokens": 110}}
    return request, response


def calls(rows):
    pairs = map(call, range(rows))
    return [{"request": request, "response": response, "started_at": clock(number)} for number, (request, response) in enumerate(pairs)], rows


def spend_logs(rows):
    made = []
    for number in range(rows):
        request, response = call(number)
        made.append({"request_id": f"r{number}", "call_type": "acompletion", "spend": 0.001, "prompt_tokens": 50, "completion_tokens": 60, "total_tokens": 110,
                     "startTime": clock(number), "endTime": clock(number + 1), "model": "gpt-4o-mini", "custom_llm_provider": "openai",
                     "messages": request["messages"], "response": response, "metadata": "{}", "end_user": "ana", "status": "success"})
    return made, rows


def langfuse(rows):
    return [{"id": f"o{number}", "trace_id": f"t{number // 5}", "type": "GENERATION", "name": "chat", "start_time": clock(number), "end_time": clock(number + 1),
             "provided_model_name": "gpt-4o-mini", "usage_details": {"input": 50, "output": 60}, "input": "How is the flour? " * 10,
             "output": "It is fine. " * 20, "session_id": "s"} for number in range(rows)], rows


def langsmith(rows):
    return [{"id": f"{number:08x}-0000-7000-8000-000000000000", "trace_id": f"{number // 5:08x}-0000-7000-8000-000000000000", "name": "ChatOpenAI", "run_type": "llm",
             "start_time": clock(number), "end_time": clock(number + 1), "extra": {"metadata": {"ls_model_name": "gpt-4o-mini", "ls_provider": "openai"}},
             "inputs": {"messages": [{"role": "user", "content": "How is the flour? " * 10}]}, "outputs": {"content": "It is fine. " * 20},
             "prompt_tokens": 50, "completion_tokens": 60} for number in range(rows)], rows


def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def otlp_protobuf(rows):
    """As the collector's `format: proto` writes it: the length before each message of ten spans."""
    def text(key, value):
        return field(1, key.encode()) + field(2, field(1, value.encode()))

    def one(number):
        start = START + number * 1_000_000
        attributes = [text("http.request.method", "GET"), text("url.path", f"/mill/{number % 100}"), field(1, b"step") + field(2, b"\x18" + varint(number))]
        return (field(1, (number // 10 + 1).to_bytes(16, "big")) + field(2, (number + 1).to_bytes(8, "big")) + field(4, (number // 10 + 1).to_bytes(8, "big"))
                + field(5, b"GET /mill") + b"\x30\x02" + b"\x39" + start.to_bytes(8, "little") + b"\x41" + (start + 5_000_000).to_bytes(8, "little")
                + b"".join(field(9, attribute) for attribute in attributes))

    resource = field(1, field(1, text("service.name", "mill")) + field(1, text("host.name", "north")))
    messages = []
    for first in range(0, rows, 10):
        spans = b"".join(field(2, one(number)) for number in range(first, first + 10))
        messages.append(field(1, resource + field(2, field(1, field(1, b"bench")) + spans)))
    return [len(message).to_bytes(4, "big") + message for message in messages], rows


def openinference(number):
    return {"name": "chat", "span_kind": "LLM", "parent_id": None, "start_time": clock(number), "end_time": clock(number + 1), "status_code": "OK",
            "status_message": "", "events": [], "context.span_id": f"{number + 1:016x}", "context.trace_id": f"{number // 5 + 1:032x}",
            "attributes.llm.model_name": "gpt-4o-mini", "attributes.llm.token_count.prompt": 50, "attributes.llm.token_count.completion": 60,
            "attributes.llm.input_messages": [{"message": {"role": "user", "content": "How is the flour? " * 10}}],
            "attributes.llm.output_messages": [{"message": {"role": "assistant", "content": "It is fine. " * 20}}], "attributes.session.id": "s"}


def phoenix(rows):
    return [openinference(number) for number in range(rows)], rows


def litellm(rows):
    made = []
    for number in range(rows):
        request, response = call(number)
        start = START // 1_000_000_000 + number
        made.append({"id": f"r{number}", "litellm_call_id": f"r{number}", "call_type": "acompletion", "response_cost": 0.001, "prompt_tokens": 50,
                     "completion_tokens": 60, "total_tokens": 110, "startTime": start, "endTime": start + 1, "completionStartTime": start + 0.5,
                     "model": "gpt-4o-mini", "custom_llm_provider": "openai", "messages": request["messages"], "response": response, "metadata": {},
                     "status": "success", "model_parameters": {}, "end_user": "ana"})
    return made, rows


def openai_batch(rows):
    pairs = [call(number) for number in range(rows)]
    inputs = [{"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions", "body": request} for number, (request, _) in enumerate(pairs)]
    outputs = [{"id": f"b{number}", "custom_id": f"c{number}", "response": {"status_code": 200, "request_id": f"q{number}", "body": response}, "error": None}
               for number, (_, response) in enumerate(pairs)]
    return inputs + outputs, rows


def atif(rows):
    """Trajectories of ten steps, each of which makes a span; and one for the whole."""
    made = []
    for number in range(rows // 10):
        steps = []
        for step in range(10):
            at = clock(number * 20 + step)
            base = {"step_id": step + 1, "timestamp": at}
            steps.append({**base, "source": "agent", "message": "It is fine. " * 20, "metrics": {"prompt_tokens": 50, "completion_tokens": 60}} if step % 2 else
                         {**base, "source": "user", "message": "How is the flour? " * 10})
        made.append({"schema_version": "ATIF-v1.4", "session_id": f"bench-{number}", "agent": {"name": "miller", "version": "1", "model_name": "gpt-4o-mini"},
                     "steps": steps})
    return made, None


def helicone(rows):
    made = []
    for number in range(rows):
        request, response = call(number)
        start = START // 1_000_000_000 + number
        made.append({"providerRequest": {"url": "https://example.com", "json": request, "meta": {"Helicone-User-Id": "ana"}},
                     "providerResponse": {"status": 200, "headers": {}, "json": response},
                     "timing": {"startTime": {"seconds": start, "milliseconds": 0}, "endTime": {"seconds": start + 1, "milliseconds": 0}}})
    return made, rows


# spans without a model, sessions and calls: how many rows each is measured with by default
FORMATS = {"otlp-json": (otlp_json, 1_000_000), "otlp-protobuf": (otlp_protobuf, 1_000_000), "phoenix": (phoenix, 60_000), "phoenix-parquet": (phoenix, 60_000),
           "claude-code": (claude_code, 60_000), "codex": (codex, 60_000), "chatgpt": (chatgpt, 60_000), "claude-ai": (claude_ai, 60_000),
           "litellm-spend-logs": (spend_logs, 60_000), "litellm": (litellm, 60_000),
           "calls": (calls, 60_000), "openai-batch": (openai_batch, 60_000), "atif": (atif, 60_000), "langfuse": (langfuse, 60_000),
           "langsmith": (langsmith, 60_000), "helicone": (helicone, 60_000)}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def ask(port, sql):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/?database=otel", sql.encode(), timeout=60) as answer:
        return int(answer.read() or 0)


def parquet(port, lines):
    """The same rows in Parquet, written by the engine, which reads files of its own folder."""
    path, inside = lines.with_suffix(".parquet"), lines.parent / "data" / "clickhouse" / "user_files"
    inside.mkdir(exist_ok=True)
    (inside / "rows.jsonl").write_bytes(lines.read_bytes())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", b"SELECT * FROM file('rows.jsonl', JSONEachRow) FORMAT Parquet", timeout=300) as answer:
        path.write_bytes(answer.read())
    return path


def peak_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) if found else None


def measure(binary, name, make, rows):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        lines, wanted = make(rows)
        path = folder / "file.jsonl"
        with open(path, "wb") as file:
            for line in lines:
                file.write(line if isinstance(line, bytes) else json.dumps(line, separators=(",", ":")).encode() + b"\n")
        del lines
        grpc, http, health, metrics, engine, page = free_ports(6)
        (folder / "millrace.yaml").write_text(
            f"data_dir: {folder}/data\nreceivers: {{ otlp_grpc: {{ listen: '127.0.0.1:{grpc}' }}, http: {{ listen: '127.0.0.1:{http}' }} }}\n"
            f"admin: {{ health: {{ listen: '127.0.0.1:{health}' }}, metrics: {{ listen: '127.0.0.1:{metrics}' }} }}\n"
            f"embedded: {{ listen: '127.0.0.1:{engine}' }}\npage: {{ listen: '127.0.0.1:{page}' }}\n")
        with open(folder / "log", "wb") as log:
            service = subprocess.Popen([binary, "serve", "--config", folder / "millrace.yaml", "--ready-file", folder / "ready"], stdout=log, stderr=log)
        try:
            deadline = time.time() + 60
            while not (folder / "ready").exists():
                if service.poll() is not None or time.time() > deadline:
                    sys.exit((folder / "log").read_text())
                time.sleep(0.1)
            if name.endswith("-parquet"):
                path = parquet(engine, path)
            started = time.time()
            command = [binary, "import", path, "--config", folder / "millrace.yaml", "--again", "--progress", "none"]
            child = subprocess.Popen(command, stdout=subprocess.PIPE)
            peak = 0
            # what wait4 says of memory begins with that of this program
            while (kib := peak_kib(child.pid)) is not None:
                peak = max(peak, kib)
                time.sleep(0.02)
            accepted = time.time() - started
            said = child.stdout.read().decode()
            _, status, usage = os.wait4(child.pid, 0)
            if status != 0:
                sys.exit(f"{name}: {said}")
            wanted = wanted or int(said.split(" rows accepted")[0].split()[-1].replace(",", ""))
            while ask(engine, "SELECT count() FROM otel_traces") < wanted:
                if time.time() - started > 600:
                    sys.exit(f"{name}: not everything is stored after ten minutes")
                time.sleep(0.1)
            stored = time.time() - started
            size = path.stat().st_size / 1e6
            print(f"| {name} | {wanted:,} | {size:,.0f} | {accepted:.1f} | {wanted / accepted:,.0f} | {stored:.1f} | "
                  f"{(usage.ru_utime + usage.ru_stime) / wanted * 1e6:.1f} | {peak / 1024:.0f} |", flush=True)
        finally:
            service.terminate()
            service.wait(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("formats", nargs="*", choices=[[], *FORMATS], default=[])
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    print("| format | rows | MB | accepted after s | rows/s | stored after s | CPU of the command, us/row | its peak MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in arguments.formats or FORMATS:
        make, rows = FORMATS[name]
        measure(arguments.binary, name, make, arguments.rows or rows)


if __name__ == "__main__":
    main()
