"""The guard: foreign hosts and origins, sessions, sizes and headers, for pages and websockets (G6, S04, S05, S07)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from chat.body import FORM_ALLOWANCE_BYTES, SMALL_BODY_BYTES
from chat.guard import Guard
from chat.launch import LaunchPass
from chat.rules import Rules
from chat.sign_in import SignIn
from chat.store import Store

NETLOC = "127.0.0.1:8000"
LIMIT = 1000


class InnerApp:
    """Stands where Chainlit stands: remembers what got through, reads the body, answers with what it is told."""

    def __init__(self) -> None:
        self.reached: list[dict[str, Any]] = []
        self.bytes_read = 0
        self.headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
        self.body = b"{}"
        self.hides_errors = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        try:
            more = True
            while more:
                message = await receive()
                self.bytes_read += len(message.get("body", b""))
                more = message.get("more_body", False)
        except Exception:
            # FastAPI turns whatever happens while it reads a form into an answer of its own.
            if not self.hides_errors:
                raise
        await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


class Door:
    """A guard around an inner application, with a session already made."""

    def __init__(self, home: Path) -> None:
        self.links: list[str] = []
        self.sign_in = SignIn(Store(home))
        self.launch = LaunchPass(f"http://{NETLOC}", self.links.append, self.sign_in)
        self.launch.new_link()
        session = self.launch.exchange(self.token())
        assert session is not None
        self.cookie = f"{self.launch.cookie_name}={session}"
        self.inner = InnerApp()
        rules = Rules(frozenset({NETLOC, "localhost:8000"}), LIMIT)
        self.guard = Guard(self.inner, rules, self.launch)

    def token(self) -> str:
        return self.links[-1].partition("token=")[2]

    async def ask(
        self,
        path: str = "/",
        *,
        kind: str = "http",
        method: str = "GET",
        host: str | None = NETLOC,
        query: str = "",
        chunks: list[bytes] | None = None,
        **headers: str | None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; a websocket gives 101 or 403."""
        given = {"cookie": self.cookie, "host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
        scope = {
            "type": kind,
            "path": path,
            "method": method,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
        }
        pieces = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks or []]
        pieces.append({"type": "http.request", "body": b"", "more_body": False})
        waiting = iter(pieces if kind == "http" else [{"type": "websocket.connect"}])
        sent: list[Any] = []

        async def receive() -> Any:
            return next(waiting)

        async def send(message: Any) -> None:
            sent.append(message)

        await self.guard(scope, receive, send)
        if kind == "websocket":
            return (101 if sent[0]["type"] == "websocket.accept" else 403), {}, b""
        answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], answer, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


OWN = f"http://{NETLOC}"
HOSTS = (NETLOC, "evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:8001", "127.0.0.1.evil.example:8000", "")
ORIGINS = (None, OWN, "null", "http://evil.example", "https://127.0.0.1:8000", "http://127.0.0.1:8001", "file://")
SITES = (None, "same-origin", "none", "same-site", "cross-site")
MATRIX = list(itertools.product(("http", "websocket"), ("GET", "POST"), HOSTS, ORIGINS, SITES))


def _may_pass(kind: str, method: str, host: str, origin: str | None, site: str | None) -> bool:
    """The rule in a person's words: our own address; our own page's origin, or none on a plain read; our own site."""
    if host != NETLOC or site in ("same-site", "cross-site"):
        return False
    if origin is None:
        return kind == "http" and method == "GET"
    return origin == OWN


def test_g6_s04_s05_only_our_own_page_gets_through() -> None:
    assert len(MATRIX) >= 60
    assert sum(_may_pass(*case) for case in MATRIX) < len(MATRIX) / 20


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_g6_matrix(door: Door, kind: str) -> None:
    for case in MATRIX:
        if case[0] != kind:
            continue
        _, method, host, origin, site = case
        door.inner.reached.clear()
        status, headers, _ = await door.ask(
            "/project/action", kind=kind, method=method, host=host, origin=origin, sec_fetch_site=site
        )
        passed = status in (200, 101)
        assert passed == _may_pass(*case), case
        assert bool(door.inner.reached) == passed, case
        if kind == "http":
            assert "content-security-policy" in headers, case


async def test_s04_forwarded_headers_say_nothing(door: Door) -> None:
    status, _, _ = await door.ask(host="evil.example", x_forwarded_host=NETLOC)
    assert status == 421
    await door.ask(x_forwarded_host="evil.example", forwarded="host=evil.example")
    names = [name for name, _ in door.inner.reached[-1]["headers"]]
    assert b"x-forwarded-host" not in names
    assert b"forwarded" not in names


