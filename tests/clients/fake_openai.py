"""A model server that runs here and speaks OpenAI's chat-completions and embeddings over HTTP; other APIs in fake_apis.py.

What it answers is up to a function `respond(request) -> (status, body)`: a JSON object, or a list of chunks, which are sent as
server-sent events.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fake_apis


def start(respond):
    """Serves on a free port of the loopback until the process ends; returns the base URL that a client is given."""

    class Handler(FakeOpenAI):
        answer_to = staticmethod(respond)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


class FakeOpenAI(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        for ending, api in fake_apis.OTHER_APIS.items():
            if self.path.partition("?")[0].endswith(ending):
                status, body = self.answer_to(api.request(request))
                return self.send_json(status, api.response(body, request) if status == 200 else body)
        status, body = self.answer_to(request)
        if isinstance(body, list):
            self.send_stream(body)
        else:
            self.send_json(status, body)

    def send_json(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_stream(self, chunks):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, *_):
        pass
