"""The library's SQLite file: its tables, how a connection is opened, and how its errors become ours.

Rollback journal and synchronous=EXTRA, because the WAL of SQLite before 3.51.3 can corrupt; one document is one
transaction of about a millisecond.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from retrieval.errors import Damaged, DiskFull, Locked, NewerSchema, NotFound, OlderSchema, ReadOnly, StorageError

SCHEMA_VERSION = 2
APPLICATION_ID = 0x48525448
"""Reads "HRTH" in the file's header."""
FILE_NAME = "library.sqlite"
BUSY_SECONDS = 15.0

# A row of `commits` is one change of one document, several of which may be made in one transaction. Caches name the
# last one they hold (generation and token) and fetch what came after it: documents with a later generation, minus the
# chunk ranges that later commits removed. As nothing is removed without a commit, every id ever given out is accounted
# for; see history.py. `new_vectors` holds what a re-embedding has made so far; digests are explained in digests.py.
TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE commits(
    generation INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL,
    removed_document INTEGER,
    removed_first INTEGER,
    removed_last INTEGER
);
CREATE TABLE documents(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id TEXT NOT NULL UNIQUE,
    collection TEXT NOT NULL,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT,
    status TEXT NOT NULL,
    message TEXT,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    pages INTEGER,
    chunks INTEGER NOT NULL,
    first_chunk INTEGER,
    last_chunk INTEGER,
    added TEXT NOT NULL,
    generation INTEGER NOT NULL REFERENCES commits,
    metadata TEXT NOT NULL,
    facts TEXT NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE(collection, source)
);
CREATE UNIQUE INDEX one_copy ON documents(collection, sha256) WHERE status = 'ready';
CREATE INDEX documents_by_generation ON documents(generation);
CREATE TABLE texts(
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
    body TEXT NOT NULL,
    page_starts TEXT NOT NULL,
    digest BLOB NOT NULL
);
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    "start" INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    page INTEGER,
    position TEXT,
    text TEXT NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE(document, ordinal)
);
CREATE TABLE vectors(
    chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, value BLOB NOT NULL, digest BLOB NOT NULL
);
CREATE TABLE new_vectors(
    chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, value BLOB NOT NULL, digest BLOB NOT NULL
);
"""


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """A connection that cannot write, except to roll back what a killed writer left half done."""
    file = folder / FILE_NAME
    mode = "rw" if os.access(folder, os.W_OK) and os.access(file, os.W_OK) else "ro"
    connection = _connect(file, mode)
    connection.execute("PRAGMA query_only=ON")
    _check(connection, file)
    return connection


def connect_to_write(folder: Path) -> sqlite3.Connection:
    """The writer's connection; call it only while holding the lock. Makes the file when there is none."""
    file = folder / FILE_NAME
    if not file.exists():
        draft = folder / f"{FILE_NAME}.new"
        create_file(draft)
        os.replace(draft, file)
        sync_folder(folder)
    connection = _connect(file, "rw")
    connection.execute("PRAGMA journal_mode=TRUNCATE")
    connection.execute("PRAGMA synchronous=EXTRA")
    connection.execute("PRAGMA foreign_keys=ON")
    _check(connection, file)
    return connection


def connect_file(file: Path) -> sqlite3.Connection:
    """A connection to a library's file that lies somewhere else, such as a backup; only for reading.

    Raises:
        Damaged, NewerSchema, OlderSchema: it cannot be used.
    """
    connection = _connect(file, "ro")
    _check(connection, file)
    return connection


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def create_file(path: Path) -> None:
    """An empty library file; make it beside its place and rename it there, so a file of zero bytes is never ours."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.executescript(f"BEGIN;{TABLES}")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def new_vectors_table() -> str:
    """The statement that makes the table of a re-embedding's vectors."""
    return next(statement for statement in TABLES.split(";") if "TABLE new_vectors" in statement)


def sync_file(path: Path) -> None:
    """Make a file's content survive a power cut."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(connection: sqlite3.Connection, file: Path) -> None:
    """Refuse a file that is not ours, is cut short, or was written by another version."""
    folder = file.parent
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    size = pages * connection.execute("PRAGMA page_size").fetchone()[0]
    if owner != APPLICATION_ID or version == 0:
        raise Damaged(str(folder), "it is empty or no library")
    if version > SCHEMA_VERSION:
        raise NewerSchema(str(folder), version, SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        raise OlderSchema(str(folder), version)
    if file.stat().st_size < size:
        raise Damaged(str(folder), "it is cut short")


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system say about the library into the room's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _library_error(folder, error) from error
    except OSError as error:
        raise _system_error(folder, error) from error


def _library_error(folder: Path, error: sqlite3.Error) -> Exception:
    where = str(folder)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(where)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ReadOnly(where)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Locked(where, None, BUSY_SECONDS)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Damaged(where, str(error))
    return StorageError(where, str(error))


def _system_error(folder: Path, error: OSError) -> Exception:
    where = str(folder)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(where)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ReadOnly(where)
    if error.errno == errno.ENOENT:
        return NotFound(where, "disappeared while it was in use; start again once it is back.")
    return StorageError(where, error.strerror or type(error).__name__)
