"""What people thought of answers: a mark, a comment, a correction, each beside all that is needed to learn from it.

An answer is kept as it was given, with its question, passages, tool and model, when it is given.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from chat.errors import NotThere
from chat.tables import ChatStore, Connection
from chat.threads import Body, as_json, begin_thread, is_own, refuse_taken, whole

CorrectionKind = Literal["answer", "label", "source"]


class Feedback:
    """The answers, marks and corrections in a home's chats."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store

    def keep_answer(self, owner: str, thread: str, step: str, question: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer as it was given.

        Args:
            owner: whose thread it is in.
            thread: the thread.
            step: the message that shows it.
            question: what it answers.
            answer: the answer's JSON, as `agent.events.Answer.to_json` makes it.

        Raises:
            NotThere: the thread is another's, or was deleted.
        """
        body = as_json({"question": question, **answer})
        with self._store.writing() as connection:
            begin_thread(connection, owner, thread)
            refuse_taken(connection, "steps", step, thread)
            connection.execute(
                "INSERT INTO answers(step, thread, body) VALUES(?, ?, ?) ON CONFLICT(step) DO UPDATE "
                "SET thread = excluded.thread, body = excluded.body",
                (step, thread, body),
            )

    def answer(self, owner: str, step: str) -> Body | None:
        """An answer as it was given, with its `question`; None where it is not this owner's."""
        query = "SELECT answers.body FROM answers JOIN threads ON threads.id = thread WHERE step = ? AND owner = ?"
        with self._store.reading() as connection:
            row = connection.execute(query, (step, owner)).fetchone()
        return json.loads(row[0]) if row else None

    def answers(self, owner: str, thread: str) -> dict[str, Body]:
        """A thread's answers by the message that shows each; empty where the thread is not this owner's."""
        query = (
            "SELECT step, answers.body FROM answers JOIN threads ON threads.id = thread WHERE thread = ? AND owner = ?"
        )
        with self._store.reading() as connection:
            return {step: json.loads(body) for step, body in connection.execute(query, (thread, owner))}

    def corrections(self, owner: str, thread: str) -> dict[str, list[Body]]:
        """A thread's corrections by the message that each is of; empty where the thread is not this owner's."""
        with self._store.reading() as connection:
            if not is_own(connection, owner, thread):
                return {}
            return {step: [one for _, one in said] for step, said in _corrections(connection, thread).items()}

    def mark(self, owner: str, step: str, value: int, comment: str | None = None) -> str:
        """Keep what its owner thinks of a message, in place of what they thought before; the mark's id.

        Args:
            owner: who marks.
            step: the message.
            value: 1 for good, 0 for bad.
            comment: their words.

        Raises:
            NotThere: the message is in another's thread (C5).
        """
        said = whole(comment) if comment else None
        query = (
            "INSERT INTO feedback(id, step, value, comment, at) VALUES(?, ?, ?, ?, ?) ON CONFLICT(step) DO UPDATE "
            "SET value = excluded.value, comment = excluded.comment, at = excluded.at RETURNING id"
        )
        with self._store.writing() as connection:
            self._check(owner, step)
            row = connection.execute(query, (str(uuid.uuid4()), step, int(bool(value)), said, _now())).fetchone()
        return str(row[0])

    def unmark(self, owner: str, mark: str) -> None:
        """Take a mark back.

        Raises:
            NotThere: there is none of this id on a message of this owner's (C5).
        """
        with self._store.writing() as connection:
            row = connection.execute("SELECT step FROM feedback WHERE id = ?", (mark,)).fetchone()
            if row is None:
                raise NotThere("mark")
            self._check(owner, row[0])
            connection.execute("DELETE FROM feedback WHERE id = ?", (mark,))

    def correct(self, owner: str, step: str, kind: CorrectionKind, wrong: str, right: str) -> None:
        """Keep what an answer, its label or one of its sources should have been.

        Args:
            owner: who corrects.
            step: the answer's message.
            kind: what was wrong.
            wrong: the answer, the label or the source's number that was given.
            right: what it should have been; empty for a source that should not have been cited.

        Raises:
            NotThere: the message is in another's thread.
        """
        with self._store.writing() as connection:
            self._check(owner, step)
            row = (step, kind, whole(wrong), whole(right), _now())
            connection.execute(
                "INSERT INTO corrections(step, kind, wrong, proper, at) VALUES(?, ?, ?, ?, ?) "
                "ON CONFLICT(step, kind, wrong) DO UPDATE SET proper = excluded.proper, at = excluded.at",
                row,
            )

    def reviews(self) -> list[Body]:
        """Every answer of everybody that was marked or corrected, the latest first.

        Each is `{id, thread, user, at, good, comment, corrections: [{kind, wrong, right}], question, answer, sources,
        tool, model, ...}`; `good` is true, false, or None without a mark.
        """
        with self._store.reading() as connection:
            marks, said = _marks(connection), _corrections(connection)
            rows = connection.execute(
                "SELECT steps.id, steps.thread, owner, steps.body, answers.body FROM steps "
                "JOIN threads ON threads.id = steps.thread LEFT JOIN answers ON answers.step = steps.id "
                "WHERE steps.thread IN (SELECT thread FROM steps JOIN feedback ON feedback.step = steps.id UNION "
                "SELECT thread FROM steps JOIN corrections ON corrections.step = steps.id) ORDER BY place DESC"
            )
            found = [(*row, marks.get(row[0]), said.get(row[0], [])) for row in rows if row[0] in {*marks, *said}]
        return sorted(map(_review, found), key=lambda review: str(review["at"]), reverse=True)

    def _check(self, owner: str, step: str) -> None:
        with self._store.reading() as connection:
            row = connection.execute("SELECT thread FROM steps WHERE id = ?", (step,)).fetchone()
            if row is None or not is_own(connection, owner, row[0]):
                raise NotThere("message")


def _marks(connection: Connection) -> dict[str, tuple[int, str | None, str]]:
    """Value, comment and time of each mark by the answer that it is on.

    The page's thumbs mark the run that an answer was given in: the answer is the last one in it.
    """
    given = connection.execute(
        "SELECT steps.id, steps.body FROM steps JOIN answers ON answers.step = steps.id WHERE steps.thread IN "
        "(SELECT thread FROM steps JOIN feedback ON feedback.step = steps.id) ORDER BY place"
    )
    answer_of_run = {json.loads(body).get("parentId"): step for step, body in given}
    marks = connection.execute("SELECT step, value, comment, at FROM feedback").fetchall()
    return {answer_of_run.get(step, step): (value, comment, at) for step, value, comment, at in marks}


def _corrections(connection: Connection, thread: str | None = None) -> dict[str, list[tuple[str, Body]]]:
    """The corrections of each answer, each with its time, oldest first; of one thread or of all."""
    only = "JOIN steps ON steps.id = step WHERE thread = ? " if thread else ""
    query = f"SELECT step, at, kind, wrong, proper FROM corrections {only}ORDER BY at, kind, wrong"
    rows = connection.execute(query, [thread] if thread else [])
    said: dict[str, list[tuple[str, Body]]] = {}
    for step, at, kind, wrong, right in rows:
        said.setdefault(step, []).append((at, {"kind": kind, "wrong": wrong, "right": right}))
    return said


def _review(row: tuple[Any, ...]) -> Body:
    step, thread, owner, body, answer, mark, said = row
    value, comment, at = mark or (None, None, "")
    given = json.loads(answer) if answer else {"question": None, "answer": json.loads(body)["output"], "sources": []}
    return {
        "id": step,
        "thread": thread,
        "user": owner,
        "at": max(at, *(when for when, _ in said), ""),
        "comment": comment,
        "corrections": [correction for _, correction in said],
        "good": None if value is None else bool(value),
        **given,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
