"""LiteLLM with its generic_api callback, unmodified, against a fake OpenAI server that runs here.

Makes a plain call, a streamed one, an embedding and one that the provider refuses, waits until the callback has sent
them, and prints what the caller knows of each, as JSON:

    litellm_callback.py ENDPOINT [json_array|ndjson|single]
"""

import asyncio
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


class FakeOpenAI(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
            usage = {"prompt_tokens": 4, "total_tokens": 4}
            return self.answer({"object": "list", "model": request["model"], "data": [vector], "usage": usage})
        if request["messages"][0]["content"] == "fail":
            error = {"message": "no such deployment", "type": "invalid_request_error", "code": "model_not_found"}
            return self.answer({"error": error}, status=400)
        if request.get("stream"):
            return self.stream(request)
        message = {"role": "assistant", "content": "Lima."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer({"id": "chatcmpl-fake-1", "object": "chat.completion", "created": 1790000000,
                     "model": request["model"], "choices": [choice], "usage": USAGE})

    def answer(self, body, status=200):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, request):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        deltas = [({"role": "assistant", "content": "Li"}, None), ({"content": "ma."}, None), ({}, "stop")]
        for delta, reason in deltas:
            self.chunk(request, [{"index": 0, "delta": delta, "finish_reason": reason}])
        self.chunk(request, [], USAGE)
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def chunk(self, request, choices, usage=None):
        chunk = {"id": "chatcmpl-fake-2", "object": "chat.completion.chunk", "created": 1790000000,
                 "model": request["model"], "choices": choices, "usage": usage}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, *_):
        pass


async def main(endpoint, log_format):
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # prices as installed, not downloaded
    import litellm
    from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeOpenAI)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider = {"api_base": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "sk-none", "num_retries": 0}
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
