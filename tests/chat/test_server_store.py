"""Chats on a PostgreSQL server: a server that goes away and comes back, two pages on one, and what it cannot keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chat import passwords
from chat.errors import ChatsOffServer, UserExists
from chat.people import People
from chat.server_store import ServerStore
from chat.tables import open_store
from chat.threads import Threads
from retrieval.errors import RetrievalError


def _say(threads: Threads, owner: str, thread: str, step: str, text: str = "x") -> None:
    threads.save_step(owner, {"id": step, "threadId": thread, "type": "user_message", "output": text})


def _run(database: str, sql: str) -> list[Any]:
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_a_connection_that_was_cut_is_made_anew(database: str, tmp_path: Path) -> None:
    store = ServerStore(tmp_path, database)
    threads = Threads(store)
    _say(threads, "ann", "t1", "s1")
    _run(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hearth'")
    with pytest.raises(ChatsOffServer, match="postgresql://"):
        _say(threads, "ann", "t1", "s2")
    _say(threads, "ann", "t1", "s3")
    thread = threads.thread("ann", "t1")
    assert thread is not None
    assert [step["id"] for step in thread["steps"]] == ["s1", "s3"]
    store.close()


def test_an_idle_connection_is_tried_before_it_is_used(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ServerStore(tmp_path, database)
    monkeypatch.setattr("chat.server_store._SECONDS_TRUSTED", -1.0)
    _run(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hearth'")
    _say(Threads(store), "ann", "t1", "s1")
    store.close()


def test_pages_that_write_at_once_lose_nothing_and_share_no_id(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_LOG_COST", 4)
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: ServerStore(tmp_path, database), range(4)))

        def write(number: int) -> int:
            threads = Threads(stores[number])
            for step in range(10):
                _say(threads, f"user{number}", f"t{number}", f"s{number}-{step}")
            try:
                People(stores[number]).add("ann", "correct horse")
            except UserExists:
                return 0
            return 1

        assert sum(pool.map(write, range(4))) == 1
    with stores[0].reading() as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT touched) FROM threads").fetchone() == (4, 4)
        assert connection.execute("SELECT count(*) FROM steps").fetchone() == (40,)
    for store in stores:
        store.close()


def test_d23_a_zero_character_is_kept_as_a_sign_for_one(database: str, tmp_path: Path) -> None:
    store = open_store(tmp_path, database)
    threads = Threads(store)
    _say(threads, "ann", "t\x00", "s\x00", "a\x00b")
    threads.update("ann", "t\x00", name="n\x00")
    thread = threads.thread("ann", "t\x00")
    assert thread is not None
    assert (thread["name"], thread["steps"][0]["output"]) == ("n\ufffd", "a\x00b")
    store.close()


def test_what_is_wrong_with_a_server_is_said_without_its_password(database: str, tmp_path: Path) -> None:
    ServerStore(tmp_path, database).close()
    _run(database, "UPDATE hearth_chats.version SET number = 99")
    with pytest.raises(ChatsOffServer, match="a newer Hearth"):
        ServerStore(tmp_path, database)
    with pytest.raises(ChatsOffServer) as refused:
        ServerStore(tmp_path, "postgresql://ann:secret@127.0.0.1:9/none")
    assert "secret" not in str(refused.value)
    with pytest.raises(RetrievalError, match="cannot be read"):
        ServerStore(tmp_path, "postgresql://[broken")
