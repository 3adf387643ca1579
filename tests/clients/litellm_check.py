"""Starts Millrace, points LiteLLM's real generic_api callback at it in each of its formats, and compares the rows in
ClickHouse with what LiteLLM knows of its calls. `make test-litellm` runs it with the Python that has LiteLLM:

    litellm_check.py PATH_OF_MILLRACE
"""

import decimal
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

CALLBACK = pathlib.Path(__file__).with_name("litellm_callback.py")
DEADLINE_SECONDS = 60
ROWS = """
SELECT SpanName, TraceId, StatusCode, StatusMessage, Duration, AllAttributes AS a,
       toString(toUnixTimestamp64Nano(Timestamp)) AS at
FROM otel.otel_traces WHERE SpanAttributes['millrace.litellm.extra'] != ''
ORDER BY Timestamp FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0
"""


def start(binary, folder):
    ready = folder / "ready.json"
    config = folder / "millrace.yaml"
    nowhere = "{ listen: 127.0.0.1:0 }"
    config.write_text(
        f"data_dir: {folder / 'data'}\nreceivers:\n  otlp_grpc: {nowhere}\n  http: {nowhere}\n"
        f"admin:\n  health: {nowhere}\n  metrics: {nowhere}\npage: {nowhere}\nembedded: {nowhere}\n"
    )
    process = subprocess.Popen([binary, "serve", "--config", config, "--ready-file", ready], stdout=subprocess.DEVNULL)
    return process, wait(lambda: json.loads(ready.read_text()) if ready.exists() else None)


def wait(condition):
    until = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    raise SystemExit("waited in vain")


def rows(clickhouse, count):
    url = f"{clickhouse}/?query={urllib.parse.quote(ROWS)}"
    found = [json.loads(line) for line in urllib.request.urlopen(url).read().splitlines()]
    return found if len(found) >= count else None


def nanos(seconds):
    return int(decimal.Decimal(seconds) * 10**9)


def check(call, row):
    attributes = row["a"]
    extra = json.loads(attributes["millrace.litellm.extra"])
    is_embedding = call["call_type"] == "aembedding"
    want = {
        "call": call["call_id"],
        "at": str(nanos(call["start"])),
        "duration": nanos(call["end"]) - nanos(call["start"]),
        "trace": call["trace_id"].replace("-", ""),
        "cost": decimal.Decimal(call["cost"]),
        "operation": "embeddings" if is_embedding else "chat",
        "status": "Error" if call["status"] == "failure" else "Unset",
        "timing": "given",
        "provider": "openai",
    }
    got = {
        "call": extra["litellm_call_id"],
        "at": row["at"],
        "duration": row["Duration"],
        "trace": row["TraceId"],
        "cost": decimal.Decimal(attributes["gen_ai.usage.cost"]),
        "operation": attributes["gen_ai.operation.name"],
        "status": row["StatusCode"],
        "timing": attributes["millrace.timing"],
        "provider": attributes["gen_ai.provider.name"],
    }
    assert got == want, f"\ngot  {got}\nwant {want}"
    return attributes


def check_all(calls, found):
    by_call = {json.loads(row["a"]["millrace.litellm.extra"])["litellm_call_id"]: row for row in found}
    plain, streamed, embedding, failed = (check(call, by_call[call["call_id"]]) for call in calls)
    assert plain["millrace.tags"] == '["shop","beta"]' and plain["user.id"] == "ana", plain
    assert "Lima." in plain["gen_ai.output.messages"] and plain["gen_ai.request.temperature"] == "0.2", plain
    assert "gen_ai.response.time_to_first_chunk" not in plain, "no stream, no first chunk"
    assert float(streamed["gen_ai.response.time_to_first_chunk"]) > 0 and streamed["gen_ai.request.stream"] == "true"
    assert streamed["gen_ai.usage.output_tokens"] == "3" and embedding["gen_ai.usage.input_tokens"] == "4"
    assert failed["error.type"] == "NotFoundError", failed


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        process, addresses = start(binary, pathlib.Path(folder))
        try:
            endpoint = f"http://{addresses['http']}/apis/intake/v2/workspaces/default/ingest/litellm"
            for number, log_format in enumerate(["json_array", "ndjson", "single"], 1):
                command = [sys.executable, CALLBACK, endpoint, log_format]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                calls = json.loads(said.strip().splitlines()[-1])["calls"]
                assert len(calls) == 4, calls
                check_all(calls, wait(lambda: rows(addresses["clickhouse"], 4 * number)))
                print(f"{log_format}: {len(calls)} calls of LiteLLM are in ClickHouse as LiteLLM knows them")
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
