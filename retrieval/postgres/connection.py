"""A connection to the server: opened, taking the statements that SQLite takes, its errors turned into ours.

No password is ever shown: sentences name a library by user, host and database.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.errors import (
    BadAddress,
    ConnectionLost,
    DiskFull,
    LibraryError,
    Locked,
    MissingExtra,
    NoRights,
    ReadOnly,
    ServerUnreachable,
    StorageError,
)
from retrieval.postgres.schema import SCHEMA, extension_schema

if TYPE_CHECKING:
    import psycopg

CONNECT_SECONDS = 10
_IDLE_SECONDS = 120
"""A client that vanished without a word keeps its lock no longer than this."""
_SESSION = (
    "SET jit = off; SET work_mem = '64MB'; SET default_transaction_isolation = 'read committed';"
    f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s';"
    f"SET tcp_keepalives_idle = {_IDLE_SECONDS // 4}; SET tcp_keepalives_interval = {_IDLE_SECONDS // 8};"
)
_GONE = ("08", "57P")
"""SQLSTATE classes of a connection that failed and of a server that was shut down."""


def shown(address: str) -> str:
    """An address as sentences may name it.

    Raises:
        MissingExtra: psycopg is not installed. BadAddress: it cannot be read.
    """
    _psycopg(address)
    from psycopg import ProgrammingError, conninfo

    try:
        parts = conninfo.conninfo_to_dict(address)
    except ProgrammingError:
        raise BadAddress from None
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"


def _psycopg(library: str) -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtra(library.partition("://")[0]) from error
    return psycopg


class Row(tuple[Any, ...]):
    """A row whose values are found by place and by column, as those of SQLite are."""

    names: dict[str, int]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names[key] if isinstance(key, str) else key)

    def keys(self) -> Iterable[str]:
        """Names of the columns."""
        return self.names


def _row_maker(cursor: Any) -> Any:
    names = {column.name: at for at, column in enumerate(cursor.description or ())}

    def make(values: Sequence[Any]) -> Row:
        row = Row(values)
        row.names = names
        return row

    return make


class Connection:
    """Takes the statements that the rest of the room writes for SQLite, values marked by `?`."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw
        self.row_factory: object = None
        """May be set as SQLite's; a row here is always found by column too."""
        self.vector_oid = 0
        """The server's number of the type of 16-bit vectors, once it is there."""

    @classmethod
    def open(cls, address: str, name: str) -> Connection:
        """Connect.

        Raises:
            ServerUnreachable: no server, or one that refuses this user.
        """
        psycopg = _psycopg(name)
        given = psycopg.conninfo.conninfo_to_dict(address)
        defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "hearth"}
        try:
            raw = psycopg.connect(
                **{**defaults, **given, "client_encoding": "utf8"}, autocommit=True, prepare_threshold=None
            )
            raw.execute(_SESSION)
        except psycopg.Error as error:
            raise ServerUnreachable(name, _words(error)) from error
        connection = cls(raw)
        connection.see_types()
        return connection

    def see_types(self) -> None:
        """Look where the tables and the vector extension are, and take vectors in the server's binary form."""
        schema = extension_schema(self.raw)
        self.raw.execute(f"SET search_path TO {SCHEMA}, {schema}")
        self.raw.adapters.register_loader("numeric", _whole_loader())
        found = self.raw.execute("SELECT oid FROM pg_type WHERE oid = to_regtype('halfvec')").fetchone()
        if found is not None:
            self.vector_oid = int(found[0])
            _register_vectors(self.raw.adapters, self.vector_oid)

    @property
    def lost(self) -> bool:
        """Whether it can be used no more."""
        return bool(self.raw.closed)

    def cursor(self) -> Connection:
        """This very object, as it needs no other cursors."""
        return self

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        """Run one statement; gives a cursor with `fetchone` and `fetchall`."""
        cursor = self.raw.cursor(row_factory=_row_maker, binary=True)
        return cursor.execute(_marked(sql), tuple(parameters))

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for each row of values."""
        self.raw.cursor().executemany(_marked(sql), [tuple(row) for row in parameters])

    def close(self) -> None:
        """Close it."""
        self.raw.close()


@functools.lru_cache(maxsize=512)
def _marked(sql: str) -> Any:
    return sql.replace("%", "%%").replace("?", "%s")


class HalfVector:
    """A vector of 16-bit numbers as the store keeps them, little end first, for the server's type of that name."""

    def __init__(self, value: bytes) -> None:
        self.value = value


def _register_vectors(adapters: Any, oid: int) -> None:
    """Send and receive vectors as bytes: two numbers of 16 bits (length, 0), then the vector, big end first."""
    from psycopg.adapt import Dumper, Loader
    from psycopg.pq import Format

    class HalfDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Any) -> bytes:
            return struct.pack(">hh", len(obj.value) // 2, 0) + np.frombuffer(obj.value, "<u2").astype(">u2").tobytes()

    class HalfLoader(Loader):
        format = Format.BINARY

        def load(self, data: Any) -> bytes:
            return np.frombuffer(bytes(data)[4:], ">u2").astype("<u2").tobytes()

    HalfDumper.oid = oid
    adapters.register_dumper(HalfVector, HalfDumper)
    adapters.register_loader(oid, HalfLoader)


@functools.cache
def _whole_loader() -> Any:
    """The server gives sums of whole numbers as decimals."""
    from psycopg.types.numeric import NumericBinaryLoader

    class WholeLoader(NumericBinaryLoader):
        def load(self, data: Any) -> Any:
            value = super().load(data)
            return int(value) if value == value.to_integral_value() else value

    return WholeLoader


@contextlib.contextmanager
def translated(name: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Turn what the server says about a library into the room's errors."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise _library_error(name, error, wait_seconds) from error


def _library_error(name: str, error: psycopg.Error, wait_seconds: float) -> LibraryError:
    import psycopg

    state = error.sqlstate or ""
    if state.startswith(_GONE) or state == "25P03" or (not state and isinstance(error, psycopg.OperationalError)):
        return ConnectionLost(name)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return Locked(name, None, wait_seconds)
    if isinstance(error, psycopg.errors.DiskFull):
        return DiskFull(name)
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return ReadOnly(name)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return NoRights(name, _words(error), f"grant it on the schema {SCHEMA}")
    return StorageError(name, _words(error))


def _words(error: psycopg.Error) -> str:
    """The first line of what the server says."""
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    return said.splitlines()[0].rstrip(".")
