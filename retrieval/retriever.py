"""A query into passages: embed, search by meaning and by words, fuse, rerank, ask the store about every hit.

`LibraryRetriever` is the same as a LangChain retriever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from retrieval.embedder import Embedder
from retrieval.finder import Scope
from retrieval.fusion import fuse
from retrieval.records import SearchMode, searched_collections
from retrieval.stored import LibraryStore, Passage
from retrieval.tidy import tidied
from retrieval.where import Where

CANDIDATES = 100
"""Fetched from each list before fusion; four times the passages asked for, if that is more."""
RERANKED = 20
"""Read by the reranker; those after them keep their order, so that asking for many costs no more."""
RERANK_WEIGHT = 0.5
"""What the reranker's 0 to 1 counts beside the search's own: each knows what the other misses (training/LOG.md)."""
BACKGROUND_PASSAGES = 1000
"""Coverage weighs a query's terms as if the library's passages were part of a collection with this many more."""
_CHARACTERS_PER_TOKEN = 16
_PLACE = ("start", "end", "page", "position")
_FOR_TIDYING = 3
"""Times as many passages as asked for, which stand in for copies that are left out."""


class Reranker(Protocol):
    """A guest that reads query and passage together and judges how well they fit."""

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score a text, 0 to 1, higher is better."""
        ...


@dataclass(frozen=True)
class Hit:
    """A passage with its rank (from 1) and score at every stage; None where a stage did not find it."""

    passage: Passage
    score: float
    dense_rank: int | None
    dense_score: float
    sparse_rank: int | None
    sparse_score: float | None
    sparse_coverage: float
    fused_rank: int
    rerank_rank: int | None = None
    rerank_score: float | None = None
    parts: tuple[Passage, ...] = ()
    """The passages of which tidying made this one, in the text's order."""


class SearchEngine:
    """Searches one store with one embedder."""

    def __init__(self, store: LibraryStore, embedder: Embedder, reranker: Reranker | None) -> None:
        self._store = store
        self._embedder = embedder
        self._reranker = reranker
        self._finder = store.finder(embedder)

    def close(self) -> None:
        """Let go of what the search holds in memory."""
        self._finder.close()

    def warm(self) -> None:
        """Bring the indexes up to date now, so that the next search need not; a failure can wait till then."""
        self._finder.warm()

    def search(
        self,
        query: str,
        top_k: int,
        mode: SearchMode,
        collections: Sequence[str] | None,
        where: Where | None = None,
        tidy: bool = False,
        rerank: bool = True,
    ) -> list[Document]:
        """The best passages as LangChain documents; see `Library.search`."""
        hits = self._hits(query, _FOR_TIDYING * top_k if tidy else top_k, mode, collections, where, rerank)
        if tidy:
            hits = tidied(hits, top_k, self._store.text)
        return [_document(hit) for hit in hits]

    def explain(
        self, query: str, top_k: int, mode: SearchMode, collections: Sequence[str] | None, where: Where | None = None
    ) -> list[dict[str, Any]]:
        """The best passages with their standing at every stage."""
        rows = []
        for hit in self._hits(query, top_k, mode, collections, where):
            place = {key: value for key, value in asdict(hit.passage).items() if key != "vector"}
            rows.append({**place, **_standing(hit)})
        return rows

    def nearest(
        self, wanted: str | Sequence[float], top_k: int, collections: Sequence[str], where: Where | None
    ) -> list[tuple[Passage, float]]:
        """(passage, cosine) of the passages nearest to a query or to a vector; see `Library.nearest`."""
        scope = searched_collections(collections, self._store.collections())
        if top_k < 1 or not scope or not self._store.check_embedder(self._embedder.identity):
            return []
        where_from = self._store.name
        vector = (
            self._embedder.embed_query(wanted, where_from)
            if isinstance(wanted, str)
            else self._embedder.unit(wanted, where_from)
        )
        self._finder.refresh(with_words=False)
        ranked = self._finder.nearest(vector, 2 * top_k, Scope(scope, where))
        found = [(passage, float(passage.vector @ vector)) for passage, _ in self._checked(ranked, scope, top_k)]
        self._store.check_embedder(self._embedder.identity)
        return found

    @property
    def reranks(self) -> bool:
        """Whether there is a reranker."""
        return self._reranker is not None

    def _hits(
        self,
        query: str,
        top_k: int,
        mode: SearchMode,
        collections: Sequence[str] | None,
        where: Where | None,
        rerank: bool = True,
    ) -> list[Hit]:
        reranker = self._reranker if rerank else None
        try:
            hits = self._found(query, max(top_k, RERANKED) if reranker else top_k, mode, collections, where)
            return (_reranked(reranker, query, hits) if reranker else hits)[:top_k]
        finally:
            # A re-embedding may have been swapped in meanwhile: the query's vector is of another model then.
            self._store.check_embedder(self._embedder.identity)

    def _found(
        self, query: str, top_k: int, mode: SearchMode, collections: Sequence[str] | None, where: Where | None
    ) -> list[Hit]:
        query = query.encode("utf-8", "replace").decode()  # a lone surrogate would stop tokenizers
        known = self._store.collections()
        scope = searched_collections(collections, known)
        if not query.strip() or top_k < 1 or not scope or not self._store.check_embedder(self._embedder.identity):
            return []
        vector = self._embedder.embed_query(
            query[: self._embedder.max_tokens * _CHARACTERS_PER_TOKEN], self._store.name
        )
        candidates = max(CANDIDATES, 4 * top_k)
        self._finder.refresh()
        wide = Scope(scope, where, everywhere=len(scope) == len(known))
        by_meaning, by_words = self._finder.search(vector, query, candidates, wide)
        counts = self._finder.term_counts(query)
        if mode == "hybrid":
            ranked = fuse(by_meaning, by_words, counts.most(), candidates)
        else:
            ranked = by_meaning if mode == "dense" else by_words
        weights = counts.weights(BACKGROUND_PASSAGES)
        dense_ranks = {chunk: rank for rank, (chunk, _) in enumerate(by_meaning, start=1)}
        words = {chunk: (rank, score) for rank, (chunk, score) in enumerate(by_words, start=1)}
        hits = []
        for fused_rank, (passage, score) in enumerate(self._checked(ranked, scope, top_k), start=1):
            cosine = float(passage.vector @ vector)
            sparse_rank, sparse_score = words.get(passage.chunk_id, (None, None))
            hits.append(
                Hit(passage, cosine if mode == "dense" else score, dense_ranks.get(passage.chunk_id), cosine,
                    sparse_rank, sparse_score, self._finder.coverage(weights, passage.text), fused_rank)
            )  # fmt: skip
        return hits

    def _checked(
        self, ranked: Sequence[tuple[int, float]], scope: Sequence[str], wanted: int
    ) -> Iterator[tuple[Passage, float]]:
        """The first `wanted` hits that the store still has, in these collections: a cache may be a moment behind."""
        found = 0
        for at in range(0, len(ranked), max(wanted, 1)):
            part = ranked[at : at + wanted]
            passages = self._store.passages([chunk for chunk, _ in part], scope)
            for chunk, score in part:
                if chunk in passages and found < wanted:
                    found += 1
                    yield passages[chunk], score
            if found >= wanted:
                return


