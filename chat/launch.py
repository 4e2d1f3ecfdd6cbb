"""Who may see the page: a one-time link from the terminal is exchanged for a session cookie.

The page has no accounts on loopback; what proves a person is that they can read the terminal (FAULTS rule 18).
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable

TOKEN_BYTES = 32


class LaunchPass:
    """One unused launch token at a time, and the sessions that earlier ones were exchanged for.

    Args:
        base_url: the page's address, without a slash at its end.
        announce: called with a new link, at the start and after each use of a link.
    """

    def __init__(self, base_url: str, announce: Callable[[str], None]) -> None:
        self.base_url = base_url
        self._announce = announce
        self._lock = threading.Lock()
        self._token = ""
        # Only hashes are kept, so a memory dump or a log of this object opens nothing.
        self._sessions: set[str] = set()

    @property
    def cookie_name(self) -> str:
        """Browsers share cookies between ports, so two Hearths must not use one name."""
        return f"hearth_session_{self.base_url.rpartition(':')[2].strip('/')}"

    def new_link(self) -> str:
        """Make the next one-time link and announce it; the one before it stops working."""
        with self._lock:
            self._token = secrets.token_urlsafe(TOKEN_BYTES)
            link = f"{self.base_url}/?token={self._token}"
        self._announce(link)
        return link

    def exchange(self, token: str) -> str | None:
        """The session secret for an unused token, which is used up by this; None for any other."""
        with self._lock:
            if not self._token or not secrets.compare_digest(token.encode(), self._token.encode()):
                return None
            self._token = ""
            session = secrets.token_urlsafe(TOKEN_BYTES)
            self._sessions.add(_digest(session))
        self.new_link()
        return session

    def admits(self, cookie_header: str) -> bool:
        """True when a Cookie header holds a session of this process."""
        # Split by hand: the standard parser gives up at the first odd cookie that some other local program set.
        pairs = (part.strip().partition("=") for part in cookie_header.split(";"))
        return any(name == self.cookie_name and _digest(value) in self._sessions for name, _, value in pairs)

    def set_cookie(self, session: str) -> str:
        """The Set-Cookie header for a session: not readable by scripts, never sent from another site's page."""
        return f"{self.cookie_name}={session}; Path=/; HttpOnly; SameSite=Strict"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
