"""The registry's one SQLite file: which versions were added, and every promotion and roll-back in order.

What serves a role is computed from the promotions, so no second record can disagree with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from models.errors import HomeNotWritable
from models.home import models_folder
from models.registry_errors import RegistryBroken, RegistryBusy

FILE_NAME = "registry.sqlite"
_FORMAT = 1
_WAIT_SECONDS = 10.0
_SCHEMA = (
    "CREATE TABLE versions (name TEXT NOT NULL, number INTEGER NOT NULL, role TEXT NOT NULL, added TEXT NOT NULL, "
    "PRIMARY KEY (name, number)) STRICT",
    "CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, role TEXT NOT NULL, "
    "action TEXT NOT NULL CHECK (action IN ('promote', 'rollback')), name TEXT NOT NULL, number INTEGER NOT NULL, "
    "at TEXT NOT NULL) STRICT",
    f"PRAGMA user_version = {_FORMAT}",
)


@dataclass(frozen=True)
class Row:
    """A registered version; `added` is the UTC time in ISO 8601."""

    name: str
    number: int
    role: str
    added: str


@dataclass(frozen=True)
class Change:
    """One promotion or roll-back: which version began or ceased to serve the role, and when (UTC, ISO 8601)."""

    role: str
    action: Literal["promote", "rollback"]
    name: str
    number: int
    at: str

    @property
    def label(self) -> str:
        """The version as `name@number`."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True)
class State:
    """The registry at one moment: versions by name and number, changes oldest first."""

    versions: tuple[Row, ...] = ()
    changes: tuple[Change, ...] = ()

    def promoted(self, role: str) -> list[Change]:
        """The promotions of a role that were not taken back; the last one serves."""
        stack: list[Change] = []
        for change in self.changes:
            if change.role == role and change.action == "promote":
                stack.append(change)
            elif change.role == role and stack:
                stack.pop()
        return stack


class RegistryStore:
    """The file of one home; every call opens it anew, so that another process's writes are always seen.

    Args:
        home: The data folder.
        adopt: Gives the versions whose folders lie in the home, for a file that has to be begun anew.
    """

    def __init__(self, home: Path, adopt: Callable[[], list[Row]]) -> None:
        self._home = home
        self._adopt = adopt
        self.path = models_folder(home) / FILE_NAME

    def state(self) -> State:
        """What is registered now.

        Raises:
            RegistryBroken: the file is damaged or from a newer Hearth.
            RegistryBusy: another process has been writing for ten seconds.
        """
        if not self.path.exists():
            return State(tuple(self._adopt()))
        with self._errors(reading=True), closing(self._open()) as connection:
            self._check(connection)
            return _read(connection)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One change of the registry: all of it is kept when the block ends well, nothing when it does not.

        Raises:
            RegistryBroken, RegistryBusy: as for `state`.
            HomeNotWritable: the file cannot be written.
        """
        self.begin()
        with self._errors(), closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._check(connection)
            yield Transaction(connection)
            connection.execute("COMMIT")

    def begin(self) -> None:
        """Makes the file where there is none, with the versions whose folders lie in the home.

        It appears whole, so that a reader never meets an empty one.

        Raises:
            RegistryBusy, HomeNotWritable: as for `transaction`.
        """
        import filelock

        if self.path.exists():
            return
        with self._errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path.with_name(".registry.lock"), timeout=_WAIT_SECONDS):
                if self.path.exists():
                    return
                temporary = self.path.with_name(".registry.new")
                temporary.unlink(missing_ok=True)
                with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
                    for statement in _SCHEMA:
                        connection.execute(statement)
                    for row in self._adopt():
                        _insert(connection, row)
                temporary.replace(self.path)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)

    def _check(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _FORMAT:
            raise RegistryBroken(self.path, f"its format is {version} and this Hearth knows {_FORMAT}: update Hearth")
        if not {"versions", "changes"} <= _tables(connection):
            raise RegistryBroken(self.path, "its tables are missing")
        found = connection.execute("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise RegistryBroken(self.path, str(found))

    @contextmanager
    def _errors(self, *, reading: bool = False) -> Iterator[None]:
        import filelock

        try:
            yield
        except filelock.Timeout as error:
            raise RegistryBusy(self.path, _WAIT_SECONDS) from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise RegistryBusy(self.path, _WAIT_SECONDS) from error
            if reading:
                raise RegistryBroken(self.path, str(error)) from error
            raise HomeNotWritable(self._home, str(error)) from error
        except sqlite3.DatabaseError as error:
            raise RegistryBroken(self.path, str(error)) from error
        except OSError as error:
            raise HomeNotWritable(self._home, error.strerror or str(error)) from error


class Transaction:
    """What may be done to the registry within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def state(self) -> State:
        """What is registered, this transaction's own changes included."""
        return _read(self._connection)

    def add(self, name: str, number: int, role: str) -> None:
        """Registers a version; a registry that was just made has found its folder already."""
        _insert(self._connection, Row(name, number, role, now()))

    def change(self, role: str, action: Literal["promote", "rollback"], name: str, number: int) -> Change:
        """Records a promotion or roll-back."""
        change = Change(role, action, name, number, now())
        self._connection.execute(
            "INSERT INTO changes (role, action, name, number, at) VALUES (?, ?, ?, ?, ?)",
            (change.role, change.action, change.name, change.number, change.at),
        )
        return change


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(connection: sqlite3.Connection) -> State:
    versions = connection.execute("SELECT name, number, role, added FROM versions ORDER BY name, number")
    changes = connection.execute("SELECT role, action, name, number, at FROM changes ORDER BY id")
    return State(tuple(Row(*row) for row in versions), tuple(Change(*row) for row in changes))


def _insert(connection: sqlite3.Connection, row: Row) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO versions VALUES (?, ?, ?, ?)", (row.name, row.number, row.role, row.added)
    )


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
