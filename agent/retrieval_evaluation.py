"""`hearth eval retrieval`: the ranking quality of the library on files of documents, queries and judgements."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from agent.assembly import House
from agent.errors import BadInput
from agent.evaluation import COLLECTION, evaluation_library, read_lines
from retrieval.records import SearchMode

# Passages are folded into documents, so more are fetched than documents are judged.
_PASSAGES = 300


def evaluate_files(house: House, documents: Path, queries: Path, qrels: Path, mode: SearchMode) -> dict[str, Any]:
    """Rank every query's documents and score them.

    Args:
        house: the models and settings to judge.
        documents: `{doc_id, title, text}` lines.
        queries: `{query_id, text}` lines.
        qrels: `{query_id, doc_id, relevance}` lines; relevance above 0 is relevant.
        mode: `hybrid`, `dense` or `sparse`.

    Raises:
        BadInput: a line without the columns it needs.
    """
    from retrieval.evaluation import evaluate_retrieval

    judged: dict[str, dict[str, float]] = defaultdict(dict)
    for number, row in read_lines(qrels):
        _need(qrels, number, row, "query_id", "doc_id", "relevance")
        judged[str(row["query_id"])][str(row["doc_id"])] = float(row["relevance"])
    asked = {}
    for number, row in read_lines(queries):
        _need(queries, number, row, "query_id", "text")
        asked[str(row["query_id"])] = str(row["text"])
    library = evaluation_library(house, [documents])

    def search(query: str) -> list[str]:
        hits = library.search(query, top_k=_PASSAGES, mode=mode, collections=[COLLECTION])
        return list(dict.fromkeys(hit.metadata["document"] for hit in hits))

    try:
        return evaluate_retrieval(search, asked, judged)
    finally:
        library.close()


def _need(path: Path, number: int, row: dict[str, Any], *columns: str) -> None:
    if missing := [column for column in columns if column not in row]:
        raise BadInput(f"{path.name}, line {number} lacks {', '.join(missing)}; it has {', '.join(sorted(row))}.")
