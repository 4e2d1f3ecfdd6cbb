"""The users of a home: names, passwords, who may administer, who is disabled. Without any, the home is one person's.

Removing a user here takes their threads and sign-ins too; their documents are the library's to remove.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from chat.errors import BadUserName, UnknownUser, UserExists
from chat.identity import LOCAL_NAME, Person
from chat.passwords import fits, hashed
from chat.tables import ChatStore

_NAME = re.compile(r"[\w.@+-]{1,64}")


@dataclass(frozen=True)
class UserRecord:
    """A user as `hearth users list` shows them."""

    name: str
    is_admin: bool
    is_enabled: bool
    created: str

    def to_json(self) -> dict[str, Any]:
        """The record as the command line prints it."""
        return asdict(self)


class People:
    """The users in a home's chats."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store

    def is_empty(self) -> bool:
        """True where the home is one person's."""
        with self._store.reading() as connection:
            return connection.execute("SELECT 1 FROM people LIMIT 1").fetchone() is None

    def users(self) -> list[UserRecord]:
        """Everybody, by name."""
        with self._store.reading() as connection:
            rows = connection.execute("SELECT name, is_admin, is_enabled, created FROM people").fetchall()
        return [UserRecord(name, bool(admin), bool(enabled), created) for name, admin, enabled, created in sorted(rows)]

    def add(self, name: str, password: str | None, *, is_admin: bool = False) -> UserRecord:
        """A new user; one without a password is let in by a proxy or a provider alone.

        Raises:
            BadUserName: nobody can be called that.
            UserExists: somebody is, or was called so in other letters.
            WeakPassword: the password is too short.
        """
        name = known_as(name)
        if not _NAME.fullmatch(name) or name == LOCAL_NAME:
            raise BadUserName(name)
        record = "" if password is None else hashed(password)
        row = (name, record, is_admin, True, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._store.writing() as connection:
            if connection.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone():
                raise UserExists(name)
            connection.execute(
                "INSERT INTO people(name, password, is_admin, is_enabled, created) VALUES(?,?,?,?,?)", row
            )
        return UserRecord(name, is_admin, True, row[-1])

    def enable(self, name: str, *, enabled: bool = True) -> str:
        """Let a user in again, or with False put them out now; their name as it is kept.

        Raises:
            UnknownUser: there is no such user.
        """
        return self._change(name, "UPDATE people SET is_enabled = ? WHERE name = ?", enabled, signs_out=not enabled)

    def set_password(self, name: str, password: str) -> str:
        """Give a user a new password and sign them out everywhere; their name as it is kept.

        Raises:
            UnknownUser, WeakPassword.
        """
        return self._change(name, "UPDATE people SET password = ? WHERE name = ?", hashed(password), signs_out=True)

    def remove(self, name: str) -> str:
        """Delete a user with their threads and sign-ins; their name as it was kept.

        Raises:
            UnknownUser: there is no such user.
        """
        name = self.known(name)
        with self._store.writing() as connection:
            connection.execute(
                "INSERT INTO deleted_threads(id) SELECT id FROM threads WHERE owner = ? ON CONFLICT DO NOTHING", (name,)
            )
            for query in (
                "DELETE FROM threads WHERE owner = ?",
                "DELETE FROM sessions WHERE name = ?",
                "DELETE FROM people WHERE name = ?",
            ):
                connection.execute(query, (name,))
        return name

    def checked(self, name: str, password: str) -> Person | None:
        """The user of this name and password; None for any other, after the same time."""
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT name, password, is_admin, is_enabled FROM people WHERE name = ?", (known_as(name),)
            ).fetchone()
        right = fits(password, row[1] if row else None)
        return Person(row[0], bool(row[2])) if right and row[3] else None

    def admitted(self, name: str, *, adds: bool = False) -> Person | None:
        """The user of a name that somebody was found to have elsewhere; None for any other, and a disabled one.

        Args:
            name: what they are called there.
            adds: whether somebody who is no user becomes one.

        Raises:
            BadUserName: nobody can be called that.
        """
        user = next((user for user in self.users() if user.name == known_as(name)), None)
        if user is None and adds:
            user = self.add(name, None)
        return Person(user.name, user.is_admin) if user is not None and user.is_enabled else None

    def known(self, name: str) -> str:
        """A user's name as it is kept.

        Raises:
            UnknownUser: there is no such user.
        """
        kept = known_as(name)
        known = [user.name for user in self.users()]
        if kept not in known:
            raise UnknownUser(name, known)
        return kept

    def _change(self, name: str, query: str, value: Any, *, signs_out: bool) -> str:
        name = self.known(name)
        with self._store.writing() as connection:
            connection.execute(query, (value, name))
            if signs_out:
                connection.execute("DELETE FROM sessions WHERE name = ?", (name,))
        return name


def known_as(name: str) -> str:
    """A name as it is kept: `Ann` and `ann` are one user."""
    return name.strip().casefold()
