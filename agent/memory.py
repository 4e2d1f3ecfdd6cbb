"""What a thread remembers: its turns, and a short summary of the older ones, in a small SQLite file or in the process.

A thread belongs to its owner, a user's name or nobody; what another owner calls by the same id is another thread.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from agent.errors import ThreadsUnreadable

FILE_NAME = "threads.sqlite"
_SCHEMA_VERSION = 2
_BUSY_SECONDS = 10.0
_THREADS_IN_PROCESS = 200
_TURNS_READ = 100
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS turns(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    thread TEXT NOT NULL,
    question TEXT NOT NULL,
    standing TEXT NOT NULL,
    answer TEXT NOT NULL,
    message TEXT,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS turns_by_thread ON turns(owner, thread, id);
CREATE TABLE IF NOT EXISTS summaries(
    owner TEXT NOT NULL,
    thread TEXT NOT NULL,
    up_to INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY(owner, thread)
);
PRAGMA user_version={_SCHEMA_VERSION};
"""


@dataclass(frozen=True)
class Turn:
    """A question and its answer; `standing` is the question as it is understood without the thread, `number` rises."""

    number: int
    question: str
    standing: str
    answer: str


@dataclass(frozen=True)
class Earlier:
    """A summary of a thread's turns up to and with the number `up_to`; empty where there is none."""

    text: str = ""
    up_to: int = 0


class ThreadMemory:
    """The threads of one owner; safe to use from several threads of execution and, with a file, several processes.

    Args:
        file: where they are kept; None keeps the latest 200 in the process, for all who share this object.
        owner: a user's name, None for a home that is one person's.
    """

    def __init__(self, file: Path | None = None, owner: str | None = None) -> None:
        self._file = file
        self._owner = owner or ""
        self._lock = threading.RLock()
        self._kept: sqlite3.Connection | None = None
        if file is None:
            self._kept = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._kept.executescript(_SCHEMA)

    def of(self, owner: str) -> ThreadMemory:
        """The threads of a user, in the same place."""
        if self._file is not None:
            return ThreadMemory(self._file, owner)
        shared = ThreadMemory.__new__(ThreadMemory)
        shared._file, shared._owner, shared._lock, shared._kept = None, owner, self._lock, self._kept
        return shared

    def add(
        self, thread: str | None, question: str, answer: str, *, standing: str | None = None, message: str | None = None
    ) -> None:
        """Remember one turn, asked by a message; a question without a thread is not kept.

        Raises:
            ThreadsUnreadable: the file cannot be written.
        """
        if thread is None:
            return
        row = (self._owner, thread, question, standing or question, answer, message)
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO turns(owner, thread, question, standing, answer, message) VALUES(?, ?, ?, ?, ?, ?)", row
            )
            if self._file is None:
                _forget_oldest(connection)

    def turns(self, thread: str | None) -> list[Turn]:
        """The latest turns of a thread, oldest first; at most 100.

        Raises:
            ThreadsUnreadable: the file is not one of these.
        """
        query = (
            "SELECT id, question, standing, answer FROM turns WHERE owner = ? AND thread = ? ORDER BY id DESC LIMIT ?"
        )
        return [Turn(*row) for row in reversed(self._rows(query, thread, _TURNS_READ))]

    def messages(self, thread: str | None, budget_tokens: int, count: Callable[[str], int]) -> list[BaseMessage]:
        """The most recent whole turns that fit the budget, oldest first.

        Args:
            thread: whose turns; None has none.
            budget_tokens: the tokens that all the turns together may take.
            count: the model's own token counter.
        """
        kept = fitting(self.turns(thread), budget_tokens, count)
        return [message for turn in kept for message in (HumanMessage(turn.question), AIMessage(turn.answer))]

    def earlier(self, thread: str | None) -> Earlier:
        """The summary of a thread's older turns."""
        rows = self._rows("SELECT text, up_to FROM summaries WHERE owner = ? AND thread = ? LIMIT ?", thread, 1)
        return Earlier(*rows[0]) if rows else Earlier()

    def summarised(self, thread: str, earlier: Earlier) -> None:
        """Keep a summary in the place of the one before, unless another process already kept one of more turns."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO summaries(owner, thread, text, up_to) VALUES(?, ?, ?, ?) ON CONFLICT(owner, thread) "
                "DO UPDATE SET text = excluded.text, up_to = excluded.up_to WHERE excluded.up_to > up_to",
                (self._owner, thread, earlier.text, earlier.up_to),
            )

    def take_back(self, thread: str, messages: Sequence[str]) -> None:
        """Forget a thread's turns from the first on that one of these messages asked, with a summary of any of them.

        Raises:
            ThreadsUnreadable: the file cannot be written.
        """
        if self._file is not None and not self._file.exists():
            return
        known = (self._owner, thread)
        with self._writing() as connection:
            asked = connection.execute(
                "SELECT id, message FROM turns WHERE owner = ? AND thread = ? ORDER BY id", known
            ).fetchall()
            first = next((number for number, message in asked if message in messages), None)
            if first is not None:
                later = (*known, first)
                connection.execute("DELETE FROM turns WHERE owner = ? AND thread = ? AND id >= ?", later)
                connection.execute("DELETE FROM summaries WHERE owner = ? AND thread = ? AND up_to >= ?", later)

    def forget(self, thread: str | None = None) -> None:
        """Delete a thread with its summary, or with None all of this owner's."""
        with self._writing() as connection:
            for table in ("turns", "summaries"):
                if thread is None:
                    connection.execute(f"DELETE FROM {table} WHERE owner = ?", (self._owner,))
                else:
                    connection.execute(f"DELETE FROM {table} WHERE owner = ? AND thread = ?", (self._owner, thread))

    def _rows(self, query: str, thread: str | None, most: int) -> list[tuple[Any, ...]]:
        if thread is None or (self._file is not None and not self._file.exists()):
            return []
        with self._connected() as connection:
            return connection.execute(query, (self._owner, thread, most)).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._kept is not None:
                yield self._kept
                return
            assert self._file is not None
            try:
                with closing(_opened(self._file)) as connection:
                    yield connection
            except (sqlite3.Error, OSError) as error:
                raise ThreadsUnreadable(self._file, str(error)) from error


def fitting(turns: Sequence[Turn], budget_tokens: int, count: Callable[[str], int]) -> list[Turn]:
    """The most recent whole turns that together take no more tokens than the budget, oldest first."""
    kept: list[Turn] = []
    for turn in reversed(turns):
        budget_tokens -= count(turn.question) + count(turn.answer)
        if budget_tokens < 0:
            break
        kept.insert(0, turn)
    return kept


def _opened(file: Path) -> sqlite3.Connection:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # what is said in a thread is for nobody else's eyes
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA secure_delete=ON")
        [(version,)] = connection.execute("PRAGMA user_version").fetchall()
        if version > _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"it was written by a newer Hearth (form {version}, this one knows {_SCHEMA_VERSION})"
            )
        if version < _SCHEMA_VERSION:
            _bring_up_to_date(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()  # another process may have been quicker
    if version == 1:
        connection.execute("ALTER TABLE turns ADD COLUMN message TEXT")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("COMMIT")


def _forget_oldest(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM turns WHERE (owner, thread) NOT IN "
        "(SELECT owner, thread FROM turns GROUP BY owner, thread ORDER BY max(id) DESC LIMIT ?)",
        (_THREADS_IN_PROCESS,),
    )
    connection.execute("DELETE FROM summaries WHERE (owner, thread) NOT IN (SELECT owner, thread FROM turns)")
