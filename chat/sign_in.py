"""Who is signed in: one secret a browser, kept here as a hash, so that taking it back ends it at once (C8, S02).

Guessing is slow: after a few wrong passwords for a name, each further one closes the name for twice as long.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

from chat.identity import LOCAL_NAME, Person
from chat.people import People, known_as
from chat.tables import ChatStore

TOKEN_BYTES = 32
SESSION_SECONDS = 15 * 24 * 3600
# How long a change made by another process, such as `hearth users disable`, may go unseen.
_SECONDS_REMEMBERED = 1.0
_FREE_TRIES = 5
_LONGEST_WAIT_SECONDS = 300.0
_MOST_NAMES = 10_000


class SignIn:
    """Sign-ins of a home's people, and of the one person where it has no users.

    Args:
        store: the home's chats.
        clock: seconds since the epoch.
        always_asks: whether a home without users asks who somebody is, too, as another way to sign in is on.
    """

    def __init__(self, store: ChatStore, clock: Callable[[], float] = time.time, *, always_asks: bool = False) -> None:
        self._always_asks = always_asks
        self.people = People(store)
        self._store = store
        self._clock = clock
        self._seen: dict[str, tuple[float, Person | None]] = {}
        self._shared: tuple[float, bool] = (0.0, False)
        # One at a time: each check of a password takes 128 MB and a core for a third of a second.
        self._checking = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}

    def is_shared(self) -> bool:
        """True where it is asked who somebody is: the home has users, or may get them from elsewhere."""
        if self._always_asks:
            return True
        asked_at, shared = self._shared
        if not asked_at or not 0 <= self._clock() - asked_at <= _SECONDS_REMEMBERED:
            shared = not self.people.is_empty()
            self._shared = (self._clock(), shared)
        return shared

    def check(self, name: str, password: str) -> Person | None:
        """The user of this name and password; None for any other, and while the name is closed. Blocks."""
        key = known_as(name)[:64]
        with self._checking:
            tries, closed_until = self._wrong.pop(key, (0, 0.0))
            if self._clock() < closed_until:
                self._wrong[key] = (tries, closed_until)
                return None
            person = self.people.checked(name, password)
            if person is None:
                tries += 1
                wait = min(2.0 ** (tries - _FREE_TRIES), _LONGEST_WAIT_SECONDS) if tries >= _FREE_TRIES else 0.0
                self._wrong[key] = (tries, self._clock() + wait)
                while len(self._wrong) > _MOST_NAMES:
                    self._wrong.pop(next(iter(self._wrong)))
            return person

    def begin(self, name: str) -> str:
        """A new secret for somebody who proved who they are."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._store.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE expires < ?", (self._clock(),))
            row = (_digest(token), name, self._clock() + SESSION_SECONDS)
            connection.execute("INSERT INTO sessions(digest, name, expires) VALUES(?, ?, ?)", row)
        return token

    def person(self, token: str) -> Person | None:
        """Who a secret belongs to, as known within the last second; None once it was taken back or is no secret."""
        digest = _digest(token)
        seen_at, person = self._seen.get(digest, (0.0, None))
        if not seen_at or not 0 <= self._clock() - seen_at <= _SECONDS_REMEMBERED:
            person = self._look_up(digest)
            self._seen = {key: seen for key, seen in self._seen.items() if self._clock() - seen[0] < 60}
            self._seen[digest] = (self._clock(), person)
        return person

    def end(self, token: str) -> None:
        """Take a secret back."""
        with self._store.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE digest = ?", (_digest(token),))
        self._seen.pop(_digest(token), None)

    def _look_up(self, digest: str) -> Person | None:
        query = (
            "SELECT sessions.name, people.is_admin, people.is_enabled FROM sessions "
            "LEFT JOIN people ON people.name = sessions.name WHERE digest = ? AND expires >= ?"
        )
        with self._store.reading() as connection:
            row = connection.execute(query, (digest, self._clock())).fetchone()
        if row is None:
            return None
        name, is_admin, is_enabled = row
        if name == LOCAL_NAME:
            return None if self.is_shared() else Person(LOCAL_NAME, is_admin=True)
        return Person(name, bool(is_admin)) if is_enabled else None


def _digest(token: str) -> str:
    """Only hashes are kept, so a copy of the file or of the memory opens nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
