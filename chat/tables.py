"""The chat's tables, in words that SQLite and PostgreSQL both take, and what the stores over them have in common.

What is written in them belongs to `chat/people.py`, `chat/threads.py`, `chat/elements.py` and `chat/feedback.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

FOLDER = "chats"
SCHEMA_VERSION = 1


class Connection(Protocol):
    """A connection as the rest of the room uses it; values are marked by `?`."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        """Run one statement; gives its rows, with `fetchone` and `fetchall`."""


class ChatStore(ABC):
    """Where a home's chats are kept; safe to use from several threads, which then take turns.

    `files` is the folder of the elements' files, which are never in the tables.
    """

    files: Path

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """The connection, alone; no transaction is open.

        Raises:
            ChatsUnreadable: the store cannot be read.
        """

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """The connection in the one transaction that writes, which is kept when the block ends, or leaves no trace.

        Raises:
            ChatsUnreadable: it cannot be written, such as on a full disk (K04).
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


def open_store(home: Path, url: str = "") -> ChatStore:
    """The chats of a home: on the PostgreSQL server of an address, else in the home.

    Raises:
        ChatsUnreadable: they are damaged, of a newer Hearth, or the server does not let us in.
        RetrievalError: the address cannot be read, or its package is not installed.
    """
    if url:
        from chat.server_store import ServerStore

        return ServerStore(home, url)
    from chat.store import Store

    return Store(home)


def schema(place: str) -> str:
    """The statements that make the tables where they are not there yet.

    `touched` and `place` count up, so that a clock set back changes no order (K12); all of a thread goes with it.

    Args:
        place: the type of a primary key that counts up and gives no number twice.
    """
    return f"""
CREATE TABLE IF NOT EXISTS people(
    name TEXT PRIMARY KEY, password TEXT NOT NULL, is_admin BOOLEAN NOT NULL, is_enabled BOOLEAN NOT NULL,
    created TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions(digest TEXT PRIMARY KEY, name TEXT NOT NULL, expires DOUBLE PRECISION NOT NULL);
CREATE TABLE IF NOT EXISTS threads(
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT, created TEXT NOT NULL, touched BIGINT NOT NULL,
    is_shared BOOLEAN NOT NULL DEFAULT FALSE, metadata TEXT NOT NULL DEFAULT '{{}}'
);
CREATE INDEX IF NOT EXISTS threads_by_owner ON threads(owner, touched);
CREATE TABLE IF NOT EXISTS deleted_threads(id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS steps(
    place {place}, id TEXT NOT NULL UNIQUE,
    thread TEXT NOT NULL REFERENCES threads(id) ON DELETE CASCADE, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_by_thread ON steps(thread, place);
CREATE TABLE IF NOT EXISTS elements(
    place {place}, id TEXT NOT NULL UNIQUE,
    thread TEXT NOT NULL REFERENCES threads(id) ON DELETE CASCADE, body TEXT NOT NULL, has_file BOOLEAN NOT NULL
);
CREATE INDEX IF NOT EXISTS elements_by_thread ON elements(thread, place);
CREATE TABLE IF NOT EXISTS answers(
    step TEXT PRIMARY KEY, thread TEXT NOT NULL REFERENCES threads(id) ON DELETE CASCADE, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS feedback(
    id TEXT PRIMARY KEY, step TEXT NOT NULL UNIQUE REFERENCES steps(id) ON DELETE CASCADE, value INTEGER NOT NULL,
    comment TEXT, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS corrections(
    step TEXT NOT NULL REFERENCES steps(id) ON DELETE CASCADE, kind TEXT NOT NULL, wrong TEXT NOT NULL,
    proper TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY(step, kind, wrong)
);
"""
