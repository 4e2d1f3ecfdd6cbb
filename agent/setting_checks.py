"""What a setting's value has to be, beyond its type, and how a refused one may be shown."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit


def positive(value: Any) -> bool:
    """Whether a number is above 0."""
    return bool(value > 0)


def share(value: Any) -> bool:
    """Whether a number is from 0 to 1."""
    return bool(0 <= value <= 1)


def address(value: str) -> bool:
    """Whether a text is empty or a server's address that holds no password, as settings are shown."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    server = parts.scheme in ("postgresql", "postgres") and not parts.password and "password" not in parts.query
    return not value or server


def https_origin(value: str) -> bool:
    """Whether a text is empty or an origin over TLS."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    bare = parts.hostname and parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    return not value or bool(parts.scheme == "https" and bare)


def hidden(value: Any) -> Any:
    """A refused value as a sentence may show it: an address without its password."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return re.sub(r"(://[^/@]*?:).*@", r"\1***@", re.sub(r"(password=)[^&]*", r"\1***", value))
