"""Threads with their steps as they are kept; every method takes who asks, and what is another's is absent.

Knows nothing of Chainlit: a step is its JSON, of which only the id, the thread, the type and the output are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from chat.errors import NotThere
from chat.tables import ChatStore, Connection

Body = dict[str, Any]
_LONGEST_ID = 100
_LONGEST_NAME = 200
_HEAD = "id, owner, name, created, is_shared, metadata"
_NEXT = "(SELECT coalesce(max(touched), 0) + 1 FROM threads)"


@dataclass(frozen=True)
class ThreadPage:
    """Some of a person's threads, the latest first, without their steps; `more` when others follow."""

    threads: list[Body]
    more: bool


class Threads:
    """The threads in a home's chats."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store

    # Threads ---------------------------------------------------------------------------------------------------------

    def owns(self, owner: str, thread: str) -> bool:
        """Whether a thread exists and is this owner's."""
        with self._store.reading() as connection:
            return is_own(connection, owner, thread)

    def owner(self, thread: str) -> str:
        """Whose a thread is, for who may see everybody's.

        Raises:
            NotThere: there is no such thread.
        """
        with self._store.reading() as connection:
            row = connection.execute("SELECT owner FROM threads WHERE id = ?", (thread,)).fetchone()
        if row is None:
            raise NotThere("chat")
        return str(row[0])

    def everybodys(self) -> list[Body]:
        """Every thread as `{id, user, name, created, shared}`, the one written in last first."""
        query = "SELECT id, owner, name, created, is_shared FROM threads ORDER BY touched DESC"
        with self._store.reading() as connection:
            rows = connection.execute(query).fetchall()
        names = ("id", "user", "name", "created")
        return [dict(zip(names, row[:4], strict=True)) | {"shared": bool(row[4])} for row in rows]

    def update(
        self,
        owner: str,
        thread: str,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        is_shared: bool | None = None,
    ) -> None:
        """Name a thread, add to its metadata, or open it to others for reading; it begins to exist with that.

        Raises:
            NotThere: it is another's, or was deleted.
        """
        with self._store.writing() as connection:
            begin_thread(connection, owner, thread)
            if name is not None:
                connection.execute("UPDATE threads SET name = ? WHERE id = ?", (_shown(name), thread))
            if metadata is not None:
                [kept] = connection.execute("SELECT metadata FROM threads WHERE id = ?", (thread,)).fetchone()
                changed = as_json({**json.loads(kept), **metadata})
                connection.execute("UPDATE threads SET metadata = ? WHERE id = ?", (changed, thread))
            if is_shared is not None:
                connection.execute("UPDATE threads SET is_shared = ? WHERE id = ?", (is_shared, thread))

    def name_after(self, owner: str, thread: str, message: str, before: str) -> bool:
        """Name a thread after its edited first message; False where its name was not that message's `before`.

        A person has chosen such a name, or it is another's thread.
        """
        with self._store.writing() as connection:
            named = (_shown(message), thread, owner, _shown(before))
            query = "UPDATE threads SET name = ? WHERE id = ? AND owner = ? AND name = ?"
            return bool(connection.execute(query, named).rowcount)

    def thread(self, reader: str, thread: str) -> Body | None:
        """A thread with its steps in order, each with its feedback, and its elements; None where it is not theirs.

        A shared one is given to every reader, without what its owner thought of the answers.
        """
        with self._store.reading() as connection:
            row = connection.execute(
                f"SELECT {_HEAD} FROM threads WHERE id = ? AND (owner = ? OR is_shared)",
                (thread, reader),
            ).fetchone()
            if row is None:
                return None
            marks = _feedback_of(connection, thread) if row[1] == reader else {}
            steps = [
                {**json.loads(body), "feedback": marks.get(step)}
                for step, body in connection.execute(
                    "SELECT id, body FROM steps WHERE thread = ? ORDER BY place", (thread,)
                )
            ]
            elements = [
                json.loads(body)
                for (body,) in connection.execute(
                    "SELECT body FROM elements WHERE thread = ? ORDER BY place", (thread,)
                )
            ]
        return {**_head(row), "steps": steps, "elements": elements}

    def page(
        self, owner: str, *, first: int, after: str | None = None, search: str = "", feedback: int | None = None
    ) -> ThreadPage:
        """Threads that were written in last come first.

        Args:
            owner: whose.
            first: how many at most.
            after: the id of the last thread of the page before.
            search: only threads with this in their name or in a message, letters' case aside.
            feedback: only threads with an answer that got this mark, 1 or 0.
        """
        most, wanted = max(1, min(first, 100)), search.strip().casefold()
        with self._store.reading() as connection:
            found = list(islice(_found(connection, owner, after, wanted, feedback), most + 1))
        return ThreadPage([{**_head(row), "steps": [], "elements": []} for row in found[:most]], len(found) > most)

    def delete(self, owner: str, thread: str) -> None:
        """Delete a thread with all that belongs to it; what still comes in for it is refused (Q09).

        Raises:
            NotThere: it is another's, or was deleted.
        """
        with self._store.writing() as connection:
            if not is_own(connection, owner, thread):
                raise NotThere("chat")
            connection.execute("INSERT INTO deleted_threads(id) VALUES(?) ON CONFLICT DO NOTHING", (thread,))
            connection.execute("DELETE FROM threads WHERE id = ?", (thread,))

    # Steps -----------------------------------------------------------------------------------------------------------

    def save_step(self, owner: str, body: Mapping[str, Any]) -> None:
        """Keep a step, new or changed; the thread begins to exist with its first.

        Raises:
            NotThere: the thread is another's or was deleted, or the id belongs to a step of another thread (C6).
        """
        thread, step = str(body["threadId"]), str(body["id"])
        kept = as_json({key: value for key, value in body.items() if key != "feedback"})
        with self._store.writing() as connection:
            begin_thread(connection, owner, thread)
            refuse_taken(connection, "steps", step, thread)
            query = (
                "INSERT INTO steps(id, thread, body) VALUES(?, ?, ?) ON CONFLICT(id) DO UPDATE SET body=excluded.body"
            )
            connection.execute(query, (step, thread, kept))
            connection.execute(f"UPDATE threads SET touched = {_NEXT} WHERE id = ?", (thread,))

    def cut(self, owner: str, thread: str, step: str) -> list[str]:
        """Delete the steps after one, with all that hangs on them; their ids, none where the thread is not theirs."""
        with self._store.writing() as connection:
            row = connection.execute("SELECT place FROM steps WHERE id = ? AND thread = ?", (step, thread)).fetchone()
            if row is None or not is_own(connection, owner, thread):
                return []
            later = "SELECT id FROM steps WHERE thread = ? AND place > ?"
            gone = connection.execute(later, (thread, row[0])).fetchall()
            connection.execute(f"DELETE FROM answers WHERE step IN ({later})", (thread, row[0]))
            connection.execute("DELETE FROM steps WHERE thread = ? AND place > ?", (thread, row[0]))
        return [found for (found,) in gone]

    def delete_step(self, owner: str, step: str) -> None:
        """Delete a step with its feedback; nothing happens where there is none.

        Raises:
            NotThere: it is in another's thread.
        """
        with self._store.writing() as connection:
            row = connection.execute("SELECT thread FROM steps WHERE id = ?", (step,)).fetchone()
            if row is None:
                return
            if not is_own(connection, owner, row[0]):
                raise NotThere("message")
            connection.execute("DELETE FROM answers WHERE step = ?", (step,))
            connection.execute("DELETE FROM steps WHERE id = ?", (step,))


