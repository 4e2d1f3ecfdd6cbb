"""A LangChain VectorStore over the library: the same documents, passages and vectors, under LangChain's names.

A text added here is a document of the library, named by its id; files that were ingested are found here too.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from retrieval.errors import document_error
from retrieval.records import DEFAULT_COLLECTION, TextDocument
from retrieval.sources import printable
from retrieval.stored import Passage
from retrieval.where import Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from retrieval.library import Library

_TEXT_SOURCE = "text:"
_SLICE = 500


class LibraryVectorStore(VectorStore):
    """One collection of a library; scores are cosines, higher is better.

    A text longer than a passage is cut into passages, each found on its own under the text's id. What comes back for
    a text holds exactly the metadata it was added with; for a file it holds the passage's place as well.
    """

    def __init__(self, library: Library, collection: str = DEFAULT_COLLECTION) -> None:
        self.library = library
        self.collection = collection

    @property
    def embeddings(self) -> Embeddings:
        """The embedding model that the library was opened with."""
        return self.library.embeddings

    @classmethod
    def from_texts(
        cls, texts: list[str], embedding: Embeddings, metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> LibraryVectorStore:
        """A library in the folder `path` with these texts in it.

        Args:
            kwargs: `path` (required), `collection` and `ids`.
        """
        from retrieval.library import Library

        store = cls(Library.open(kwargs["path"], embedding), kwargs.get("collection", DEFAULT_COLLECTION))
        store.add_texts(texts, metadatas, ids=kwargs.get("ids"))
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts and give their ids; a text under an id that is there takes its place.

        Raises:
            ValueError: not as many metadatas or ids as texts.
            DocumentError: a text is empty; the others are added.
        """
        given = list(texts)
        names = [printable(name) if name else uuid.uuid4().hex for name in ids or [None] * len(given)]
        if len(names) != len(given) or (metadatas is not None and len(metadatas) != len(given)):
            raise ValueError(f"{len(given)} texts, {len(metadatas or given)} metadatas and {len(names)} ids were given")
        facts = metadatas or [{} for _ in given]
        items = [TextDocument(*item) for item in zip(names, given, facts, strict=True)]
        report = self.library.add_texts(items, collection=self.collection)
        for failure in report.failed:
            raise document_error(failure.code, failure.document, failure.message.removeprefix(failure.document).strip())
        return names

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Take texts out by id, or everything in the collection; ids that are not there are no error."""
        if ids is None:
            records = self.library.documents([self.collection])
            self.library.remove([record.document_id for record in records])
        else:
            self.library.remove([row[0] for row in self._rows("document_id", ids)])
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The whole texts with these ids, in the order of the ids; those that are not there are left out."""
        rows = self._rows("name, document_id, metadata", ids)
        found = {
            name: Document(id=name, page_content=self.library.text(document_id), metadata=json.loads(metadata))
            for name, document_id, metadata in rows
        }
        return [found[name] for name in map(printable, ids) if name in found]

    def _rows(self, columns: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        sources = [_TEXT_SOURCE + printable(name) for name in ids]
        query = f"SELECT {columns} FROM documents WHERE status = 'ready' AND collection = ? AND source IN"
        return self._sliced(query, (self.collection,), sources)

    def _sliced(self, query: str, values: Sequence[str], among: Sequence[str]) -> list[tuple[Any, ...]]:
        """Rows of a query that ends in IN, a slice of its list at a time, as databases limit the values of one."""
        found: list[tuple[Any, ...]] = []
        for at in range(0, len(among), _SLICE):
            part = among[at : at + _SLICE]
            found += self.library.rows(f"{query} ({','.join('?' * len(part))})", (*values, *part))
        return found

    # Search ---------------------------------------------------------------------------------------------------------

    def similarity_search(
        self, query: str, k: int = 4, *, filter: Where | None = None, **kwargs: Any
    ) -> list[Document]:
        """The passages nearest to a query, nearest first; `filter` as `where` of `Library.search`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Where | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """(passage, cosine) of the nearest passages, nearest first."""
        return self._documents(self.library.nearest(query, k, [self.collection], filter))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Where | None = None, **kwargs: Any
    ) -> list[Document]:
        """The passages nearest to a vector of the library's embedding model."""
        found = self.library.nearest(embedding, k, [self.collection], filter)
        return [document for document, _ in self._documents(found)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Where | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Passages near to a query and far from each other: `lambda_mult` 1 for near alone, 0 for far alone."""
        return self.max_marginal_relevance_search_by_vector(
            self.embeddings.embed_query(query), k, fetch_k, lambda_mult, filter=filter
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Where | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The same for a vector of the library's embedding model."""
        found = self.library.nearest(embedding, fetch_k, [self.collection], filter)
        vectors = [passage.vector.tolist() for passage, _ in found]
        chosen = maximal_marginal_relevance(np.asarray(embedding, np.float32), vectors, lambda_mult, k) if found else []
        return [document for document, _ in self._documents([found[at] for at in chosen])]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: min(1.0, max(0.0, cosine))

    def _documents(self, found: Sequence[tuple[Passage, float]]) -> list[tuple[Document, float]]:
        ids = list(dict.fromkeys(passage.document_id for passage, _ in found))
        rows = self._sliced("SELECT document_id, source, metadata FROM documents WHERE document_id IN", (), ids)
        known = {document_id: (source, json.loads(metadata)) for document_id, source, metadata in rows}
        return [(_document(passage, *known[passage.document_id]), cosine) for passage, cosine in found]


def _document(passage: Passage, source: str, metadata: dict[str, Any]) -> Document:
    """A passage under its text's id, or with its place in a file."""
    if source.startswith(_TEXT_SOURCE):
        return Document(id=passage.document, page_content=passage.text, metadata=metadata)
    place = {key: value for key, value in vars(passage).items() if key not in ("text", "vector")}
    return Document(id=str(passage.chunk_id), page_content=passage.text, metadata={**metadata, **place})
