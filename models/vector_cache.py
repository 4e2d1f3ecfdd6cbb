"""Vectors of texts kept on disk by the texts' hashes, so that the same passage is never embedded twice.

It keeps no text, but vectors tell much of what they were made from and outlive a deleted document, so nothing is kept
unless asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_FILE = "vectors.sqlite"
_MOST_ROWS = 500_000  # about 400 MB with 384 numbers each
_SLICE = 500
_WAIT_SECONDS = 10.0
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = "CREATE TABLE IF NOT EXISTS vectors(id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE, value BLOB NOT NULL)"

Vectors = npt.NDArray[np.float32]
Found = TypeVar("Found")


class VectorCache:
    """One model's vectors, all of length 1; processes may share the folder, and a damaged file begins anew.

    They are kept in 16 bits, which moves a cosine by less than a millionth; the oldest go when there are too many.
    """

    def __init__(self, folder: Path, fingerprint: str, dimension: int, *, most_rows: int = _MOST_ROWS) -> None:
        """Nothing is created before the first vector is kept.

        Args:
            folder: Where the file goes.
            fingerprint: What the vectors depend on beside the text.
            dimension: Numbers in a vector.
            most_rows: Vectors kept, of all models in this folder.
        """
        self._path = folder / _FILE
        self._salt = fingerprint.encode()
        self._dimension = dimension
        self._most_rows = most_rows
        self._lock = threading.Lock()

    def through(self, texts: Sequence[str], embed: Callable[[list[str]], Vectors]) -> Vectors:
        """One vector for each text, in order, shape (texts, dimension); `embed` is asked for those not known, once."""
        keys = [self._key(text) for text in texts]
        known = self._look_up(list(dict.fromkeys(keys)))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            made = dict(zip(missing, embed(list(missing.values())), strict=True))
            self._keep(made)
            known |= made
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, self._dimension), np.float32)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._salt + b"\0" + text.encode("utf-8", "surrogatepass")).digest()

    def _look_up(self, keys: list[bytes]) -> dict[bytes, Vectors]:
        def work(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
            rows: list[tuple[bytes, bytes]] = []
            for start in range(0, len(keys), _SLICE):
                part = keys[start : start + _SLICE]
                marks = ",".join("?" * len(part))
                rows += connection.execute(f"SELECT text, value FROM vectors WHERE text IN ({marks})", part)
            return rows

        found = (self._with_file(work) or []) if self._path.exists() else []
        rows = {key: np.frombuffer(value, np.float16).astype(np.float32) for key, value in found}
        return {key: row / np.linalg.norm(row) for key, row in rows.items() if len(row) == self._dimension}

    def _keep(self, made: dict[bytes, Vectors]) -> None:
        rows = [(key, row.astype(np.float16).tobytes()) for key, row in made.items()]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO vectors(text, value) VALUES (?, ?)", rows)
            newest = connection.execute("SELECT max(id) FROM vectors").fetchone()[0]
            connection.execute("DELETE FROM vectors WHERE id <= ?", (newest - self._most_rows,))

        self._with_file(work)

    def _with_file(self, work: Callable[[sqlite3.Connection], Found]) -> Found | None:
        """What `work` gives, in one transaction; None where the file cannot serve, as texts can be embedded again."""
        with self._lock:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.closing(sqlite3.connect(self._path, timeout=_WAIT_SECONDS)) as connection, connection:
                    connection.execute(_TABLE)
                    return work(connection)
            except (sqlite3.Error, OSError) as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                    self._path.unlink(missing_ok=True)
                return None
