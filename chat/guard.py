"""The outermost layer of the server: who may ask, from which page, and how much at once.

Chainlit accepts any origin on its websocket, reflects any origin in CORS and reads uploads without a limit
(FAULTS C1, C2, C10); nothing reaches it here before host, origin, session and size have been checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from chat.access import SIGN_IN_PAGE, SIGNED_IN_PAGE, Access, access
from chat.body import CountedBody, Message, Receive, body_limit, declared_length
from chat.headers import inline_scripts, secured
from chat.html import without_remote_references
from chat.identity import Person, acting_as
from chat.launch import LaunchPass
from chat.people import known_as
from chat.refusals import Refusal, refusal_page
from chat.rules import Rules, Scope, values
from chat.watched import WatchedSocket

Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_READING = frozenset({"GET", "HEAD"})
# How a browser says that the request comes from the page itself, or from the person (address bar, bookmark).
_OWN_SITE = frozenset({b"same-origin", b"none"})
_FOR_SIGNING_IN = frozenset({Access.ANYBODY, Access.HEADER, Access.OAUTH})
# More parts than any viewer asks for; each costs work out of proportion to its bytes (S07).
_MOST_RANGES = 8
_SECONDS_TO_DISCARD = 2.0


class Guard:
    """An ASGI layer in front of the application; requests that fail a check never reach it."""

    def __init__(self, app: App, rules: Rules, launch: LaunchPass) -> None:
        self._app = app
        self._rules = rules
        self._launch = launch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        person = self._person(scope)
        if self._foreign(scope) or person is None:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        watched = WatchedSocket(lambda: self._person(scope) == person, receive, send)
        with acting_as(person):
            await self._app(self._inner(scope), watched.receive, watched.send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = body_limit(scope["path"], self._rules.upload_limit_bytes)
        answer = _Answer(scope, send, limit, is_public=self._is_public(scope))
        if refusal := self._foreign(scope):
            await answer.refuse(refusal)
        elif token := _token(scope):
            await self._enter(token, scope, answer)
        elif (rule := self._rules.rule(scope["method"], scope["path"])) is Access.CLOSED:
            await answer.refuse(Refusal.CLOSED)
        elif (person := self._person(scope)) is None and not (self._launch.is_shared and rule in _FOR_SIGNING_IN):
            await self._ask_to_sign_in(scope, answer)
        elif refusal := _too_large(scope, limit):
            await _discard(receive)
            await answer.refuse(refusal)
        else:
            with acting_as(person):
                await self._pass_on(scope, CountedBody(receive, limit), answer)

    async def _ask_to_sign_in(self, scope: Scope, answer: _Answer) -> None:
        """Send a person's browser to the sign-in page; anything else is told no."""
        if not self._launch.is_shared:
            await answer.refuse(Refusal.NO_SESSION)
        elif scope["method"] in _READING and _wants_page(scope):
            await answer.redirect(SIGN_IN_PAGE)
        else:
            await answer.refuse(Refusal.SIGNED_OUT)

    async def _pass_on(self, scope: Scope, body: CountedBody, answer: _Answer) -> None:

        async def send(message: Message) -> None:
            if not body.exceeded:
                await answer.send(message)

        try:
            await self._app(self._inner(scope), body.receive, send)
        except Exception:
            # Whatever the application made of a body that was cut off, the answer is ours.
            if not body.exceeded:
                raise
        if body.exceeded:
            await _discard(body.source)
            await answer.refuse(Refusal.TOO_LARGE)

    async def _enter(self, token: str, scope: Scope, answer: _Answer) -> None:
        """Exchange a launch token for a session; a person who already has one is simply let in."""
        session = self._launch.exchange(token)
        if session is not None:
            await answer.redirect("/", (b"set-cookie", self._launch.set_cookie(session).encode()))
        elif self._launch.is_shared or self._person(scope) is not None:
            await answer.redirect("/")
        else:
            await answer.refuse(Refusal.USED_LINK)

    def _foreign(self, scope: Scope) -> Refusal | None:
        """Why a request did not come from this server's own page or person; None when it did."""
        hosts = values(scope, b"host")
        if len(hosts) != 1 or not self._rules.is_own_host(hosts[0].decode("latin-1")):
            return Refusal.FOREIGN_HOST
        origins = values(scope, b"origin")
        if any(not self._rules.is_own_origin(origin) for origin in origins) or len(origins) > 1:
            return Refusal.FOREIGN_ORIGIN
        # Browsers always name the origin of a websocket and of a request that changes something.
        if not origins and (scope["type"] == "websocket" or scope["method"] not in _READING):
            return Refusal.FOREIGN_ORIGIN
        if any(site not in _OWN_SITE for site in values(scope, b"sec-fetch-site")) and not self._comes_back(scope):
            return Refusal.FOREIGN_ORIGIN
        return None

    def _comes_back(self, scope: Scope) -> bool:
        """Whether a provider sends a browser back to us; Chainlit then looks for the secret that it left with."""
        if scope["type"] == "websocket" or scope["method"] != "GET" or not self._rules.ways.providers:
            return False
        pages = (SIGN_IN_PAGE, SIGNED_IN_PAGE)
        return scope["path"] in pages or access("GET", scope["path"]) is Access.OAUTH

    def _is_public(self, scope: Scope) -> bool:
        return any(self._rules.is_public(host.decode("latin-1")) for host in values(scope, b"host"))

    def _inner(self, scope: Scope) -> Scope:
        """The request as the application should see it: whoever it names is who the trusted proxy named."""
        header, named = self._rules.ways.header.encode(), self._rules.named(scope)
        headers = [(name, value) for name, value in _inner_headers(scope) if name != header]
        headers += [(header, named.encode("latin-1"))] if named is not None else []
        is_secure = scope["type"] == "http" and self._is_public(scope)
        return {**scope, "headers": headers, **({"scheme": "https"} if is_secure else {})}

    def _person(self, scope: Scope) -> Person | None:
        cookies = "; ".join(value.decode("latin-1") for value in values(scope, b"cookie"))
        person = self._launch.person(cookies)
        if person is None or not self._rules.ways.header:
            return person
        # Whom the proxy has signed out, or somebody else at the same browser, is not who the cookie was given to.
        named = self._rules.named(scope)
        return person if named is not None and known_as(named) == person.name else None


