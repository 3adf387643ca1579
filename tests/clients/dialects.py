"""One conversation with a fake model server, through each instrumentation that people use, unmodified.

    dialects.py drive DIALECT ENDPOINT     sends what the instrumentation exports to ENDPOINT (.../v1/traces)
    dialects.py record DIALECT FILE        keeps the same bytes in FILE instead
    dialects.py list                       says which dialects can be recorded: those of spans alone

The conversation is three model calls: the model asks for a tool; it answers with the tool's result; a second question is
answered as a stream. Session and user are named in the way that the instrumentation has for it, otherwise as OpenTelemetry
baggage. `tests/service/dialects.rs` says what the table must hold of it.
"""

import asyncio
import contextlib
import gzip
import json
import os
import pathlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fake_openai

HERE = pathlib.Path(__file__).parent
OLDER = HERE.parent.parent / ".tools" / "older-clients"
DEADLINE_SECONDS = 100

MODEL, ANSWERED = "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"
SESSION, USER = "session-7", "ana"
SYSTEM = "You answer questions about the weather in one sentence."
FIRST, SECOND = "What is the weather in Lima?", "And in Cusco?"
ARGUMENTS = '{"city":"Lima","unit":"celsius"}'
RESULT = "18 °C, overcast"
ANSWER, STREAMED = "It is 18 °C and overcast in Lima.", ["It is 11 °C ", "and clear ", "in Cusco."]
SETTINGS = {"temperature": 0.2, "max_tokens": 256}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOL = {"name": "get_weather", "description": "The weather in a city now", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": TOOL}]
CALL = {"id": "call_weather_1", "type": "function", "function": {"name": TOOL["name"], "arguments": ARGUMENTS}}


def usage(prompt, completion, cached, reasoning):
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def frame(name, kind, choices, **members):
    frame = {"id": f"chatcmpl-weather-{name}", "object": kind, "created": 1790000000, "model": ANSWERED}
    return {**frame, "system_fingerprint": "fp_44709d6fcb", "choices": choices, **members}


def whole(name, message, finish_reason, tokens):
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **message}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return frame(name, "chat.completion", [choice], usage=tokens, service_tier="default")


def chunks(name, texts, calls, finish_reason, tokens):
    deltas = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
    deltas += [{"tool_calls": [{"index": at, **call}]} for at, call in enumerate(calls)]
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish_reason})
    kind = "chat.completion.chunk"
    return [*(frame(name, kind, [choice], usage=None) for choice in choices), frame(name, kind, [], usage=tokens)]


def answered(request, name, texts, calls, finish_reason, tokens):
    if request.get("stream"):
        return 200, chunks(name, texts, calls, finish_reason, tokens)
    message = {"content": "".join(texts)} if texts else {"tool_calls": calls}
    return 200, whole(name, message, finish_reason, tokens)


