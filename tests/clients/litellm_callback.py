"""LiteLLM with its generic_api callback, unmodified, against a fake OpenAI server that runs here.

Makes a plain call, a streamed one, an embedding and one that the provider refuses, waits until the callback has sent
them, and prints what the caller knows of each, as JSON:

    litellm_callback.py ENDPOINT [json_array|ndjson|single]
"""

import asyncio
import json
import os
import sys

import fake_openai

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def whole(request):
    message = {"role": "assistant", "content": "Lima."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-fake-1", "object": "chat.completion", "created": 1790000000,
            "model": request["model"], "choices": [choice], "usage": USAGE}


def chunks(request):
    deltas = [({"role": "assistant", "content": "Li"}, None), ({"content": "ma."}, None), ({}, "stop")]
    listed = [([{"index": 0, "delta": delta, "finish_reason": reason}], None) for delta, reason in deltas]
    frame = {"id": "chatcmpl-fake-2", "object": "chat.completion.chunk", "created": 1790000000, "model": request["model"]}
    return [{**frame, "choices": choices, "usage": usage} for choices, usage in [*listed, ([], USAGE)]]


def respond(request):
    if "input" in request:
        vector = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
        usage = {"prompt_tokens": 4, "total_tokens": 4}
        return 200, {"object": "list", "model": request["model"], "data": [vector], "usage": usage}
    if request["messages"][0]["content"] == "fail":
        error = {"message": "no such deployment", "type": "invalid_request_error", "code": "model_not_found"}
        return 400, {"error": error}
    return 200, chunks(request) if request.get("stream") else whole(request)


async def main(endpoint, log_format):
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # prices as installed, not downloaded
    import litellm
    from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

    provider = {"api_base": fake_openai.start(respond), "api_key": "sk-none", "num_retries": 0}
    logger = GenericAPILogger(endpoint=endpoint, log_format=log_format)
    litellm.callbacks = [logger]

    def asks(content, **more):
        return {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": content}], **provider, **more}

    metadata = {"trace_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "tags": ["shop", "beta"]}
    await litellm.acompletion(**asks("Capital of Peru?", temperature=0.2, user="ana", metadata=metadata))
    streamed = await litellm.acompletion(**asks("stream", stream=True, stream_options={"include_usage": True}))
    async for _chunk in streamed:
        pass
    await litellm.aembedding(model="openai/text-embedding-3-small", input=["a mill"], **provider)
    refused = None
    try:
        await litellm.acompletion(**asks("fail"))
    except (litellm.BadRequestError, litellm.NotFoundError) as error:
        refused = type(error).__name__
    for _ in range(200):
        if len(logger.log_queue) >= 4:
            break
        await asyncio.sleep(0.05)
    calls = [{"call_type": payload["call_type"], "id": payload["id"], "call_id": payload["litellm_call_id"],
              "trace_id": payload["trace_id"], "status": payload["status"], "cost": repr(payload["response_cost"]),
              "start": repr(payload["startTime"]), "end": repr(payload["endTime"])}
             for payload in logger.log_queue]
    await logger.flush_queue()
    print(json.dumps({"refused": refused, "calls": calls}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "json_array"))
