"""A library in a fresh database on the tests' own PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library
from tests.doubles import HashEmbeddings


@pytest.fixture(scope="session")
def server(postgres: Any) -> Any:
    """The running server."""
    return postgres


@pytest.fixture
def address(database: str) -> str:
    """The address of an empty database."""
    return database


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
