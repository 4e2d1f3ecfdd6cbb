"""The chat's tables in one SQLite file of the home, over connections that lose nothing they acknowledged.

On a server they are kept by `chat/server_store.py` instead.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chat.errors import ChatsUnreadable
from chat.tables import FOLDER, SCHEMA_VERSION, ChatStore, schema

FILE_NAME = "chats.sqlite"
_BUSY_SECONDS = 10.0


class Store(ChatStore):
    """A connection to the chats in a home.

    Args:
        home: the data folder.

    Raises:
        ChatsUnreadable: the file is damaged, no database, or of a newer Hearth; nothing is written then.
    """

    def __init__(self, home: Path) -> None:
        self.file = home / FOLDER / FILE_NAME
        self.files = home / FOLDER / "files"
        self._lock = threading.RLock()
        try:
            self._connection = _opened(self.file)
        except (sqlite3.Error, OSError) as error:
            raise ChatsUnreadable(self.file, str(error)) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, alone; no transaction is open."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise ChatsUnreadable(self.file, str(error)) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in one transaction, which is on the disk when the block ends."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()


def _opened(file: Path) -> sqlite3.Connection:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("trusted_schema=OFF", "secure_delete=ON", "foreign_keys=ON", "synchronous=EXTRA"):
            connection.execute(f"PRAGMA {pragma}")
        [(version,)] = connection.execute("PRAGMA user_version").fetchall()
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"a newer Hearth wrote it, in form {version}; this one knows {SCHEMA_VERSION}")
        if version < SCHEMA_VERSION:
            tables = schema("INTEGER PRIMARY KEY AUTOINCREMENT")
            connection.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {' '.join(found.split())}")
    except BaseException:
        connection.close()
        raise
    return connection
