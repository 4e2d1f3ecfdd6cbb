"""The library: documents in, passages with their place out; one SQLite file is the truth, the indexes are caches.

Names load on first use, so importing the room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.errors import RetrievalError
    from retrieval.evaluation import evaluate_retrieval
    from retrieval.library import Library
    from retrieval.records import DocumentRecord, IngestFailure, IngestProgress, IngestReport, TextDocument
    from retrieval.retriever import LibraryRetriever
    from retrieval.user_library import UserLibrary
    from retrieval.vector_store import LibraryVectorStore

__all__ = [
    "DocumentRecord",
    "IngestFailure",
    "IngestProgress",
    "IngestReport",
    "Library",
    "LibraryRetriever",
    "LibraryVectorStore",
    "RetrievalError",
    "TextDocument",
    "UserLibrary",
    "evaluate_retrieval",
]

_HOMES = {
    "Library": "retrieval.library",
    "LibraryRetriever": "retrieval.retriever",
    "LibraryVectorStore": "retrieval.vector_store",
    "RetrievalError": "retrieval.errors",
    "UserLibrary": "retrieval.user_library",
    "evaluate_retrieval": "retrieval.evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'retrieval' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "retrieval.records")), name)