def text_of(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def respond(request):
    """What the model says next in the conversation; a request that is not of it is refused.

    Frameworks put words of their own around a question or a result.
    """
    last = request["messages"][-1]
    text = text_of(last)
    if RESULT in text:
        return answered(request, "answer", *in_the_form_of(request, [ANSWER]), usage(180, 15, 128, 0))
    if SECOND in text:
        return answered(request, "stream", *in_the_form_of(request, STREAMED), usage(210, 16, 192, 8))
    if FIRST in text and request.get("tools"):
        return answered(request, "call", [], [CALL], "tool_calls", usage(120, 42, 64, 24))
    if FIRST in text:
        return answered(request, "answer", *in_the_form_of(request, [ANSWER]), usage(180, 15, 128, 0))
    message = f"not in the conversation: {last}"
    return 400, {"error": {"message": message, "type": "invalid_request_error", "code": "unexpected"}}


def in_the_form_of(request, texts):
    """An answer as the framework's prompt wants it: through a tool of smolagents, in a section of DSPy, or plain."""
    if any(tool["function"]["name"] == "final_answer" for tool in request.get("tools", [])):
        function = {"name": "final_answer", "arguments": json.dumps({"answer": "".join(texts)}, ensure_ascii=False)}
        return [], [{"id": "call_final", "type": "function", "function": function}], "tool_calls"
    if "[[ ## answer ## ]]" in text_of(request["messages"][0]):
        return ["[[ ## answer ## ]]\n", *texts, "\n\n[[ ## completed ## ]]"], [], "stop"
    return texts, [], "stop"


# What is said after the first answer, as the OpenAI package wants it.
def messages():
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": CALL["id"], "content": RESULT}
    question = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": FIRST}]
    asked = [*question, call, result]
    return question, asked, [*asked, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": SECOND}]


def converse(create):
    """The conversation through a function with the parameters of `chat.completions.create`."""
    question, asked, again = messages()
    common = {"model": MODEL, "tools": TOOLS, **SETTINGS}
    first = create(messages=question, **common)
    assert first.choices[0].message.tool_calls[0].function.arguments == ARGUMENTS, first
    assert create(messages=asked, **common).choices[0].message.content == ANSWER
    stream = create(messages=again, stream=True, stream_options={"include_usage": True}, **common)
    texts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(texts) == "".join(STREAMED), texts


def with_openai(base_url):
    import openai

    converse(openai.OpenAI(base_url=base_url, api_key="sk-none", max_retries=0).chat.completions.create)


def tracer_provider(dialect, endpoint):
    """The SDK as an application sets it up: one service, batches, OTLP over HTTP."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({"service.name": dialect}))
    provider.add_span_processor(BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    return provider


@contextlib.contextmanager
def baggage(**entries):
    from opentelemetry import baggage, context

    within = context.get_current()
    for name, value in entries.items():
        within = baggage.set_baggage(name.replace("_", "."), value, within)
    token = context.attach(within)
    try:
        yield
    finally:
        context.detach(token)


def openai_v2(provider, base_url):
    """opentelemetry-instrumentation-openai-v2, content in span attributes."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"
    openai_v2_default(provider, base_url)


def openai_v2_default(provider, base_url):
    """The same as it is by itself: the conventions of 1.30, content in log records if at all."""
    with older():
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)
    with baggage(session_id=SESSION, user_id=USER):
        with_openai(base_url)


def openai_v2_events(dialect, endpoint, base_url):
    """The same, content in log records: one for each message, within the span of its call."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    with older():
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    provider = tracer_provider(dialect, endpoint)
    logs = LoggerProvider(resource=Resource({"service.name": dialect}))
    exporter = OTLPLogExporter(endpoint=endpoint.replace("/v1/traces", "/v1/logs"))
    logs.add_log_record_processor(BatchLogRecordProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider, logger_provider=logs)
    with baggage(session_id=SESSION, user_id=USER):
        with_openai(base_url)
    for sent in (provider, logs):
        assert sent.force_flush()
        sent.shutdown()


def genai_openai(provider, base_url):
    """opentelemetry-instrumentation-genai-openai, which openai-v2 goes on as; its helper names the conversation."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.util.genai.handler import TelemetryHandler

    OpenAIInstrumentor().instrument(tracer_provider=provider)
    workflow = TelemetryHandler(tracer_provider=provider).workflow("weather", conversation_id=SESSION)
    with baggage(user_id=USER), workflow:
        with_openai(base_url)


def openinference(provider, base_url):
    """openinference-instrumentation-openai (Arize)."""
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)
    with using_attributes(session_id=SESSION, user_id=USER):
        with_openai(base_url)


def openllmetry(provider, base_url):
    """opentelemetry-instrumentation-openai (Traceloop)."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider)
    with baggage(session_id=SESSION, user_id=USER):
        with_openai(base_url)


def openllmetry_old(provider, base_url):
    """The same before 0.55, which numbers its attributes."""
    with older():
        openllmetry(provider, base_url)


@contextlib.contextmanager
def older():
    """What is imported within comes from the folder of older packages, which need others than the newest have."""
    sys.path.insert(0, str(OLDER))
    yield
    sys.path.remove(str(OLDER))


def pydantic_ai(provider, base_url):
    """pydantic-ai, its own agent loop."""
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=base_url, api_key="sk-none"))
    agent = Agent(model, name="weather", system_prompt=SYSTEM, model_settings=SETTINGS)

    def get_weather(city: str, unit: str) -> str:
        assert {"city": city, "unit": unit} == json.loads(ARGUMENTS)
        return RESULT

    agent.tool_plain(get_weather, name=TOOL["name"], description=TOOL["description"])

    async def run():
        first = await agent.run(FIRST, conversation_id=SESSION)
        assert first.output == ANSWER, first.output
        history = first.all_messages()
        async with agent.run_stream(SECOND, message_history=history, conversation_id=SESSION) as stream:
            assert await stream.get_output() == "".join(STREAMED)

    with baggage(user_id=USER):
        asyncio.run(run())


def litellm(environment):
    """LiteLLM's `otel` callback, which makes spans and exporter itself."""

    def drive(dialect, endpoint, base_url):
        os.environ.update(environment)
        os.environ.update(
            LITELLM_LOCAL_MODEL_COST_MAP="True",  # prices as installed, not downloaded
            OTEL_EXPORTER="otlp_http",
            OTEL_ENDPOINT=endpoint.removesuffix("/v1/traces"),
            OTEL_SERVICE_NAME=dialect,
            OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="",
        )
        import litellm
        from litellm.litellm_core_utils.litellm_logging import _in_memory_loggers
        from opentelemetry import trace

        calls_heard = asyncio.Queue()
        litellm.callbacks = ["otel", hears_calls(calls_heard)]

        async def call(model, **parameters):
            more = {"api_base": base_url, "api_key": "sk-none", "num_retries": 0, "user": USER}
            metadata = {"session_id": SESSION}
            answer = await litellm.acompletion(f"openai/{model}", metadata=metadata, **more, **parameters)
            return [chunk async for chunk in answer] if parameters.get("stream") else answer

        async def three_calls_heard():
            for _ in range(3):
                await asyncio.wait_for(calls_heard.get(), DEADLINE_SECONDS)

        with asyncio.Runner() as runner:
            converse(lambda **parameters: runner.run(call(**parameters)))
            runner.run(three_calls_heard())
        (logger,) = _in_memory_loggers
        provider = getattr(logger, "tracer_provider", None) or trace.get_tracer_provider()
        assert provider.force_flush()

    return drive


