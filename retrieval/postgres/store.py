"""Reading and writing a library on a PostgreSQL server: two connections, one for each, opened when first needed.

Any number of processes on any number of machines may use the same library; one transaction writes at a time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.errors import ConnectionLost, Locked, NoRights, OnServer
from retrieval.postgres.connection import Connection, shown, translated
from retrieval.postgres.schema import LOCK_KEY, add_extension, has_tables, make_tables
from retrieval.stored import WRITER_WAIT_SECONDS, LibraryStore

if TYPE_CHECKING:
    from retrieval.embedder import Embedder
    from retrieval.finder import Finder
    from retrieval.loaders import Limits
    from retrieval.recognition import MediaModels
    from retrieval.writer import Writer


class PostgresStore(LibraryStore):
    """The library's schema on a server; one that is not there yet reads as empty and is made on the first write."""

    shared = True

    def __init__(self, address: str) -> None:
        """Nothing is connected yet.

        Raises:
            MissingExtra: psycopg is not installed. BadAddress: the address cannot be read.
        """
        self.name = shown(address)
        self._address = address
        self._reader: Connection | None = None
        self._writer: Connection | None = None
        self._made = False
        self._read_lock, self._write_lock = threading.RLock(), threading.Lock()

    @property
    def folder(self) -> Path:
        """There is none; raises OnServer."""
        raise OnServer(self.name)

    def close(self) -> None:
        """Close both connections."""
        with self._read_lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        with self._write_lock:
            self._drop_writer()

    # Reading --------------------------------------------------------------------------------------------------------

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query; none while there is no library yet. A lost connection is made anew once."""
        try:
            return self._rows(query, values)
        except ConnectionLost:
            return self._rows(query, values)

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.reading() as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """The reading connection, alone in this block; None while there is no library yet."""
        with self._read_lock, translated(self.name):
            if self._reader is None:
                self._reader = Connection.open(self._address, self.name)
                self._reader.raw.execute("SET default_transaction_read_only = on")
                self._made = False
            if not self._made and has_tables(self._reader.raw, self.name):
                self._reader.see_types()
                self._made = True
            try:
                yield self._reader if self._made else None
            finally:
                if self._reader is not None and self._reader.lost:
                    self._reader = None

    # Writing --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, wait_seconds: float = WRITER_WAIT_SECONDS) -> Iterator[Writer]:
        """A writer whose transactions each hold the server's lock of this library; see `LibraryStore.writing`."""
        from retrieval.postgres.writer import PostgresWriter

        if not self._write_lock.acquire(timeout=wait_seconds):
            raise Locked(self.name, None, wait_seconds)
        try:
            with translated(self.name, wait_seconds):
                connection = self._writing_connection(wait_seconds)
                yield PostgresWriter(connection, self.name, wait_seconds)
        finally:
            if self._writer is not None and self._writer.lost:
                self._drop_writer()
            self._write_lock.release()

    def _writing_connection(self, wait_seconds: float) -> Connection:
        """The connection that writes, to a library that is there; one that was lost while idle is made anew."""
        import psycopg

        from retrieval.postgres.writer import PostgresWriter, renew_terms

        if self._writer is not None:
            with contextlib.suppress(psycopg.OperationalError):
                self._writer.execute("SELECT 1")
            if not self._writer.lost:
                return self._writer
            self._drop_writer()
        writer = self._writer = Connection.open(self._address, self.name)
        if not has_tables(writer.raw, self.name):
            self._make(writer)
        writer.see_types()
        renew_terms(PostgresWriter(writer, self.name, wait_seconds))
        return writer

    def _make(self, connection: Connection) -> None:
        import psycopg

        raw = connection.raw
        with raw.transaction():
            raw.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            if has_tables(raw, self.name):  # another process was first
                return
            try:
                add_extension(raw, self.name)
            except psycopg.errors.InsufficientPrivilege as error:
                raise NoRights(self.name, "to create the extension vector", "run `CREATE EXTENSION vector`") from error
            try:
                make_tables(raw)
            except psycopg.errors.InsufficientPrivilege as error:
                remedy = f"run `GRANT CREATE ON DATABASE {raw.info.dbname} TO {raw.info.user}`"
                raise NoRights(self.name, "to create the library's tables", remedy) from error

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # What else the library asks of its store ------------------------------------------------------------------------

    def finder(self, embedder: Embedder) -> Finder:
        """A search in the server's own indexes."""
        from retrieval.postgres.finder import PostgresFinder

        return PostgresFinder(self, embedder)

    def checked(self, embedder: Embedder, limits: Limits, models: MediaModels, repair: bool) -> dict[str, Any]:
        """What `Library.verify` gives."""
        from retrieval.postgres.verify import checked

        return checked(self, embedder, repair)

    def network_file_system(self) -> str | None:
        """A server's files are its own affair."""
        return None

    @contextlib.contextmanager
    def apart(self) -> Iterator[Connection]:
        """A connection of one's own for long work: building an index, checking everything."""
        with translated(self.name), contextlib.closing(Connection.open(self._address, self.name)) as connection:
            yield connection
