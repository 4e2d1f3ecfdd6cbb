"""The way in where a home has no users: a one-time link from the terminal is exchanged for a sign-in.

What proves the one person is that they can read the terminal (FAULTS rule 18); users have passwords instead.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from chat.identity import LOCAL_NAME, Person
from chat.sign_in import SESSION_SECONDS, TOKEN_BYTES, SignIn


class LaunchPass:
    """One unused launch token at a time, and the cookie of those who are signed in.

    Args:
        base_url: the page's address, without a slash at its end.
        announce: called with a new link, at the start and after each use of a link.
        sign_in: the home's sign-ins.
    """

    def __init__(self, base_url: str, announce: Callable[[str], None], sign_in: SignIn) -> None:
        self.base_url = base_url
        self._announce = announce
        self._sign_in = sign_in
        self._lock = threading.Lock()
        self._token = ""

    @property
    def is_shared(self) -> bool:
        """True where the home has users, so that no link opens it."""
        return self._sign_in.is_shared()

    @property
    def cookie_name(self) -> str:
        """Browsers share cookies between ports, so two Hearths must not use one name."""
        return f"hearth_session_{self.base_url.rpartition(':')[2].strip('/')}"

    def new_link(self) -> str:
        """Make the next one-time link and announce it; the one before it stops working."""
        with self._lock:
            self._token = secrets.token_urlsafe(TOKEN_BYTES)
            link = f"{self.base_url}/" if self.is_shared else f"{self.base_url}/?token={self._token}"
        self._announce(link)
        return link

    def exchange(self, token: str) -> str | None:
        """The secret of a sign-in for an unused token, which is used up by this; None for any other."""
        with self._lock:
            right = self._token and secrets.compare_digest(token.encode(), self._token.encode())
            if not right or self.is_shared:
                return None
            self._token = ""
            session = self._sign_in.begin(LOCAL_NAME)
        self.new_link()
        return session

    def person(self, cookie_header: str) -> Person | None:
        """Who a Cookie header belongs to; None where it holds no sign-in."""
        found = map(self._sign_in.person, self.secrets_in(cookie_header))
        return next((person for person in found if person is not None), None)

    def secrets_in(self, cookie_header: str) -> list[str]:
        """The values of our cookie in a Cookie header."""
        # Split by hand: the standard parser gives up at the first odd cookie that some other local program set.
        pairs = (part.strip().partition("=") for part in cookie_header.split(";"))
        return [value for name, _, value in pairs if name == self.cookie_name]

    def set_cookie(self, session: str) -> str:
        """The Set-Cookie header for a sign-in: not readable by scripts, never sent from another site's page."""
        return f"{self.cookie_name}={session}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict"
