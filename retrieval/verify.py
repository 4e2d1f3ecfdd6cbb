"""Is everything in the library what it says it is? Read-only, over every document, chunk and vector.

Names each problem in words; the caches need no check, as they are rebuilt from what this checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrieval.store import STORED_DTYPE, Store

_MOST_PROBLEMS = 100


def verify_store(store: Store) -> dict[str, Any]:
    """`{"checked": number of chunks, "problems": [sentences]}`."""
    problems = [f"database: {row[0]}" for row in store.rows("PRAGMA integrity_check(20)") if row[0] != "ok"]
    if problems:
        return {"checked": 0, "problems": problems}
    problems += [f"dangling row in {row[0]}" for row in store.rows("PRAGMA foreign_key_check")]
    checked = 0
    stored = store.embedder()
    for row, name, count, first, last in store.rows("SELECT id, name, chunks, first_chunk, last_chunk FROM documents"):
        found = _document_problems(store, row, count, first, last, stored.dimension if stored else 0)
        problems += [f"{name}: {problem}" for problem in found]
        checked += count
        if len(problems) >= _MOST_PROBLEMS:
            break
    return {"checked": checked, "problems": problems[:_MOST_PROBLEMS]}


def _document_problems(
    store: Store, row: int, count: int, first: int | None, last: int | None, dimension: int
) -> list[str]:
    chunks = store.rows(
        "SELECT c.id, c.start, c.end, c.text, v.value FROM chunks c LEFT JOIN vectors v ON v.chunk = c.id"
        " WHERE c.document = ? ORDER BY c.ordinal",
        (row,),
    )
    if len(chunks) != count:
        return [f"{count} chunks recorded, {len(chunks)} found"]
    if not chunks:
        return []
    problems = []
    if [chunk[0] for chunk in chunks] != list(range(first or 0, (last or 0) + 1)):
        problems.append("its chunks are not the ones recorded")
    body = store.rows("SELECT body FROM texts WHERE document = ?", (row,))
    text = body[0][0] if body else ""
    for chunk_id, start, end, chunk_text, value in chunks:
        if text[start:end] != chunk_text:
            problems.append(f"chunk {chunk_id} is not the text it points at")
        if value is None or len(value) != dimension * np.dtype(STORED_DTYPE).itemsize:
            problems.append(f"chunk {chunk_id} has no sound vector")
        elif not np.isfinite(np.frombuffer(value, STORED_DTYPE)).all():
            problems.append(f"chunk {chunk_id} has a vector that is not finite")
    return problems
