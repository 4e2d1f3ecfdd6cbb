"""What the guard lets through: which hosts and origins are ours, which routes answer, whom a proxy may name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chat.access import Access, access
from chat.logins import Logins

Scope = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """What the guard lets through.

    Args:
        netlocs: the values a Host header may have, such as `127.0.0.1:8000`.
        upload_limit_bytes: the largest file a person may upload.
        public_url: the origin that a proxy shows the page under, such as `https://chat.example.org`; empty for none.
        ways: what else than a password and our cookie may say who somebody is.
    """

    netlocs: frozenset[str]
    upload_limit_bytes: int
    public_url: str = ""
    ways: Logins = field(default_factory=Logins)

    def is_own_host(self, netloc: str) -> bool:
        """True for the address of this server, or of the proxy in front of it."""
        return netloc in self.netlocs or self.is_public(netloc)

    def is_own_origin(self, origin: bytes) -> bool:
        """True for the origin of a page that this server sent."""
        scheme, _, netloc = origin.decode("latin-1").partition("://")
        return (scheme == "http" and netloc in self.netlocs) or origin.decode("latin-1") == self.public_url

    def is_public(self, netloc: str) -> bool:
        """True for the address under which a proxy shows the page, over TLS."""
        return bool(self.public_url) and netloc == self.public_url.partition("://")[2]

    def rule(self, method: str, path: str) -> Access:
        """The rule of a request; a way to sign in that is off is closed."""
        rule = access(method, path)
        if rule in (Access.HEADER, Access.OAUTH):
            return rule if rule in self.ways.opened else Access.CLOSED
        return rule

    def named(self, scope: Scope) -> str | None:
        """Who the trusted proxy says is asking; None where it says nothing, or where somebody else says it."""
        said = values(scope, self.ways.header.encode()) if self.ways.header else []
        from_proxy = (scope.get("client") or ("",))[0] == self.ways.proxy
        return said[0].decode("latin-1") if from_proxy and len(said) == 1 else None


def values(scope: Scope, name: bytes) -> list[bytes]:
    """The values of a header, by its name in small letters, in order."""
    return [value for key, value in scope["headers"] if key == name]
