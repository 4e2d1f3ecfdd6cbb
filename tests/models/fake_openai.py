"""A small server with OpenAI's interface on loopback that answers from a script and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Script:
    """What the server does.

    Attributes:
        words: Streamed one a chunk, whatever stop strings it is given: some servers ignore them.
        seconds_a_word: Waited before each.
        status: Other than 200, every request fails with it.
        tool_call: (name, arguments as text) answered in place of words.
        raw: Sent in place of a proper answer.
        requests: Every request's path, headers and body.
        hung_up: Set once a client has gone before the end.
    """

    words: list[str] = field(default_factory=lambda: ["Blue", " whales", " are", " large", "."])
    seconds_a_word: float = 0.0
    status: int = 200
    tool_call: tuple[str, str] | None = None
    raw: bytes | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """Runs the server; gives its base URL."""

    class Handler(_Handler):
        pass

    Handler.script = script
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    script: Script

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.script.requests.append({"path": self.path, "headers": headers, "body": body})
        if self.script.status != 200:
            self._send(json.dumps({"error": {"message": f"no, {self.headers.get('Authorization')}"}}).encode())
        elif self.script.raw is not None:
            self._send(self.script.raw)
        elif self.path.endswith("/embeddings"):
            self._embed(body)
        else:
            self._stream(body)

    def _embed(self, body: dict[str, Any]) -> None:
        rows = [
            {"object": "embedding", "index": place, "embedding": [float(len(text)), 1.0, 0.0]}
            for place, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        self._send(json.dumps({"object": "list", "data": rows, "model": body["model"], "usage": usage}).encode())

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for delta in self._deltas():
                time.sleep(self.script.seconds_a_word)
                self._event(body, delta, None)
            self._event(body, {}, "tool_calls" if self.script.tool_call else "stop")
            if (body.get("stream_options") or {}).get("include_usage"):
                self._event(body, None, None)
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            self.script.hung_up.set()

    def _deltas(self) -> Iterator[dict[str, Any]]:
        if self.script.tool_call is None:
            yield from ({"role": "assistant", "content": word} for word in self.script.words)
            return
        name, arguments = self.script.tool_call
        function = {"name": name, "arguments": ""}
        yield {"role": "assistant", "tool_calls": [{"index": 0, "id": "1", "type": "function", "function": function}]}
        for piece in (arguments[:5], arguments[5:]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}

    def _event(self, body: dict[str, Any], delta: dict[str, Any] | None, reason: str | None) -> None:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16} if delta is None else None
        value = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices}
        self.wfile.write(f"data: {json.dumps(value | {'usage': usage})}\n\n".encode())
        self.wfile.flush()

    def _send(self, content: bytes) -> None:
        self.send_response(self.script.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keeps the test's output quiet."""
