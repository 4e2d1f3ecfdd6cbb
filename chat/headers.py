"""The headers every answer of the server carries, and how a person's own files are handed back.

The content security policy is the second wall behind `chat/inert.py`: even markup that got through fetches nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

Header = tuple[bytes, bytes]

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_FIXED: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
# What the page itself shows; anything else a person uploaded is only ever saved (S09).
_SHOWN_TYPES = (
    "application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/json",
)  # fmt: skip
# Replaced by this file's own values, whatever the application said.
_OWNED = {name for name, _ in _FIXED} | {b"content-security-policy", b"server"}
USER_FILES = "/project/file/"
HASHED_FILES = "/assets/"


def content_security_policy(netloc: str, scripts: Iterable[bytes] = (), *, is_public: bool = False) -> str:
    """The policy for this server's pages: nothing from any other host, no inline script but those given.

    Args:
        netloc: `host:port` of the request, already checked; Safari needs it spelled out for the websocket.
        scripts: the inline scripts of the page, allowed by their hash.
        is_public: whether the page is shown by a proxy, over TLS.
    """
    hashes = "".join(f" '{_sha256(script)}'" for script in scripts)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self'{hashes}",
            # The page's component library sets style attributes and adds style elements.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' {'wss' if is_public else 'ws'}://{netloc}",
            "media-src 'self' blob:",
            "worker-src 'self' blob:",
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def inline_scripts(html: bytes) -> list[bytes]:
    """The texts of a page's inline scripts, in order."""
    return _INLINE_SCRIPT.findall(html)


def secured(
    headers: Iterable[Header], *, path: str, netloc: str, scripts: Iterable[bytes] = (), is_public: bool = False
) -> list[Header]:
    """An answer's headers with ours put in place of any of the same name; over TLS, cookies stay on TLS."""
    kept = [(name, value) for name, value in headers if name.lower() not in _OWNED]
    kept.extend(_FIXED)
    kept.append((b"content-security-policy", content_security_policy(netloc, scripts, is_public=is_public).encode()))
    if is_public:
        kept = [(name, value + b"; Secure" if name.lower() == b"set-cookie" else value) for name, value in kept]
    if path.startswith(USER_FILES):
        kept = _as_saved_file(kept)
    return _with_caching(kept, path)


def _as_saved_file(headers: list[Header]) -> list[Header]:
    """Let the browser save, never show, a file whose type the page does not display itself."""
    kind = dict(headers).get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
    if kind in _SHOWN_TYPES:
        return headers
    dropped = {b"content-type", b"content-disposition"}
    kept = [(name, value) for name, value in headers if name not in dropped]
    return [*kept, (b"content-type", b"application/octet-stream"), (b"content-disposition", b"attachment")]


def _with_caching(headers: list[Header], path: str) -> list[Header]:
    """Files named after their hash may be kept for good; everything else is private and always asked for again."""
    rule = b"private, max-age=31536000, immutable" if path.startswith(HASHED_FILES) else b"no-store"
    return [(name, value) for name, value in headers if name != b"cache-control"] + [(b"cache-control", rule)]


def _sha256(script: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()
