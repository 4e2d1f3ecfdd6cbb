"""The library: what the rest of the house sees of documents and of search over them.

A facade: the truth is in `store` and `writer`, the work in `ingest` and `retriever`; every method is safe to call from
several threads, and several processes may hold the same library open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from retrieval.cluster.spread import Spreadable
from retrieval.embedder import Embedder
from retrieval.errors import NotFound
from retrieval.ingest import Ingest
from retrieval.loaders import Limits
from retrieval.recognition import MediaModels
from retrieval.records import (
    DEFAULT_COLLECTION,
    DocumentRecord,
    IngestProgress,
    IngestReport,
    SearchMode,
    TextDocument,
    searched_collections,
)
from retrieval.retriever import LibraryRetriever, Reranker, SearchEngine
from retrieval.store import Store
from retrieval.stored import LibraryStore, Passage
from retrieval.upkeep import Upkeep

if TYPE_CHECKING:
    from retrieval.user_library import UserLibrary
    from retrieval.vector_store import LibraryVectorStore

OnProgress = Callable[[IngestProgress], None]
POSTGRES_SCHEMES = ("postgresql://", "postgres://")


def opened_store(path: str | Path) -> LibraryStore:
    """The store at a folder or at a server's address; nothing is opened yet."""
    if not str(path).startswith(POSTGRES_SCHEMES):
        return Store(Path(path))
    from retrieval.postgres.store import PostgresStore

    return PostgresStore(str(path))


