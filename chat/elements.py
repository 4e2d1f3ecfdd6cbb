"""The elements of threads, such as dropped files, plots and tables, with their files under names of ours.

As in `chat/threads.py` every method takes who asks, and what is in another's thread is absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chat.errors import NotThere
from chat.tables import ChatStore
from chat.threads import Body, as_json, begin_thread, is_own, refuse_taken


class Elements:
    """The elements in a home's chats, and the folder of their files."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store
        self._files = store.files

    def save(self, owner: str, body: Mapping[str, Any], content: Path | bytes | None) -> None:
        """Keep an element, new or changed, and its file under names of ours.

        Args:
            owner: whose thread it is in.
            body: the element; `threadId` and `id` are looked at.
            content: a file to keep a copy of, or bytes; None for an element without a file.

        Raises:
            NotThere: the thread is another's or was deleted, or the id belongs to an element of another thread (C4).
        """
        thread, element = str(body["threadId"]), str(body["id"])
        row = (element, thread, as_json(body), content is not None)
        with self._store.writing() as connection:
            begin_thread(connection, owner, thread)
            refuse_taken(connection, "elements", element, thread)
            if content is not None:
                _keep_file(content, self._file(thread, element))
            query = (
                "INSERT INTO elements(id, thread, body, has_file) VALUES(?, ?, ?, ?) ON CONFLICT(id) DO UPDATE "
                "SET body = excluded.body, has_file = elements.has_file OR excluded.has_file"
            )
            connection.execute(query, row)

    def element(self, reader: str, thread: str, element: str) -> Body | None:
        """An element of a thread that is the reader's or shared; None for any other."""
        found = self._element(reader, thread, element)
        return found[0] if found else None

    def file(self, reader: str, thread: str, element: str) -> tuple[Path, Body]:
        """Where an element's file lies, and the element.

        Raises:
            NotThere: it is in another's thread, or has no file.
        """
        found = self._element(reader, thread, element)
        if found is None or not found[1]:
            raise NotThere("file")
        return self._file(thread, element), found[0]

    def delete(self, owner: str, element: str) -> None:
        """Delete an element and its file; nothing happens where there is none.

        Raises:
            NotThere: it is in another's thread (C4).
        """
        with self._store.writing() as connection:
            row = connection.execute("SELECT thread FROM elements WHERE id = ?", (element,)).fetchone()
            if row is None:
                return
            if not is_own(connection, owner, row[0]):
                raise NotThere("file")
            connection.execute("DELETE FROM elements WHERE id = ?", (element,))
        self._file(row[0], element).unlink(missing_ok=True)

    def cut(self, owner: str, thread: str, steps: Collection[str]) -> None:
        """Delete the elements of a thread that hang on any of these steps, with their files."""
        with self._store.reading() as connection:
            rows = connection.execute("SELECT id, body FROM elements WHERE thread = ?", (thread,)).fetchall()
        for element, body in rows:
            if json.loads(body).get("forId") in steps:
                self.delete(owner, element)

    def forget_thread(self, thread: str) -> None:
        """Delete the files of a thread that was deleted."""
        shutil.rmtree(self._folder(thread), ignore_errors=True)

    def sweep(self) -> None:
        """Delete files whose thread is gone: a process may end between the one and the other (K01)."""
        with self._store.reading() as connection:
            known = {self._folder(thread).name for (thread,) in connection.execute("SELECT id FROM threads")}
        with suppress(OSError):
            for folder in self._files.iterdir():
                if folder.name not in known:
                    shutil.rmtree(folder, ignore_errors=True)

    def _element(self, reader: str, thread: str, element: str) -> tuple[Body, bool] | None:
        query = (
            "SELECT elements.body, has_file FROM elements JOIN threads ON threads.id = thread "
            "WHERE elements.id = ? AND thread = ? AND (owner = ? OR is_shared)"
        )
        with self._store.reading() as connection:
            row = connection.execute(query, (element, thread, reader)).fetchone()
        return (json.loads(row[0]), bool(row[1])) if row else None

    def _folder(self, thread: str) -> Path:
        return self._files / _name(thread)

    def _file(self, thread: str, element: str) -> Path:
        return self._folder(thread) / _name(element)


def _keep_file(content: Path | bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(target.name + ".part")
    partial.unlink(missing_ok=True)
    if isinstance(content, bytes):
        partial.write_bytes(content)
    else:
        try:
            os.link(content, partial)  # a dropped file is kept once on the disk, however often it is named
        except OSError:
            shutil.copyfile(content, partial)
    os.replace(partial, target)


def _name(key: str) -> str:
    """A file name for an id, which a client may have chosen (F01)."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
