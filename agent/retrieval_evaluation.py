"""`hearth eval retrieval`: the ranking quality of the library on documents, queries and judgements.

They come as three files, or as one file of questions with the paragraph that each was asked about.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.assembly import House
from agent.errors import BadInput
from agent.evaluation import COLLECTION, evaluation_library, kept_library, read_lines
from retrieval.records import SEARCH_MODES, SearchMode

if TYPE_CHECKING:
    from retrieval import Library

# Passages are folded into documents, so more are fetched than documents are judged.
_PASSAGES = 300
_SEED = 0


@dataclass(frozen=True)
class Judgements:
    """Queries by id, and for each the relevance of documents by name; above 0 is relevant."""

    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, float]]

    def drawn(self, limit: int | None) -> Judgements:
        """Only so many of the queries, always the same ones."""
        if limit is None or limit >= len(self.queries):
            return self
        kept = random.Random(_SEED).sample(list(self.queries), limit)
        return Judgements({key: self.queries[key] for key in kept}, self.relevant)


def from_files(house: House, documents: Path, queries: Path, qrels: Path) -> tuple[Library, Judgements]:
    """The library and judgements of `{doc_id, title, text}`, `{query_id, text}`, `{query_id, doc_id, relevance}` lines.

    Raises:
        BadInput: a line without the columns it needs.
    """
    relevant: dict[str, dict[str, float]] = defaultdict(dict)
    for number, row in read_lines(qrels):
        _need(qrels, number, row, "query_id", "doc_id", "relevance")
        relevant[str(row["query_id"])][str(row["doc_id"])] = float(row["relevance"])
    asked = {}
    for number, row in read_lines(queries):
        _need(queries, number, row, "query_id", "text")
        asked[str(row["query_id"])] = str(row["text"])
    return evaluation_library(house, [documents]), Judgements(asked, relevant)


def from_questions(house: House, questions: Path) -> tuple[Library, Judgements]:
    """The library of all paragraphs in `{id, question, context}` lines, as SQuAD has them, of which each asks for one.

    Raises:
        BadInput: a line without the columns it needs.
    """
    from retrieval import TextDocument

    asked, relevant, texts = {}, {}, {}
    digest = hashlib.sha256()
    for number, row in read_lines(questions):
        _need(questions, number, row, "id", "question", "context")
        text = str(row["context"])
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if name not in texts:
            texts[name] = TextDocument(name=name, text=text.strip())
            digest.update(name.encode())
        asked[str(row["id"])] = str(row["question"])
        relevant[str(row["id"])] = {name: 1.0}
    library = kept_library(house, digest)
    library.add_texts(texts.values(), collection=COLLECTION)
    return library, Judgements(asked, relevant)


def evaluate_ranking(
    library: Library,
    judgements: Judgements,
    mode: SearchMode = "hybrid",
    rerank: bool = True,
    on_ranked: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Rank every query's documents in one mode, with the library's reranker if it has one, and score them.

    Returns:
        The scores of CONTRACT.md.
    """
    from retrieval.evaluation import evaluate_retrieval

    def search(query: str) -> list[str]:
        hits = library.search(query, top_k=_PASSAGES, mode=mode, collections=[COLLECTION], rerank=rerank)
        if on_ranked:
            on_ranked()
        return list(dict.fromkeys(hit.metadata["document"] for hit in hits))

    return evaluate_retrieval(search, judgements.queries, judgements.relevant)


def compared(
    library: Library, judgements: Judgements, on_ranked: Callable[[], None] | None = None
) -> dict[str, dict[str, Any]]:
    """The scores of each mode without a reranker, and of `reranked` where the library has one."""
    table: dict[str, dict[str, Any]] = {
        mode: evaluate_ranking(library, judgements, mode, False, on_ranked) for mode in SEARCH_MODES
    }
    if library.reranks:
        table["reranked"] = evaluate_ranking(library, judgements, on_ranked=on_ranked)
    return table


def _need(path: Path, number: int, row: dict[str, Any], *columns: str) -> None:
    if missing := [column for column in columns if column not in row]:
        raise BadInput(f"{path.name}, line {number} lacks {', '.join(missing)}; it has {', '.join(sorted(row))}.")
