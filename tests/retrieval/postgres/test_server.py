"""What can happen between a client and a server: killed, cut off, two at once, refused; and a large library's index."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import retrieval.postgres.finder
import retrieval.postgres.schema
import retrieval.postgres.store
import retrieval.postgres.words
import retrieval.retriever
from retrieval import Library, TextDocument
from retrieval.errors import RetrievalError
from tests.doubles import HashEmbeddings

ROOT = Path(__file__).resolve().parents[3]
Statement = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def client(address: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a process that runs lines over `library`, with `texts(prefix, count)` at hand."""
    started: list[subprocess.Popen[str]] = []

    def start(lines: str) -> subprocess.Popen[str]:
        script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from retrieval import Library, TextDocument
from retrieval.postgres.writer import PostgresWriter
from tests.doubles import HashEmbeddings
def texts(prefix, count):
    return [TextDocument(f"{{prefix}}{{n}}", " ".join(f"{{prefix}}{{n}} word {{i}}." for i in range(200)))
            for n in range(count)]
library = Library.open({address!r}, HashEmbeddings())
{textwrap.dedent(lines)}"""
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_client_killed_in_the_middle_leaves_no_half_document(
    on_server: Library, client: Callable[[str], subprocess.Popen[str]], statement: Statement
) -> None:
    """K03: killed with a document's passages sent and its words not; what was acknowledged before stays."""
    process = client("""
        library.add_texts(texts("whole", 2))
        def stop(*_):
            print("inside", flush=True)
            time.sleep(60)
        PostgresWriter.add_terms = stop
        library.add_texts(texts("half", 3))
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [record.document for record in on_server.documents()] == ["whole0", "whole1"]
    assert on_server.verify()["problems"] == []
    for table in ("chunks", "vectors", "terms"):
        held = statement(f"SELECT count(DISTINCT document) FROM hearth.{table}")
        assert held == [(2,)]
    done = client('print(len(library.add_texts(texts("whole", 2) + texts("half", 3)).added))')
    assert done.communicate(timeout=60)[0] == "3\n"
    assert on_server.verify()["problems"] == []
    assert len(on_server.documents()) == 5


@pytest.mark.faults
def test_clients_killed_anywhere_lose_nothing_that_was_reported(
    on_server: Library, client: Callable[[str], subprocess.Popen[str]]
) -> None:
    """K03: each run prints what it was told is stored, and is killed after another number of documents."""
    reported = set()
    for after in (1, 2, 4, 7):
        process = client("""
            for item in texts("t", 12):
                library.add_texts([item])
                print(item.name, flush=True)
        """)
        assert process.stdout is not None
        reported |= {process.stdout.readline().strip() for _ in range(after)}
        os.kill(process.pid, signal.SIGKILL)
        reported |= set(process.communicate()[0].split("\n")[:-1])
        assert reported <= {record.document for record in on_server.documents()}
        assert on_server.verify()["problems"] == []


def test_two_writers_at_once_store_everything_once(
    on_server: Library, client: Callable[[str], subprocess.Popen[str]]
) -> None:
    """K05: the same documents from two processes, each document there once."""
    lines = """
        added = 0
        for item in texts("t", 15):
            added += len(library.add_texts([item]).added)
        print(added)
    """
    added = [int(process.communicate(timeout=60)[0]) for process in [client(lines), client(lines)]]
    assert sum(added) == 15
    assert sorted(record.document for record in on_server.documents()) == sorted(f"t{n}" for n in range(15))
    assert on_server.verify()["problems"] == []


def test_a_connection_cut_in_the_middle_is_said_and_the_next_run_carries_on(
    on_server: Library, statement: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.postgres.writer import PostgresWriter

    on_server.add_texts([TextDocument("first", "apples")])
    items = [TextDocument(f"d{n}", f"pears {n}") for n in range(5)]
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hearth'"
    with monkeypatch.context() as patch:
        patch.setattr(PostgresWriter, "add_terms", lambda *_: statement(cut) and _[0].connection.execute("SELECT 1"))
        with pytest.raises(RetrievalError) as caught:
            on_server.add_texts(items)
    assert caught.value.code == "connection_lost"
    assert [record.document for record in on_server.documents()] == ["first"]
    assert len(on_server.add_texts(items).added) == 5
    statement(cut)  # idle connections are made anew without a word
    assert len(on_server.documents()) == 6
    assert len(on_server.add_texts([TextDocument("last", "plums")]).added) == 1
    assert on_server.verify()["problems"] == []


def test_a_writer_that_takes_too_long_is_named(on_server: Library, address: str) -> None:
    import psycopg

    on_server.add_texts([TextDocument("a", "apples")])
    with psycopg.connect(address) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (retrieval.postgres.schema.LOCK_KEY,))
        with pytest.raises(RetrievalError) as caught, on_server._store.writing(0.2) as writer:
            writer.remove([])
        assert caught.value.code == "locked"
        assert len(on_server.search("apples")) == 1  # readers are never refused


def test_damage_is_found_named_and_mended_where_it_can_be(on_server: Library, statement: Statement) -> None:
    on_server.add_texts([TextDocument(f"d{n}", f"apple pie {n} with cream") for n in range(5)])
    expected = [(hit.id, hit.metadata["score"]) for hit in on_server.search("apple pie 3")]
    statement("UPDATE hearth.vectors SET value = (SELECT value FROM hearth.vectors WHERE chunk = 1) WHERE chunk = 2")
    statement("DELETE FROM hearth.vectors WHERE chunk = 3")
    statement("DELETE FROM hearth.terms WHERE chunk = 4")
    assert len(on_server.verify()["problems"]) == 3
    mended = on_server.verify(repair=True)
    assert (len(mended["repaired"]), mended["problems"]) == (3, [])
    assert [(hit.id, hit.metadata["score"]) for hit in on_server.search("apple pie 3")] == expected
    statement("UPDATE hearth.chunks SET text = 'quite another text' WHERE id = 5")
    statement("ALTER TABLE hearth.documents DISABLE TRIGGER ALL")
    statement("DELETE FROM hearth.documents WHERE name = 'd0'")
    named = {sentence.split(":")[0] for sentence in on_server.verify(repair=True)["problems"]}
    assert named == {"d4", "history"}


def test_a_large_library_is_searched_in_its_index(on_server: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is built after the bulk; what it finds is nearly what looking at everything finds, filters inside."""
    texts = [TextDocument(f"d{n}", f"apple {n % 13} pie {n % 7} of {n}", {"rare": n % 100 == 0}) for n in range(400)]
    on_server.add_texts(texts)
    queries = [f"apple {n} pie {n % 5}" for n in range(10)]
    exact = [on_server.search(query, mode="dense")[-1].metadata["score"] for query in queries]
    monkeypatch.setattr(retrieval.postgres.finder, "EXACT_CHUNKS", 100)
    on_server.add_texts([TextDocument("last", "no fruit at all")])
    built = "SELECT count(*) FROM pg_indexes WHERE tablename = 'vectors' AND indexdef LIKE '%hnsw%'"
    assert on_server.rows(built) == [(1,)]
    on_server.rows("SELECT set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false)")
    near = sum(
        hit.metadata["score"] >= least - 1e-6
        for query, least in zip(queries, exact, strict=True)
        for hit in on_server.search(query, mode="dense")
    )
    assert near >= 95
    rare = on_server.search("apple", top_k=4, mode="dense", where={"rare": True})
    assert {hit.metadata["document"] for hit in rare} == {"d0", "d100", "d200", "d300"}


def test_ranking_by_the_rarer_words_alone_changes_nothing(
    on_server: Library, statement: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out provably cannot be among the best; and common words may be estimated from the statistics."""
    chance = random.Random(3)
    words = [f"v{n}x" for n in range(200)]
    weights = [1 / (n + 1) for n in range(200)]
    on_server.add_texts([TextDocument(f"d{n}", " ".join(chance.choices(words, weights, k=20))) for n in range(500)])
    queries = [" ".join(chance.choices(words, weights, k=5)) for _ in range(40)]

    def found() -> list[list[tuple[str | None, float]]]:
        hits = [on_server.search(query, mode="sparse", top_k=3) for query in queries]
        return [[(hit.id, hit.metadata["score"]) for hit in some] for some in hits]

    monkeypatch.setattr(retrieval.retriever, "CANDIDATES", 3)
    monkeypatch.setattr(retrieval.postgres.words, "COMMON_SHARE", 0.0)
    everything = found()
    for share in (0.02, 0.1, 0.3):
        monkeypatch.setattr(retrieval.postgres.words, "COMMON_SHARE", share)
        assert found() == everything
    monkeypatch.setattr(retrieval.postgres.words, "ESTIMATED_FROM", 0)
    statement("ANALYZE hearth.terms")
    assert found() == everything  # the statistics of so few passages are of all of them


def test_terms_of_another_analysis_are_made_anew(on_server: Library, address: str, statement: Statement) -> None:
    on_server.add_texts([TextDocument("a", "apples and pears")])
    statement("UPDATE hearth.meta SET value = '0' WHERE key = 'analysis'")
    statement("UPDATE hearth.terms SET words = '''nonsense'':1'")
    with Library.open(address, HashEmbeddings()) as later:
        later.add_texts([TextDocument("b", "plums")])
        assert [hit.metadata["document"] for hit in later.search("pear", mode="sparse")] == ["a"]


# What is refused, in a sentence ------------------------------------------------------------------------------------


def said(address: str, write: bool = False) -> RetrievalError:
    """The error of a first use of a library at an address."""
    with pytest.raises(RetrievalError) as caught, Library.open(address, HashEmbeddings()) as library:
        library.add_texts([TextDocument("said", "plums")]) if write else library.documents()
    return caught.value


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    pytest.importorskip("psycopg")
    error = said("postgresql://ann:secret@127.0.0.1:1/papers")
    assert error.code == "server_unreachable"
    assert "postgresql://ann@127.0.0.1:1/papers" in str(error)
    assert "secret" not in f"{error} {error.__cause__}"
    malformed = said("postgresql://ann:%zzsecret@host/papers")
    assert (malformed.code, "secret" in str(malformed)) == ("bad_address", False)


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = said("postgresql://ann@host/papers")
    assert error.code == "missing_extra"
    assert "hearth[postgres]" in str(error)


def test_a_server_without_a_usable_pgvector_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval.postgres.schema, "OLDEST_PGVECTOR", (99, 0))
    assert said(address, write=True).code == "no_vector_extension"


def test_a_user_without_rights_is_told_what_to_ask_for(address: str, statement: Statement) -> None:
    statement("CREATE ROLE plain LOGIN")
    theirs = address.replace("postgres:@", "plain:@")
    try:
        error = said(theirs, write=True)
        assert (error.code, "CREATE EXTENSION vector" in str(error)) == ("no_rights", True)
        statement("CREATE EXTENSION vector")
        error = said(theirs, write=True)
        assert (error.code, "GRANT CREATE ON DATABASE" in str(error)) == ("no_rights", True)
        statement(str(error).split("`")[1])
        with Library.open(theirs, HashEmbeddings()) as library:
            assert len(library.add_texts([TextDocument("a", "apples")]).added) == 1
        statement("CREATE ROLE reader LOGIN")
        statement("GRANT USAGE ON SCHEMA hearth TO reader")
        statement("GRANT SELECT ON ALL TABLES IN SCHEMA hearth TO reader")
        reading = address.replace("postgres:@", "reader:@")
        with Library.open(reading, HashEmbeddings()) as library:
            assert len(library.search("apples")) == 1
        assert said(reading, write=True).code == "no_rights"
    finally:
        for role in ("plain", "reader"):
            statement(f"DROP OWNED BY {role} CASCADE")
            statement(f"DROP ROLE {role}")


def test_tables_of_a_later_hearth_are_left_alone(on_server: Library, address: str, statement: Statement) -> None:
    on_server.add_texts([TextDocument("a", "apples")])
    statement("UPDATE hearth.meta SET value = '99' WHERE key = 'schema'")
    assert said(address).code == "newer_library"
    statement("UPDATE hearth.meta SET value = 'odd' WHERE key = 'schema'")
    assert "format odd" in str(said(address, write=True))


def test_an_export_of_a_folder_is_brought_to_a_server(on_server: Library, tmp_path: Path) -> None:
    """The way from one to the other: ids, vectors and metadata come along, and nothing is embedded again."""
    with Library.open(tmp_path / "library", HashEmbeddings()) as in_folder:
        in_folder.add_texts([TextDocument(f"d{n}", f"apple pie {n}", {"n": n}) for n in range(20)])
        in_folder.export(tmp_path / "copy")
        report = on_server.import_file(tmp_path / "copy")
        assert len(report.added) == 20
        assert on_server.documents() == in_folder.documents()
        assert [hit.metadata["score"] for hit in on_server.search("apple pie 7")] == pytest.approx(
            [hit.metadata["score"] for hit in in_folder.search("apple pie 7")], abs=5e-4
        )
    assert on_server.verify()["problems"] == []
    assert on_server.import_file(tmp_path / "copy").unchanged == 20


def test_what_needs_a_file_says_so(on_server: Library, tmp_path: Path) -> None:
    for attempt in (on_server.backup, on_server.export):
        with pytest.raises(RetrievalError) as caught:
            attempt(tmp_path / "copy")
        assert caught.value.code == "on_server"


def test_what_postgresql_cannot_hold_is_said(on_server: Library) -> None:
    with pytest.raises(RetrievalError):
        on_server.add_texts([TextDocument("a", "apples", {"odd": "a\x00b"})])
    assert on_server.documents() == []