def hears_calls(queue):
    """A callback of LiteLLM that stands behind the other: what it hears of, the other has seen."""
    from litellm.integrations.custom_logger import CustomLogger

    class Hears(CustomLogger):
        async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
            await queue.put(kwargs)

    return Hears()


def ai_sdk(version, *more):
    """The Vercel AI SDK, its own agent loop, in Node."""

    def drive(dialect, endpoint, base_url):
        names = ["MODEL", "SESSION", "USER", "SYSTEM", "FIRST", "SECOND", "ARGUMENTS", "RESULT", "ANSWER", "SETTINGS", "TOOL"]
        conversation = json.dumps({**{name: globals()[name] for name in names}, "STREAMED": "".join(STREAMED)})
        command = ["node", HERE / "dialects_ai_sdk.mjs", version, dialect, endpoint, base_url, *more]
        subprocess.run(command, input=conversation, text=True, check=True, timeout=DEADLINE_SECONDS)

    return drive


def in_python(instrument):
    def drive(dialect, endpoint, base_url):
        provider = tracer_provider(dialect, endpoint)
        instrument(provider, base_url)
        assert provider.force_flush()
        provider.shutdown()

    return drive


DIALECTS = {
    "openai-v2": in_python(openai_v2),
    "openai-v2-default": in_python(openai_v2_default),
    "openai-v2-events": openai_v2_events,
    "genai-openai": in_python(genai_openai),
    "openinference": in_python(openinference),
    "openllmetry": in_python(openllmetry),
    "openllmetry-old": in_python(openllmetry_old),
    "pydantic-ai": in_python(pydantic_ai),
    "ai-sdk-5": ai_sdk("5"),
    "ai-sdk-6": ai_sdk("6"),
    "ai-sdk-7": ai_sdk("7"),
    "litellm": litellm({}),
    "litellm-latest": litellm({"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}),
    "litellm-v2": litellm({"LITELLM_OTEL_V2": "true", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only"}),
}


@contextlib.contextmanager
def recorder(bodies):
    """An OTLP door that keeps what it is sent."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.read_body()
            kind, encoding = self.headers["content-type"], self.headers.get("content-encoding", "identity")
            assert (kind, encoding in ("identity", "gzip")) == ("application/x-protobuf", True), (kind, encoding)
            if self.path == "/v1/traces":
                bodies.append(gzip.decompress(body) if encoding == "gzip" else body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def read_body(self):
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers["content-length"]))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    server.shutdown()


def record(dialect, file):
    bodies = []
    with recorder(bodies) as endpoint:
        DIALECTS[dialect](dialect, endpoint, fake_openai.start(respond))
    assert bodies, "nothing was exported"
    # Protobuf messages one after another are one message with all their spans.
    pathlib.Path(file).write_bytes(b"".join(bodies))


def main(arguments):
    match arguments:
        case ["list"]:
            print("\n".join(name for name in DIALECTS if name != "openai-v2-events"))
        case ["record", dialect, file]:
            record(dialect, file)
        case ["drive", dialect, endpoint]:
            DIALECTS[dialect](dialect, endpoint, fake_openai.start(respond))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
