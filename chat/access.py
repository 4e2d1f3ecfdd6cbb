"""Who may use which route and socket event of the page: one rule for each, looked at before Chainlit sees the request.

A route or event without a rule fails a test, so a new version of Chainlit cannot open a door that nobody thought of.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache


class Access(Enum):
    """Who gets through; what is whose is checked behind it, in `chat/data_layer.py`."""

    ANYBODY = "the sign-in page and what it is made of: nothing of anybody's is in it"
    HEADER = "the sign-in page, where a trusted proxy says who somebody is; nobody where none does"
    OAUTH = "a browser that signs in at a provider or comes back from one; nobody where there is no provider"
    SIGNED_IN = "whoever is signed in, for what is theirs"
    CLOSED = "nobody: the page does not use it"


ROUTES: dict[tuple[str, str], Access] = {
    ("POST", "/login"): Access.ANYBODY,
    ("POST", "/logout"): Access.ANYBODY,
    ("GET", "/auth/config"): Access.ANYBODY,
    ("POST", "/auth/header"): Access.HEADER,
    ("GET", "/auth/oauth/{provider_id}"): Access.OAUTH,
    ("GET", "/auth/oauth/{provider_id}/callback"): Access.OAUTH,
    ("GET", "/user"): Access.ANYBODY,
    ("GET", "/project/translations"): Access.ANYBODY,
    ("GET", "/public/{filename:path}"): Access.ANYBODY,
    ("GET", "/assets/{filename:path}"): Access.ANYBODY,
    ("GET", "/favicon"): Access.ANYBODY,
    ("GET", "/logo"): Access.ANYBODY,
    ("GET", "/avatars/{avatar_id:str}"): Access.ANYBODY,
    ("POST", "/set-session-cookie"): Access.SIGNED_IN,
    ("GET", "/project/settings"): Access.SIGNED_IN,
    ("PUT", "/feedback"): Access.SIGNED_IN,
    ("DELETE", "/feedback"): Access.SIGNED_IN,
    ("POST", "/project/threads"): Access.SIGNED_IN,
    ("GET", "/project/thread/{thread_id}"): Access.SIGNED_IN,
    ("GET", "/project/share/{thread_id}"): Access.SIGNED_IN,
    ("GET", "/project/thread/{thread_id}/element/{element_id}"): Access.SIGNED_IN,
    ("GET", "/project/thread/{thread_id}/export/{form}"): Access.SIGNED_IN,
    ("PUT", "/project/element"): Access.SIGNED_IN,
    ("DELETE", "/project/element"): Access.SIGNED_IN,
    ("PUT", "/project/thread"): Access.SIGNED_IN,
    ("PUT", "/project/thread/share"): Access.SIGNED_IN,
    ("DELETE", "/project/thread"): Access.SIGNED_IN,
    ("POST", "/project/action"): Access.SIGNED_IN,
    ("POST", "/project/file"): Access.SIGNED_IN,
    ("GET", "/project/file/{file_id}"): Access.SIGNED_IN,
    ("GET", "/project/file/{thread_id}/{element_id}"): Access.SIGNED_IN,
    ("HEAD", "/"): Access.SIGNED_IN,
    ("GET", "/health"): Access.SIGNED_IN,
    ("*", "/ws/socket.io"): Access.SIGNED_IN,
    ("POST", "/auth/jwt"): Access.CLOSED,
    ("POST", "/auth/oauth/azure-ad-hybrid/callback"): Access.CLOSED,
    ("POST", "/mcp"): Access.CLOSED,
    ("DELETE", "/mcp"): Access.CLOSED,
    ("GET", "/copilot/{filename:path}"): Access.CLOSED,
    ("GET", "/openapi.json"): Access.CLOSED,
    ("GET", "/docs"): Access.CLOSED,
    ("GET", "/docs/oauth2-redirect"): Access.CLOSED,
    ("GET", "/redoc"): Access.CLOSED,
    # The page itself, under whatever address; it comes last, as everything fits it.
    ("GET", "/{full_path:path}"): Access.SIGNED_IN,
}
"""Every route of the application by method and path; the first that fits a request counts."""

SOCKET_EVENTS: dict[str, Access] = {
    "connect": Access.SIGNED_IN,
    "connection_successful": Access.SIGNED_IN,
    "clear_session": Access.SIGNED_IN,
    "disconnect": Access.SIGNED_IN,
    "stop": Access.SIGNED_IN,
    "client_message": Access.SIGNED_IN,
    "edit_message": Access.SIGNED_IN,
    "window_message": Access.SIGNED_IN,
    "chat_settings_change": Access.SIGNED_IN,
    "chat_settings_edit": Access.SIGNED_IN,
    "message_favorite": Access.CLOSED,
    "fetch_favorites": Access.CLOSED,
    "audio_start": Access.CLOSED,
    "audio_chunk": Access.CLOSED,
    "audio_end": Access.CLOSED,
}
"""Every event that a page can send; a closed one is taken off the server."""

SIGN_IN_PAGE = "/login"
SIGNED_IN_PAGE = "/login/callback"
"""Where a browser goes from a provider's answer."""


def access(method: str, path: str) -> Access:
    """The rule of a request; what has none is for those who are signed in, and is refused behind that."""
    if path == SIGN_IN_PAGE:
        return Access.ANYBODY
    if path == SIGNED_IN_PAGE:
        return Access.OAUTH
    method = "GET" if method == "HEAD" and path != "/" else method
    for known, pattern, rule in _patterns():
        if known in (method, "*") and pattern.fullmatch(path):
            return rule
    return Access.SIGNED_IN


@cache
def _patterns() -> list[tuple[str, re.Pattern[str], Access]]:
    return [(method, _pattern(path), rule) for (method, path), rule in ROUTES.items()]


def _pattern(path: str) -> re.Pattern[str]:
    """A path with parameters as an expression; a mounted path holds for all under it."""
    parts = re.split(r"\{\w+(:\w+)?\}", path)
    text = re.escape(parts[0])
    for kind, after in zip(parts[1::2], parts[2::2], strict=True):
        text += (".*" if kind == ":path" else "[^/]+") + re.escape(after)
    return re.compile(text + ("(/.*)?" if path == "/ws/socket.io" else ""))
