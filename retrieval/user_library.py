"""A library as one user sees it: their own collections, which they may change, and the shared ones, which they read.

What belongs to others is not there for them: every method looks only at collections that this user may read, and an
id, a name or a collection of somebody else is "not in the library", as one that never was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from retrieval.errors import NotFound, PermissionDenied
from retrieval.owners import is_own, is_shared, library_of, own_collection
from retrieval.records import DocumentRecord, IngestProgress, IngestReport, SearchMode, TextDocument

if TYPE_CHECKING:
    from retrieval.library import Library
    from retrieval.retriever import LibraryRetriever


class UserLibrary:
    """One user's part of a library; made by `Library.for_user`, and closed with the library.

    A collection's name means the user's own subject of that name and the shared collection, for reading both, for
    writing the first.

    Args:
        library: the whole one.
        user: whose; two different names never share anything.
        shared: the shared collections that this user may read; None is all of them.
    """

    def __init__(self, library: Library, user: str, shared: Sequence[str] | None = None) -> None:
        own_collection(user)
        self._library = library
        self.user = user
        self._shared = None if shared is None else frozenset(shared)

    def may_read(self, collection: str) -> bool:
        """Whether a collection is this user's own, or a shared one that is open to them."""
        open_to_them = is_shared(collection) and (self._shared is None or collection in self._shared)
        return open_to_them or is_own(collection, self.user)

    # Documents in and out -------------------------------------------------------------------------------------------

    def add(
        self,
        paths: Sequence[str | Path],
        *,
        collection: str | None = None,
        names: Mapping[Path, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        """Bring files and folders into a collection of this user's; see `Library.add`."""
        target = own_collection(self.user, collection)
        return self._library.add(paths, collection=target, names=names, metadata=metadata, on_progress=on_progress)

    def add_texts(
        self,
        items: Iterable[TextDocument],
        *,
        collection: str | None = None,
        on_progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        """Bring texts into a collection of this user's; see `Library.add_texts`."""
        target = own_collection(self.user, collection)
        return self._library.add_texts(items, collection=target, on_progress=on_progress)

    def remove(self, documents: Sequence[str], collection: str | None = None) -> list[DocumentRecord]:
        """Take documents of this user's out, by id or by name; see `Library.remove`.

        Raises:
            NotFound: a name or id that is not there for this user; nothing is removed then.
            PermissionDenied: a shared document.
        """
        found = [record for wanted in documents for record in self.find(wanted, collection)]
        for record in found:
            self._check_own(record)
        return self._library.remove([record.document_id for record in found])

    def move(self, document_id: str, collection: str | None = None) -> DocumentRecord:
        """Put a document of this user's into another of their collections; see `Library.move`.

        Raises:
            NotFound: it is not there for this user.
            PermissionDenied: a shared document.
        """
        self._check_own(self.document(document_id))
        return self._library.move(document_id, own_collection(self.user, collection))

    def forget(self) -> int:
        """Take everything of this user's out, the files of their threads too; how many documents there were."""
        own = [name for name in self._library.collections() if is_own(name, self.user)]
        return sum(self._library.remove_collection(name) for name in own)

    def _check_own(self, record: DocumentRecord) -> None:
        if not is_own(record.collection, self.user):
            found = f"is in the shared collection {record.collection}, which only its keeper changes."
            raise PermissionDenied(record.document, found)

    # What is there --------------------------------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of the collections that this user may read and that hold a document, their threads' own included."""
        return [name for name in self._library.collections() if self.may_read(name)]

    def documents(self, collections: Sequence[str] | None = None) -> list[DocumentRecord]:
        """The documents of the named collections, as far as this user may read them; of none, all but threads'."""
        return self._library.documents(self._readable(collections))

    def document(self, document_id: str) -> DocumentRecord:
        """One document by its id.

        Raises:
            NotFound: no such document for this user.
        """
        record = self._library.document(document_id)
        if not self.may_read(record.collection):
            raise _not_there(document_id)
        return record

    def text(self, document_id: str) -> str:
        """The extracted text of a document; see `Library.text`.

        Raises:
            NotFound: no such document for this user, or one without text.
        """
        self.document(document_id)
        return self._library.text(document_id)

    def page_of(self, document_id: str, offset: int) -> int | None:
        """The 1-based page that holds a character; see `Library.page_of`.

        Raises:
            NotFound: no such document for this user.
        """
        self.document(document_id)
        return self._library.page_of(document_id, offset)

    def positions(self, document_id: str) -> list[tuple[int, str]]:
        """What a document's passages stand under; see `Library.positions`.

        Raises:
            NotFound: no such document for this user.
        """
        self.document(document_id)
        return self._library.positions(document_id)

    def find(self, wanted: str, collection: str | None = None) -> list[DocumentRecord]:
        """The document with this id, or those with this name in a collection or anywhere this user may read.

        Raises:
            NotFound: there is none for this user.
        """
        scope = self._readable(None if collection is None else [collection])
        with contextlib.suppress(NotFound):
            record = self.document(wanted)
            if collection is None or record.collection in scope:
                return [record]
        named = [record for record in self._library.documents(scope) if record.document == wanted]
        if not named:
            raise _not_there(wanted)
        return named

    # Search ---------------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        top_k: int = 10,
        mode: SearchMode = "hybrid",
        collections: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> list[Document]:
        """The passages that this user may read and that fit a query best, best first; see `Library.search`."""
        scope = self._readable(collections)
        return self._library.search(query, top_k=top_k, mode=mode, collections=scope, where=where, **options)

    def explain(
        self,
        query: str,
        *,
        top_k: int = 10,
        mode: SearchMode = "hybrid",
        collections: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Where each of this user's passages stood at every stage; see `Library.explain`."""
        scope = self._readable(collections)
        return self._library.explain(query, top_k=top_k, mode=mode, collections=scope, where=where)

    def as_retriever(self, **search: Any) -> LibraryRetriever:
        """A LangChain retriever over what this user may read; takes `search`'s arguments."""
        from retrieval.retriever import LibraryRetriever

        return LibraryRetriever(library=self, **search)

    def _readable(self, collections: Sequence[str] | None) -> list[str]:
        """The collections meant by names, a shared one and this user's own subject; of none named, all but threads'."""
        if collections is not None:
            named = [both for name in collections for both in (name, own_collection(self.user, name))]
            return [name for name in dict.fromkeys(named) if self.may_read(name)]
        known = self._library.collections()
        return [name for name in known if is_shared(name) and self.may_read(name)] + library_of(self.user, known)


def _not_there(wanted: str) -> NotFound:
    return NotFound(wanted, "is not in the library; list the documents to see what is.")
