"""A stand-in for the hub on loopback: the few addresses that a push uses, and what was sent to them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_for_the_test"
COMMIT = "c" * 40


@dataclass
class Hub:
    """What the server holds.

    Attributes:
        url: Its address.
        repos: Repository -> whether it is private.
        files: Repository -> path -> content, as committed.
        requests: Method and path of every request, in order.
        fails: A part of a path that the server answers with an error 500.
    """

    url: str = ""
    repos: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fails: str = "nothing"
    blobs: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """The server, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer("POST")

        def do_PUT(self) -> None:
            self._answer("PUT")

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            hub.requests.append(f"{method} {path}")
            if hub.fails in path:
                return self._send(500, {"error": "the disk of the hub is full"})
            if not path.startswith("/blob/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._send(401, {"error": "Invalid credentials"})
            return self._send(200, _reply(hub, path, body))

        def _send(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _reply(hub: Hub, path: str, body: bytes) -> Any:
    if path == "/api/repos/create":
        asked = json.loads(body)
        repo = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
        hub.repos.setdefault(repo, asked.get("visibility") == "private")
        return {"url": f"{hub.url}/{repo}"}
    if path == "/api/validate-yaml":
        return {"errors": [], "warnings": []}
    if "/preupload/" in path:
        return {"files": [_upload_mode(one["path"]) for one in json.loads(body)["files"]]}
    if path.endswith("/info/lfs/objects/batch"):
        asked = json.loads(body)
        place = {one["oid"]: {"upload": {"href": f"{hub.url}/blob/{one['oid']}"}} for one in asked["objects"]}
        objects = [{**one, "actions": place[one["oid"]]} for one in asked["objects"]]
        return {"transfer": "basic", "objects": objects}
    if path.startswith("/blob/"):
        assert hashlib.sha256(body).hexdigest() == path.rpartition("/")[2]
        hub.blobs[path.rpartition("/")[2]] = body
        return {}
    return _commit(hub, path, body)


def _upload_mode(path: str) -> dict[str, Any]:
    large = path.endswith(".safetensors")
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": None}


def _commit(hub: Hub, path: str, body: bytes) -> Any:
    repo = path.removeprefix("/api/models/").partition("/commit/")[0]
    files = hub.files.setdefault(repo, {})
    for line in map(json.loads, body.decode().splitlines()):
        if line["key"] == "file":
            files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        if line["key"] == "lfsFile":
            files[line["value"]["path"]] = hub.blobs[line["value"]["oid"]]
    return {"commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