class Library(Upkeep, Spreadable):
    """Documents and the passages in them, in one folder or on a PostgreSQL server.

    Opening costs nothing and creates nothing: a missing folder is an empty library, made on the first write.
    """

    user: None = None
    """Nobody's in particular; see `for_user`."""

    def __init__(
        self,
        path: str | Path,
        embeddings: Embeddings,
        reranker: Reranker | None = None,
        limits: Limits | None = None,
        models: MediaModels | None = None,
    ) -> None:
        self._models = models or MediaModels()
        self._embedder = Embedder(embeddings)
        self._limits = limits or Limits()
        self._store = opened_store(path)
        self._engine = SearchEngine(self._store, self._embedder, reranker)

    @classmethod
    def open(
        cls,
        path: str | Path,
        embeddings: Embeddings,
        reranker: Reranker | None = None,
        limits: Limits | None = None,
        models: MediaModels | None = None,
    ) -> Library:
        """The library at `path`, its passages embedded by `embeddings` and, if given, reranked by `reranker`.

        `path` is a folder, or the address of a PostgreSQL server, `postgresql://user@host/database`; its password comes
        from the environment (PGPASSWORD) or ~/.pgpass. `models` describe the pictures and write down the recordings
        that are added.
        """
        return cls(path, embeddings, reranker, limits, models)

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and memory; the library may not be used afterwards."""
        self._engine.close()
        self._store.close()

    def for_user(self, user: str, shared: Sequence[str] | None = None) -> UserLibrary:
        """This library as one user sees it: their own collections, and the shared ones (of these, those named).

        Raises:
            BadUser: the name is empty.
        """
        from retrieval.user_library import UserLibrary

        return UserLibrary(self, user, shared)

    # Documents in and out -------------------------------------------------------------------------------------------

    def add(
        self,
        paths: Sequence[str | Path],
        *,
        collection: str = DEFAULT_COLLECTION,
        names: Mapping[Path, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Bring files and folders into a collection: new added, changed replaced, what vanished from a folder removed.

        A document that cannot be used is named in the report with its code and does not stop the others. `names` gives
        the name to show for a file whose own name is a server's id, `metadata` is kept with each document and can be
        searched by; without it a document keeps what it has. `on_progress` may raise `IngestStopped`.

        Raises:
            LibraryError: the library itself cannot be written (locked, read_only, disk_full, index_model_mismatch ...).
        """
        return self._ingest(collection, on_progress, metadata).files(paths, names or {})

    def add_texts(
        self,
        items: Iterable[TextDocument],
        *,
        collection: str = DEFAULT_COLLECTION,
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Bring texts that are no files into a collection, by name: the same name with another text is replaced."""
        return self._ingest(collection, on_progress).texts(items)

    def _ingest(
        self, collection: str, on_progress: OnProgress | None, metadata: Mapping[str, Any] | None = None
    ) -> Ingest:
        warm = self._engine.warm
        return Ingest(self._store, self._embedder, self._limits, collection, on_progress, warm, self._models, metadata)

    def remove(self, documents: Sequence[str], collection: str | None = None) -> list[DocumentRecord]:
        """Take documents out, by id or by name, and return what they were.

        With no collection named, names are looked up in the library's own collections; an id is found everywhere.

        Raises:
            NotFound: a name or id that is not there; nothing is removed then.
        """
        found = [record for wanted in documents for record in self.find(wanted, collection)]
        with self._store.writing() as writer:
            writer.remove(dict.fromkeys(record.document_id for record in found))
        self._engine.warm()
        return found

    def move(self, document_id: str, collection: str) -> DocumentRecord:
        """Put a document into another collection, its id and passages unchanged; how a thread's file is kept.

        If the collection already holds the same content, that copy stays and is returned, and this one is removed.

        Raises:
            NotFound: no such document.
        """
        with self._store.writing() as writer:
            kept = writer.move(document_id, collection)
        if kept is None:
            raise NotFound(document_id, "is not in the library; list the documents to see what is.")
        self._engine.warm()
        return self._store.document(kept) or self._gone(kept)

    # What is there --------------------------------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of all collections that hold a document, those of users and chat threads included."""
        return self._store.collections()

    def documents(self, collections: Sequence[str] | None = None) -> list[DocumentRecord]:
        """The documents of the collections named, or of all that are no user's and no thread's; oldest first."""
        return self._store.documents(searched_collections(collections, self._store.collections()))

    def document(self, document_id: str) -> DocumentRecord:
        """One document by its id.

        Raises:
            NotFound: no such document.
        """
        return self._store.document(document_id) or self._gone(document_id)

    def text(self, document_id: str) -> str:
        """The extracted text that a passage's `start` and `end` point into.

        Raises:
            NotFound: no such document, or one without text.
        """
        text = self._store.text(document_id)
        if text is None:
            self._gone(document_id)
        return text or ""

    def page_of(self, document_id: str, offset: int) -> int | None:
        """The 1-based page that holds a character of the extracted text; None where the format has no pages."""
        return self._store.page_of(document_id, offset)

    def positions(self, document_id: str) -> list[tuple[int, str]]:
        """The headings, slides or rows that a document's passages stand under: (first character, position), in order.

        Raises:
            NotFound: no such document.
        """
        self.document(document_id)
        return self._store.positions(document_id)

    def find(self, wanted: str, collection: str | None = None) -> list[DocumentRecord]:
        """The document with this id, or the documents with this name in a collection or the library's own.

        Raises:
            NotFound: there is none.
        """
        by_id = self._store.document(wanted)
        if by_id is not None and collection in (None, by_id.collection):
            return [by_id]
        scope = None if collection is None else [collection]
        named = [record for record in self.documents(scope) if record.document == wanted]
        if not named:
            self._gone(wanted)
        return named

    @staticmethod
    def _gone(wanted: str) -> DocumentRecord:
        raise NotFound(wanted, "is not in the library; list the documents to see what is.")

    # Search ---------------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        top_k: int = 10,
        mode: SearchMode = "hybrid",
        collections: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        tidy: bool = False,
        rerank: bool = True,
    ) -> list[Document]:
        """The passages that fit a query best, best first.

        `where` limits the search to passages of which all of this is true: document, document_id, collection, path,
        page, position, a name of the person's metadata or of what the file says of itself, each equal to a value or
        one of a list, or {"$ne", "$gt", "$gte", "$lt", "$lte", "$nin", "$contains"}; joined by "$and", "$or", "$not".
        With `tidy`, others stand in for copies of a better passage, and of the `top_k` those that follow each other in
        a document become one, whose `parts` tell start, end, page and position of each; so there may be fewer.
        The library's reranker, if it has one, reads the first 20 passages, and its score counts beside the search's
        own; not with `rerank` False.

        Metadata of each: chunk_id, document, document_id, collection, page, position, start, end, score (the mode's:
        cosine, BM25, or half of each; where a reranker read the passage, two thirds of that, BM25 as a share of the
        best, and one third of the reranker's; higher is better), dense_score (cosine, always), sparse_score and
        sparse_coverage (share of the query's weighted words found in the passage), dense_rank, sparse_rank and
        rerank_rank (1-based, None where a stage missed it), fused_rank, rerank_score.

        Raises:
            IndexModelMismatch: the passages were embedded by another model.
            BadFilter: `where` has a form that is not known.
        """
        return self._engine.search(query, top_k, mode, collections, where, tidy, rerank)

    @property
    def reranks(self) -> bool:
        """Whether the library was opened with a reranker."""
        return self._engine.reranks

    def explain(
        self,
        query: str,
        *,
        top_k: int = 10,
        mode: SearchMode = "hybrid",
        collections: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Where each passage stood at every stage: ranks and scores, with the passage's place and text."""
        return self._engine.explain(query, top_k, mode, collections, where)

    def nearest(
        self,
        wanted: str | Sequence[float],
        top_k: int,
        collections: Sequence[str],
        where: Mapping[str, Any] | None = None,
    ) -> list[tuple[Passage, float]]:
        """(passage, cosine) of the passages nearest to a query, or to a vector of the embedding model, nearest first.

        Raises:
            IndexModelMismatch: the passages were embedded by another model.
            BadEmbedding: the vector has another length, or is not finite.
        """
        return self._engine.nearest(wanted, top_k, collections, where)

    @property
    def embeddings(self) -> Embeddings:
        """The embedding model that the library was opened with."""
        return self._embedder.guest

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query over the library's own tables, read-only; none while there is no library yet."""
        return self._store.rows(query, values)

    def as_vector_store(self, collection: str = DEFAULT_COLLECTION) -> LibraryVectorStore:
        """A LangChain VectorStore over one collection of this library."""
        from retrieval.vector_store import LibraryVectorStore

        return LibraryVectorStore(self, collection)

    def as_retriever(self, **search: Any) -> LibraryRetriever:
        """A LangChain retriever over this library; takes `search`'s top_k, mode, collections, where and tidy."""
        return LibraryRetriever(library=self, **search)