def _reranked(reranker: Reranker, query: str, hits: list[Hit]) -> list[Hit]:
    """The first hits by the weighted mean of their own score and the reranker's, then the others as they were."""
    if not hits:
        return []
    read = hits[:RERANKED]
    most = max(1.0, *(hit.score for hit in read))  # BM25 alone has no upper end
    relevances = map(float, reranker.rerank(query, [hit.passage.text for hit in read]))
    both = [
        replace(
            hit,
            score=(hit.score / most + RERANK_WEIGHT * relevance) / (1 + RERANK_WEIGHT),
            rerank_score=relevance,
        )
        for hit, relevance in zip(read, relevances, strict=True)
    ]
    best = sorted(both, key=lambda hit: -hit.score)
    return [replace(hit, rerank_rank=rank) for rank, hit in enumerate(best, start=1)] + hits[RERANKED:]


def _standing(hit: Hit) -> dict[str, Any]:
    """What each stage made of a hit."""
    return {key: value for key, value in vars(hit).items() if key not in ("passage", "parts")}


def _document(hit: Hit) -> Document:
    passage = hit.passage
    metadata = {key: value for key, value in vars(passage).items() if key not in ("text", "vector")}
    metadata.update(_standing(hit))
    if hit.parts:
        metadata["parts"] = [{name: getattr(part, name) for name in _PLACE} for part in hit.parts]
    return Document(page_content=passage.text, id=str(passage.chunk_id), metadata=metadata)


class LibraryRetriever(BaseRetriever):
    """A LangChain retriever over a library; `top_k` may also be given with each call."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    library: Any
    top_k: int = 10
    mode: SearchMode = "hybrid"
    collections: list[str] | None = None
    where: dict[str, Any] | None = None
    tidy: bool = False

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, top_k: int | None = None
    ) -> list[Document]:
        found: list[Document] = self.library.search(
            query,
            top_k=self.top_k if top_k is None else top_k,
            mode=self.mode,
            collections=self.collections,
            where=self.where,
            tidy=self.tidy,
        )
        return found