def _head(row: tuple[Any, ...]) -> Body:
    thread, owner, name, created, is_shared, metadata = row
    return {
        "id": thread,
        "createdAt": created,
        "name": name,
        "userId": owner,
        "userIdentifier": owner,
        "tags": [],
        "metadata": {**json.loads(metadata), "is_shared": bool(is_shared)},
    }


def whole(text: str) -> str:
    """A text that can be kept: halves of characters, which JSON can carry and SQLite cannot, become `?` (D23)."""
    return text.encode("utf-8", "replace").decode()


def as_json(value: Mapping[str, Any]) -> str:
    """A value as it is kept."""
    return whole(json.dumps(value, ensure_ascii=False))


def is_own(connection: Connection, owner: str, thread: str) -> bool:
    """Whether a thread exists and is this owner's."""
    found = connection.execute("SELECT 1 FROM threads WHERE id = ? AND owner = ?", (thread, owner)).fetchone()
    return found is not None


def begin_thread(connection: Connection, owner: str, thread: str) -> None:
    """Make the thread unless it is there; an id of another's, or of a deleted one, is refused (C7)."""
    if is_own(connection, owner, thread):
        return
    taken = "SELECT 1 FROM threads WHERE id = ? UNION ALL SELECT 1 FROM deleted_threads WHERE id = ?"
    if not 0 < len(thread) <= _LONGEST_ID or connection.execute(taken, (thread, thread)).fetchone():
        raise NotThere("chat")
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    query = f"INSERT INTO threads(id, owner, created, touched) VALUES(?, ?, ?, {_NEXT})"
    connection.execute(query, (thread, owner, created))


def refuse_taken(connection: Connection, table: str, key: str, thread: str) -> None:
    """Refuse an id that a row of another thread has (C6)."""
    row = connection.execute(f"SELECT thread FROM {table} WHERE id = ?", (key,)).fetchone()
    if not 0 < len(key) <= _LONGEST_ID or (row is not None and row[0] != thread):
        raise NotThere("message")


def _feedback_of(connection: Connection, thread: str) -> dict[str, Body]:
    query = "SELECT feedback.id, step, value, comment FROM feedback JOIN steps ON steps.id = step WHERE thread = ?"
    rows = connection.execute(query, (thread,)).fetchall()
    return {step: {"id": key, "forId": step, "value": value, "comment": comment} for key, step, value, comment in rows}


def _found(
    connection: Connection, owner: str, after: str | None, search: str, feedback: int | None
) -> Iterator[tuple[Any, ...]]:
    """Rows of an owner's threads that fit, the latest first; letters' case is only Python's to compare."""
    query, values = f"SELECT {_HEAD} FROM threads WHERE owner = ?", [owner]
    if after:
        query += " AND touched < (SELECT touched FROM threads WHERE id = ? AND owner = ?)"
        values += [after, owner]
    marked = "SELECT DISTINCT thread FROM feedback JOIN steps ON steps.id = step WHERE value = ?"
    fits = None if feedback is None else {row[0] for row in connection.execute(marked, (feedback,)).fetchall()}
    for row in connection.execute(f"{query} ORDER BY touched DESC", values).fetchall():
        if (fits is None or row[0] in fits) and (not search or _says(connection, row, search)):
            yield row


def _says(connection: Connection, row: tuple[Any, ...], search: str) -> bool:
    """Whether a thread's name or one of its messages holds what is searched."""
    if search in (row[2] or "").casefold():
        return True
    bodies = connection.execute("SELECT body FROM steps WHERE thread = ?", (row[0],)).fetchall()
    steps = (json.loads(body) for (body,) in bodies)
    said = (str(step.get("output")) for step in steps if str(step.get("type")).endswith("message"))
    return any(search in text.casefold() for text in said)


def _shown(name: str) -> str:
    """A thread's name on one line, cut where it would be too long for a list."""
    return " ".join(whole(name).split())[:_LONGEST_NAME]
