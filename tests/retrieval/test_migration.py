"""Libraries of earlier formats: brought up to date with a backup, or refused with a sentence where that cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval import Library, TextDocument
from retrieval.schema import APPLICATION_ID, FILE_NAME
from tests.doubles import HashEmbeddings

FORMAT_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE commits(
    generation INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL DEFAULT (lower(hex(randomblob(8)))),
    removed_first INTEGER,
    removed_last INTEGER
);
CREATE TABLE documents(
    id INTEGER PRIMARY KEY AUTOINCREMENT, document_id TEXT NOT NULL UNIQUE, collection TEXT NOT NULL,
    source TEXT NOT NULL, name TEXT NOT NULL, path TEXT, status TEXT NOT NULL, message TEXT, sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL, stamp TEXT NOT NULL, pages INTEGER, chunks INTEGER NOT NULL, first_chunk INTEGER,
    last_chunk INTEGER, added TEXT NOT NULL, generation INTEGER NOT NULL REFERENCES commits, UNIQUE(collection, source)
);
CREATE UNIQUE INDEX one_copy ON documents(collection, sha256) WHERE status = 'ready';
CREATE INDEX documents_by_generation ON documents(generation);
CREATE TABLE texts(
    document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, body TEXT NOT NULL, page_starts TEXT NOT NULL
);
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, "start" INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER, position TEXT,
    text TEXT NOT NULL, UNIQUE(document, ordinal)
);
CREATE TABLE vectors(chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, value BLOB NOT NULL);
"""


@pytest.fixture
def old_library(library_path: Path) -> Path:
    """As the first format wrote it: two documents, of which the second took the place of one removed before."""
    library_path.mkdir()
    database = sqlite3.connect(library_path / FILE_NAME)
    database.executescript(FORMAT_1)
    database.execute(f"PRAGMA application_id={APPLICATION_ID}")
    database.execute("PRAGMA user_version=1")
    meta = {"fingerprint": "hash-64", "dimension": "64", "label": "hash-64"}
    database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    database.executemany(
        "INSERT INTO commits VALUES (?, ?, ?, ?)", [(1, "a", None, None), (2, "b", 2, 2), (3, "c", None, None)]
    )
    for row, chunk, text in ((1, 1, "red apples"), (3, 3, "yellow bananas")):
        database.execute(
            "INSERT INTO documents VALUES"
            " (?, ?, 'default', ?, ?, NULL, 'ready', NULL, ?, 10, ?, NULL, 1, ?, ?, '2026-01-01', ?)",
            (row, f"id{row}", f"text:d{row}", f"d{row}", f"hash{row}", f"hash{row}", chunk, chunk, row),
        )
        database.execute("INSERT INTO texts VALUES (?, ?, '[]')", (row, text))
        database.execute("INSERT INTO chunks VALUES (?, ?, 0, 0, ?, NULL, NULL, ?)", (chunk, row, len(text), text))
        vector = np.array(HashEmbeddings().embed_query(text), np.float16)
        database.execute("INSERT INTO vectors VALUES (?, ?)", (chunk, vector.tobytes()))
    database.commit()
    database.close()
    return library_path


def test_k16_the_first_format_is_brought_up_to_date_with_a_backup(old_library: Path) -> None:
    before = (old_library / FILE_NAME).read_bytes()
    with Library.open(old_library, HashEmbeddings()) as library:
        assert [record.document_id for record in library.documents()] == ["id1", "id3"]
        assert library.search("bananas")[0].page_content == "yellow bananas"
        assert library.verify()["problems"] == []
        library.add_texts([TextDocument("d4", "green pears")])
        assert [hit.id for hit in library.search("pears", mode="sparse")] == ["4"]
        assert library.verify()["problems"] == []
    assert (old_library / f"{FILE_NAME}.format-1").read_bytes() == before


def test_k16_an_old_library_that_may_not_be_written_says_so(
    old_library: Path, without_rights: Callable[[str], str]
) -> None:
    (old_library / FILE_NAME).chmod(0o444)
    old_library.chmod(0o555)
    try:
        shown = without_rights(
            """
            try:
                Library.open(path, HashEmbeddings()).documents()
            except RetrievalError as error:
                print(error.code)
            """
        )
        assert shown in ("older_library", "read_only")
        assert sorted(entry.name for entry in old_library.iterdir()) == [FILE_NAME]
    finally:
        old_library.chmod(0o755)