class _Answer:
    """What goes back over one request: every start gets our headers, a page loses its remote references."""

    def __init__(self, scope: Scope, send: Send, limit_bytes: int, *, is_public: bool = False) -> None:
        self._scope = scope
        self._is_public = is_public
        self._send = send
        self._limit_bytes = limit_bytes
        self._started = False
        self._page_start: Message | None = None
        self._page = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._page_start = message
        elif self._page_start is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_page()
        else:
            await self._send_on(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a sentence; where the answer has begun, nothing can be said any more and it is cut short."""
        if self._started:
            return
        body, kind = _refusal_body(refusal, self._scope, self._limit_bytes)
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if refusal is Refusal.TOO_LARGE:
            # The rest of the body is not wanted: reading it only to throw it away would be the attack.
            headers.append((b"connection", b"close"))
        await self._send_on({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._send_on({"type": "http.response.body", "body": body})

    async def redirect(self, path: str, *headers: tuple[bytes, bytes]) -> None:
        """Send the browser to another of our pages."""
        given = [(b"location", path.encode()), (b"content-length", b"0"), *headers]
        await self._send_on({"type": "http.response.start", "status": 303, "headers": given})
        await self._send_on({"type": "http.response.body", "body": b""})

    async def _send_page(self) -> None:
        assert self._page_start is not None
        body = without_remote_references(bytes(self._page))
        headers = [(name, value) for name, value in self._page_start["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        start = {**self._page_start, "headers": headers}
        await self._send_on(start, inline_scripts(body))
        await self._send_on({"type": "http.response.body", "body": body})

    async def _send_on(self, message: Message, scripts: list[bytes] | None = None) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            message = {**message, "headers": self._secured(message["headers"], scripts or [])}
        await self._send(message)

    def _secured(self, headers: Any, scripts: list[bytes]) -> list[tuple[bytes, bytes]]:
        netloc = b"".join(values(self._scope, b"host")[:1]).decode("latin-1")
        # A refused foreign host must not find its way into a header of ours.
        safe = netloc if all(character.isalnum() or character in ".:[]-" for character in netloc) else "localhost"
        return secured(headers, path=self._scope["path"], netloc=safe, scripts=scripts, is_public=self._is_public)


def _token(scope: Scope) -> str | None:
    if scope["path"] != "/" or scope["method"] != "GET":
        return None
    query: bytes = scope.get("query_string", b"")
    return next(iter(parse_qs(query.decode("latin-1")).get("token", [])), None)


def _inner_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The request as the application should see it.

    Compression costs more than it saves on loopback, and a compressed page could not be rewritten. A Range header
    with many parts, any word of a proxy about hosts, and any proof of a person but our cookie are dropped.
    """
    dropped = {b"accept-encoding", b"authorization", b"forwarded", b"x-forwarded-host", b"x-forwarded-for"}
    dropped.add(b"x-forwarded-proto")
    return [
        (name, value)
        for name, value in scope["headers"]
        if name not in dropped and not (name == b"range" and value.count(b",") >= _MOST_RANGES)
    ]


def _is_html(start: Message) -> bool:
    kinds = [value for name, value in start["headers"] if name == b"content-type"]
    return any(kind.split(b";")[0].strip() == b"text/html" for kind in kinds)


def _too_large(scope: Scope, limit: int) -> Refusal | None:
    try:
        length = declared_length(values(scope, b"content-length"))
    except ValueError:
        return Refusal.MALFORMED
    return Refusal.TOO_LARGE if length is not None and length > limit else None


async def _discard(receive: Receive) -> None:
    """Throw away what is still coming, for a moment: a browser reads the refusal only after it has sent its file."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS_TO_DISCARD):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass


def _wants_page(scope: Scope) -> bool:
    """Whether a browser asks for something to show, and not a script for a value."""
    return b"text/html" in b",".join(values(scope, b"accept"))


def _refusal_body(refusal: Refusal, scope: Scope, limit_bytes: int) -> tuple[bytes, bytes]:
    if _wants_page(scope):
        return refusal_page(refusal, limit_bytes), b"text/html; charset=utf-8"
    # The page shows `detail` of a JSON answer to the person.
    value = {"detail": refusal.sentence(limit_bytes), "code": refusal.code}
    return json.dumps(value, ensure_ascii=False).encode(), b"application/json"
