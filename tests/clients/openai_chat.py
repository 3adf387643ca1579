"""Drives the official OpenAI package against a server of this script's own, and posts what a producer captures.

    openai_chat.py --chat URL

Each case is one call: the request as the server received it, and the response as the package gave it (`model_dump()`, for a
stream the list of its chunks', for a failure the body of the exception). The ledger (JSON on stdout) lists for every case
what Millrace answered and what the row of its span must say; the values are written down here, beside the answers that the
server gives.
"""

import argparse
import json
import sys
import urllib.request

import fake_openai
import openai

CREATED = 1790000000
MODEL = "gpt-4.1-mini"
ANSWERED = "gpt-4.1-mini-2025-04-14"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather now",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
DEFINITIONS = [{"type": "function", **TOOLS[0]["function"]}]
USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 5,
    "total_tokens": 26,
    "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'}}
CALL_PART = {"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": {"city": "Köln"}}


def frame(name, **members):
    return {"id": f"chatcmpl-{name}", "created": CREATED, "model": ANSWERED, "system_fingerprint": "fp_44709d6fcb", **members}


def whole(name, message, finish_reason):
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return frame(name, object="chat.completion", choices=[choice], usage=USAGE, service_tier="default")


def chunks(name, deltas, finish_reason, usage):
    def chunk(delta, reason):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return frame(name, object="chat.completion.chunk", choices=[choice])

    listed = [chunk(delta, None) for delta in deltas] + [chunk({}, finish_reason)]
    if usage:
        listed.append(frame(name, object="chat.completion.chunk", choices=[], usage=USAGE))
    return listed


def fragment(**function):
    return {"tool_calls": [{"index": 0, "function": function}]}


# What the server answers, by the model's suffix: (status, JSON or list of chunks).
ANSWERS = {
    "plain": (200, whole("plain", {"role": "assistant", "content": "Drei Meter. 🌍", "refusal": None, "annotations": []}, "stop")),
    "tools": (200, whole("tools", {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]}, "tool_calls")),
    "stream": (200, chunks("stream", [{"role": "assistant", "content": ""}, {"content": "Drei "}, {"content": "Meter. 🌍"}], "stop", True)),
    "stream-tools": (
        200,
        chunks(
            "stream-tools",
            [
                {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **CALL, "function": {"name": "get_weather", "arguments": ""}}]},
                fragment(arguments='{"city": '),
                fragment(arguments='"Köln"}'),
            ],
            "tool_calls",
            False,
        ),
    ),
    "error": (429, {"error": {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}),
}


RECEIVED = {}


def respond(request):
    """Answers by the suffix of the model, and remembers what was sent."""
    case = request["model"].removeprefix(MODEL + ":")
    RECEIVED[case] = request
    return ANSWERS[case]


def capture(client, case, **options):
    """Makes the call; gives the request and the response as a producer has them."""
    messages = [
        {"role": "system", "content": "You are a miller."},
        {"role": "user", "content": "Wie groß ist das Rad?"},
    ]
    call = client.chat.completions.create
    try:
        result = call(model=f"{MODEL}:{case}", messages=messages, temperature=0.25, max_completion_tokens=64, **options)
        response = [chunk.model_dump() for chunk in result] if options.get("stream") else result.model_dump()
    except openai.APIStatusError as error:
        response = {"error": error.body}
    return RECEIVED[case], response


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.status, json.load(answer)


def attributes(case, **others):
    """What every case's row has, and what is its own; `None` means that it must not be there."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": f"{MODEL}:{case}",
        "gen_ai.request.temperature": "0.25",
        "gen_ai.request.max_tokens": "64",
        "gen_ai.input.messages": [
            {"role": "system", "parts": [{"type": "text", "content": "You are a miller."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Wie groß ist das Rad?"}]},
        ],
        **others,
    }


def answered(case, part, reason, finish_reason, **others):
    message = {"role": "assistant", "parts": [part], "finish_reason": finish_reason}
    return attributes(
        case,
        **{
            "gen_ai.response.id": f"chatcmpl-{case}",
            "gen_ai.response.model": ANSWERED,
            "openai.response.system_fingerprint": "fp_44709d6fcb",
            "gen_ai.response.finish_reasons": [reason],
            "gen_ai.output.messages": [message],
            "error.type": None,
            "millrace.stream.complete": None,
            **others,
        },
    )


COUNTED = {
    "gen_ai.usage.input_tokens": "21",
    "gen_ai.usage.output_tokens": "5",
    "gen_ai.usage.total_tokens": "26",
    "gen_ai.usage.cache_read.input_tokens": "16",
    "gen_ai.usage.reasoning.output_tokens": "2",
}
TEXT = {"type": "text", "content": "Drei Meter. 🌍"}
STREAMED = {"gen_ai.request.stream": "true"}
OFFERED = {"gen_ai.tool.definitions": DEFINITIONS}

CASES = [
    ("plain", {}, answered("plain", TEXT, "stop", "stop", **COUNTED, **{"gen_ai.request.stream": None, "openai.response.service_tier": "default"})),
    ("tools", {"tools": TOOLS}, answered("tools", CALL_PART, "tool_calls", "tool_call", **COUNTED, **OFFERED)),
    (
        "stream",
        {"stream": True, "stream_options": {"include_usage": True}},
        answered("stream", TEXT, "stop", "stop", **COUNTED, **STREAMED, **{"millrace.request.extra": {"stream_options": {"include_usage": True}}}),
    ),
    (
        "stream-tools",
        {"stream": True, "tools": TOOLS},
        answered("stream-tools", CALL_PART, "tool_calls", "tool_call", **STREAMED, **OFFERED, **{"gen_ai.usage.input_tokens": None}),
    ),
    (
        "error",
        {},
        attributes(
            "error",
            **{
                "error.type": "rate_limit_exceeded",
                "millrace.response.error": ANSWERS["error"][1]["error"],
                "gen_ai.output.messages": None,
                "gen_ai.response.finish_reasons": None,
            },
        ),
    ),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chat", required=True)
    chat = parser.parse_args().chat
    client = openai.OpenAI(api_key="none", base_url=fake_openai.start(respond), max_retries=0)
    ledger = []
    for case, options, expected in CASES:
        request, response = capture(client, case, **options)
        status, said = post(chat, {"provider": "openai", "session_id": f"session-{case}", "request": request, "response": response})
        ledger.append({"case": case, "status": status, "answer": said, "attributes": expected, "failed": case == "error"})
    json.dump(ledger, sys.stdout)


if __name__ == "__main__":
    main()