async def test_s04_two_host_headers_are_refused(door: Door) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", NETLOC.encode()), (b"host", b"evil.example"), (b"cookie", door.cookie.encode())]
    await door.guard({"type": "http", "path": "/", "method": "GET", "headers": headers}, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 421


@pytest.mark.parametrize("cookie", [None, "", "hearth_session_8000=", "hearth_session_8000=wrong", "other=1", "=;;=,"])
@pytest.mark.parametrize("path", ["/", "/assets/index.js", "/project/settings", "/ws/socket.io/", "/health"])
async def test_s02_nothing_is_served_without_a_session(door: Door, cookie: str | None, path: str) -> None:
    status, _, body = await door.ask(path, cookie=cookie)
    assert status == 401
    assert json.loads(body)["code"] == "no_session"
    status, _, _ = await door.ask(path, kind="websocket", cookie=cookie, origin=OWN)
    assert status == 403
    assert not door.inner.reached


async def test_a_session_is_found_among_odd_cookies_of_other_programs(door: Door) -> None:
    status, _, _ = await door.ask(cookie=f'a={{"b":"c,d"}}; x y z; {door.cookie}; q="')
    assert status == 200


async def test_a_browser_reads_a_page_and_a_script_reads_json(door: Door) -> None:
    _, headers, body = await door.ask(cookie=None, accept="text/html,*/*")
    assert headers["content-type"].startswith("text/html")
    assert b"open the link that the terminal printed" in body
    _, headers, _ = await door.ask(cookie=None, accept="application/json")
    assert headers["content-type"] == "application/json"


async def test_the_link_works_once_and_the_next_one_is_announced(door: Door) -> None:
    token = door.token()
    status, headers, _ = await door.ask(query=f"token={token}", cookie=None)
    assert status == 303
    assert headers["location"] == "/"
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert "token" not in headers["location"]
    assert door.token() != token

    status, _, body = await door.ask(query=f"token={token}", cookie=None, accept="text/html")
    assert status == 403
    assert b"used before" in body
    status, _, _ = await door.ask(query=f"token={door.token()}", cookie=None)
    assert status == 303


async def test_a_used_link_still_lets_in_the_browser_that_used_it(door: Door) -> None:
    status, headers, _ = await door.ask(query="token=long-gone")
    assert status == 303
    assert "set-cookie" not in headers


async def test_c10_a_declared_length_over_the_limit_is_refused_unread(door: Door) -> None:
    too_long = str(LIMIT + FORM_ALLOWANCE_BYTES + 1)
    status, _, body = await door.ask("/project/file", method="POST", origin=OWN, content_length=too_long)
    assert status == 413
    assert json.loads(body)["code"] == "too_large"
    assert not door.inner.reached
    status, _, _ = await door.ask("/login", method="POST", origin=OWN, content_length=str(SMALL_BODY_BYTES + 1))
    assert status == 413


@pytest.mark.parametrize("hides_errors", [False, True])
async def test_c10_s07_a_body_without_length_is_counted(door: Door, hides_errors: bool) -> None:
    door.inner.hides_errors = hides_errors
    chunk = b"x" * 10_000
    status, _, body = await door.ask("/project/file", method="POST", origin=OWN, chunks=[chunk] * 100)
    assert status == 413
    assert json.loads(body)["code"] == "too_large"
    assert door.inner.bytes_read <= LIMIT + FORM_ALLOWANCE_BYTES


@pytest.mark.parametrize("length", ["-1", "1e9", "12, 13", "0x10", "", "٣"])
async def test_s07_a_malformed_length_is_refused(door: Door, length: str) -> None:
    status, _, body = await door.ask("/project/file", method="POST", origin=OWN, content_length=length)
    assert status == 400
    assert json.loads(body)["code"] == "malformed_request"


async def test_a_body_within_the_limit_arrives_whole(door: Door) -> None:
    status, _, _ = await door.ask("/project/file", method="POST", origin=OWN, chunks=[b"x" * LIMIT])
    assert status == 200
    assert door.inner.bytes_read == LIMIT


async def test_s07_a_range_of_ten_thousand_parts_is_dropped(door: Door) -> None:
    await door.ask("/project/file/1", range="bytes=" + ",".join("0-1" for _ in range(10_000)))
    assert b"range" not in [name for name, _ in door.inner.reached[-1]["headers"]]
    await door.ask("/project/file/1", range="bytes=0-99")
    assert b"range" in [name for name, _ in door.inner.reached[-1]["headers"]]


async def test_s08_a_page_loses_its_remote_references_and_its_scripts_are_allowed_by_hash(door: Door) -> None:
    door.inner.headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"999")]
    door.inner.body = (
        b'<link href="https://fonts.example/x.css" rel="stylesheet"><script>const a = 1;</script>'
        b'<script type="module" src="/assets/a.js"></script>'
    )
    _, headers, body = await door.ask()
    assert b"fonts.example" not in body
    assert b'src="/assets/a.js"' in body
    assert headers["content-length"] == str(len(body))
    # The SHA-256 of `const a = 1;`, computed with openssl.
    assert "'sha256-" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("kind", "saved"),
    [
        ("text/html", True), ("image/svg+xml", True), ("application/xhtml+xml", True), ("text/xml", True),
        ("application/pdf", False), ("image/png", False), ("text/plain; charset=utf-8", False), ("", True),
    ],
)  # fmt: skip
async def test_s09_uploads_that_could_run_are_saved_not_shown(door: Door, kind: str, saved: bool) -> None:
    door.inner.headers = [(b"content-type", kind.encode())]
    _, headers, _ = await door.ask("/project/file/1")
    assert (headers.get("content-disposition") == "attachment") == saved
    assert headers["x-content-type-options"] == "nosniff"
    if saved:
        assert headers["content-type"] == "application/octet-stream"


async def test_every_answer_carries_the_headers(door: Door) -> None:
    answers = [
        await door.ask(),
        await door.ask(cookie=None),
        await door.ask(host='evil"; script-src *'),
        await door.ask(query=f"token={door.token()}", cookie=None),
        await door.ask("/project/file", method="POST", origin=OWN, content_length="99999999"),
    ]
    for _, headers, _ in answers:
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; script-src 'self'")
        assert "evil" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
