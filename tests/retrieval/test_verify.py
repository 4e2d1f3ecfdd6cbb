"""Seeded corruptions: each is found by verify and then mended, or named as what cannot be mended (G15)."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library, TextDocument
from retrieval.errors import NewerSchema
from retrieval.schema import FILE_NAME
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf

Contents = dict[str, list[tuple[Any, ...]]]
TABLES = ("meta", "commits", "documents", "texts", "chunks", "vectors", "new_vectors", "sqlite_sequence")


@dataclass
class Filled:
    """A library worth damaging: texts, files, a PDF, two collections, things removed, moved and replaced."""

    path: Path
    spare: Path
    """A copy of the sound folder."""
    contents: Contents
    answers: dict[str, list[str]]

    def restore(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(self.spare, self.path)


def contents(path: Path) -> Contents | None:
    """Every row of every table, None where SQLite cannot read them."""
    database = sqlite3.connect(path / FILE_NAME)
    database.text_factory = bytes
    try:
        if database.execute("PRAGMA integrity_check(1)").fetchone()[0] not in (b"ok", "ok"):
            return None
        named = {table: database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
        return {**named, "schema": database.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()}
    except sqlite3.Error:
        return None
    finally:
        database.close()


QUERIES = ("apples of number 7", "pears word3 word5", "page about topic2", "bananas")


def answers(library: Library) -> dict[str, list[str]]:
    """Every passage that can be found, by words and by meaning."""
    return {
        f"{mode} {query}": sorted(f"{hit.metadata['document']}: {hit.page_content}" for hit in hits)
        for query in QUERIES
        for mode in ("dense", "sparse")
        if (hits := library.search(query, top_k=1000, mode=mode, collections=["default", "other"]))  # type: ignore[arg-type]
    }


@pytest.fixture(scope="module")
def filled() -> Iterator[Filled]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield _filled(Path(folder))


def _filled(root: Path) -> Filled:
    chance = random.Random(2)
    files = root / "files"
    files.mkdir()
    for number in range(4):
        words = " ".join(f"word{chance.randrange(40)}" for _ in range(400))
        (files / f"f{number}.md").write_text(f"# Heading {number}\n\nAbout pears number {number}. {words}\n")
    write_pdf(files / "pages.pdf", [f"A page about topic{number}. " * 30 for number in range(3)])
    path = root / "library"
    with Library.open(path, HashEmbeddings()) as library:
        library.add_texts([TextDocument(f"t{n}", f"red apples of number {n} " * (n + 1), {"n": n}) for n in range(12)])
        library.add([files])
        library.add_texts([TextDocument("b", "yellow bananas")], collection="other")
        library.add_texts([TextDocument("t3", "red apples changed " * 5)])
        library.remove(["t5"])
        library.move(library.find("t8")[0].document_id, "other")
        found = answers(library)
    shutil.copytree(path, root / "spare")
    held = contents(path)
    assert held is not None
    return Filled(path, root / "spare", held, found)


# The kinds of damage --------------------------------------------------------------------------------------------------


def change(filled: Filled, statement: str, *values: object) -> None:
    with sqlite3.connect(filled.path / FILE_NAME) as database:
        database.execute(statement, values)
    database.close()


def pick(filled: Filled, chance: random.Random, table: str, column: str = "rowid") -> Any:
    with sqlite3.connect(filled.path / FILE_NAME) as database:
        rows = database.execute(f"SELECT {column} FROM {table} ORDER BY 1").fetchall()
    database.close()
    return chance.choice(rows)[0]


def flipped_byte(filled: Filled, chance: random.Random) -> None:
    data = bytearray((filled.path / FILE_NAME).read_bytes())
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    (filled.path / FILE_NAME).write_bytes(data)


def torn_page(filled: Filled, chance: random.Random) -> None:
    data = bytearray((filled.path / FILE_NAME).read_bytes())
    at = chance.randrange(len(data) // 512) * 512
    data[at : at + 512] = chance.choice((bytes(512), chance.randbytes(512)))
    (filled.path / FILE_NAME).write_bytes(data)


def swapped_pages(filled: Filled, chance: random.Random) -> None:
    data = bytearray((filled.path / FILE_NAME).read_bytes())
    one, two = (at * 4096 for at in chance.sample(range(1, len(data) // 4096), 2))
    data[one : one + 4096], data[two : two + 4096] = data[two : two + 4096], data[one : one + 4096]
    (filled.path / FILE_NAME).write_bytes(data)


def swapped_vectors(filled: Filled, chance: random.Random) -> None:
    with sqlite3.connect(filled.path / FILE_NAME) as database:
        rows = database.execute("SELECT chunk, value, digest FROM vectors ORDER BY chunk").fetchall()
        (one, *first), (two, *second) = chance.sample(rows, 2)
        whole = chance.random() < 0.5  # the vector alone, or its whole row
        for chunk, (value, digest) in ((one, second), (two, first)):
            database.execute("UPDATE vectors SET value = ? WHERE chunk = ?", (value, chunk))
            if whole:
                database.execute("UPDATE vectors SET digest = ? WHERE chunk = ?", (digest, chunk))
    database.close()


def changed_vector(filled: Filled, chance: random.Random) -> None:
    chunk = pick(filled, chance, "vectors", "chunk")
    change(filled, "UPDATE vectors SET value = zeroblob(128) WHERE chunk = ?", chunk)


def deleted_row(filled: Filled, chance: random.Random) -> None:
    table = chance.choice(("documents", "texts", "chunks", "vectors", "commits", "meta"))
    column = {"vectors": "chunk", "texts": "document", "commits": "generation", "meta": "key"}.get(table, "id")
    change(filled, f"DELETE FROM {table} WHERE {column} = ?", pick(filled, chance, table, column))


def deleted_document(filled: Filled, chance: random.Random) -> None:
    """With all that belongs to it, so that nothing dangles."""
    row = pick(filled, chance, "documents", "id")
    change(filled, "DELETE FROM vectors WHERE chunk IN (SELECT id FROM chunks WHERE document = ?)", row)
    for table in ("chunks", "texts"):
        change(filled, f"DELETE FROM {table} WHERE document = ?", row)
    change(filled, "DELETE FROM documents WHERE id = ?", row)


def changed_text(filled: Filled, chance: random.Random) -> None:
    table, column = chance.choice((("chunks", "text"), ("texts", "body")))
    key = "id" if table == "chunks" else "document"
    row = pick(filled, chance, table, key)
    change(filled, f"UPDATE {table} SET {column} = {column} || ' added' WHERE {key} = ?", row)


def changed_place(filled: Filled, chance: random.Random) -> None:
    column, value = chance.choice(
        (('"start"', 1), ('"end"', 3), ("page", 77), ("position", "elsewhere"), ("ordinal", 99))
    )
    change(filled, f"UPDATE chunks SET {column} = ? WHERE id = ?", value, pick(filled, chance, "chunks", "id"))


def changed_record(filled: Filled, chance: random.Random) -> None:
    column, value = chance.choice(
        (("collection", "thread:7"), ("source", "elsewhere"), ("name", "other"), ("path", "/etc/passwd"),
         ("sha256", "0"), ("bytes", 3), ("pages", 9), ("chunks", 99), ("first_chunk", 1), ("last_chunk", 999),
         ("added", "2001"),
         ("metadata", '{"n": 99}'), ("status", "encrypted"), ("document_id", "other"), ("stamp", "x"))
    )  # fmt: skip
    change(filled, f"UPDATE documents SET {column} = ? WHERE id = ?", value, pick(filled, chance, "documents", "id"))


def changed_meta(filled: Filled, chance: random.Random) -> None:
    key = chance.choice(("fingerprint", "dimension", "label"))
    change(filled, "UPDATE meta SET value = '65' WHERE key = ?", key)


def changed_seal(filled: Filled, chance: random.Random) -> None:
    table = chance.choice(("documents", "texts", "chunks", "vectors"))
    column = {"vectors": "chunk", "texts": "document"}.get(table, "id")
    row = pick(filled, chance, table, column)
    change(filled, f"UPDATE {table} SET digest = zeroblob(16) WHERE {column} = ?", row)


def changed_history(filled: Filled, chance: random.Random) -> None:
    column = chance.choice(("token", "removed_first", "removed_document"))
    row = pick(filled, chance, "commits", "generation")
    change(filled, f"UPDATE commits SET {column} = 5 WHERE generation = ?", row)


def damaged_cache(filled: Filled, chance: random.Random) -> None:
    file = chance.choice(sorted(file for file in (filled.path / "fulltext").rglob("*") if file.stat().st_size))
    data = bytearray(file.read_bytes())
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data))]
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def stale_cache(filled: Filled, chance: random.Random) -> None:
    """The cache of a moment ago under the newest stamp."""
    stamp = json.loads((filled.path / "fulltext" / "stamp.json").read_text())
    with Library.open(filled.path, HashEmbeddings()) as library:
        library.move(library.find("t2")[0].document_id, "other")
        library.remove([f"t{chance.choice((0, 1, 4, 6))}"])
        newest = json.loads((filled.path / "fulltext" / "stamp.json").read_text())
    shutil.rmtree(filled.path / "fulltext")
    shutil.copytree(filled.spare / "fulltext", filled.path / "fulltext")
    (filled.path / "fulltext" / "stamp.json").write_text(json.dumps({**newest, "index": stamp["index"]}))


ROWS: tuple[Callable[[Filled, random.Random], None], ...] = (
    swapped_vectors, changed_vector, deleted_row, deleted_document, changed_text, changed_place, changed_record,
    changed_meta, changed_seal, changed_history,
)  # fmt: skip
PAGES = (flipped_byte, torn_page, swapped_pages)
CACHES = (damaged_cache, stale_cache)


def one_corruption(filled: Filled, seed: int) -> tuple[str, str]:
    """(kind, outcome) of one seeded corruption: no effect, mended, or named."""
    chance = random.Random(seed)
    kind = chance.choice((*ROWS, *PAGES * 2, *CACHES))
    filled.restore()
    kind(filled, chance)
    if kind not in CACHES and contents(filled.path) == filled.contents:
        return kind.__name__, "no effect"
    with Library.open(filled.path, HashEmbeddings()) as library:
        try:
            found = library.verify()["problems"]
        except NewerSchema:
            return kind.__name__, "named"  # one bit of the header says which format it is
        if kind is damaged_cache and not found:
            assert answers(library) == filled.answers, f"seed {seed}: an unseen damage of a cache changed answers"
            return kind.__name__, "no effect"
        assert found, f"seed {seed}: {kind.__name__} was not found"
        result = library.verify(repair=True)
        if result["problems"]:
            assert kind not in CACHES
            return kind.__name__, "named"
        assert result["repaired"], f"seed {seed}"
        assert library.verify()["problems"] == [], f"seed {seed}"
        if kind not in CACHES:
            assert answers(library) == filled.answers, f"seed {seed}: {kind.__name__} was mended into something else"
        return kind.__name__, "mended"


def campaign(filled: Filled, wanted: int) -> dict[str, Any]:
    """As many corruptions that change something as wanted, by kind and outcome."""
    seen: Counter[tuple[str, str]] = Counter()
    seed = 0
    while sum(count for (_, outcome), count in seen.items() if outcome != "no effect") < wanted:
        seen[one_corruption(filled, seed)] += 1
        seed += 1
    report: dict[str, Any] = {"corruptions": wanted, "missed": 0, "seeds": seed, "kinds": {}}
    for (kind, outcome), count in sorted(seen.items()):
        report["kinds"].setdefault(kind, {})[outcome] = count
    return report


def test_g15_seeded_corruptions_are_found_and_mended_or_named(filled: Filled) -> None:
    report = campaign(filled, 25)
    print(json.dumps(report))
    assert len(report["kinds"]) >= 8


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_g15_five_hundred_seeded_corruptions(filled: Filled) -> None:
    print(json.dumps(campaign(filled, 500), indent=1))
