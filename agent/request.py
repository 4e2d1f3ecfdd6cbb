"""What was asked: the question, where its answer may come from, and the tool; and which documents these words mean.

A person limits a question by names, ids or files of documents; here they become ids, which the search is limited to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from agent import scope
from agent.errors import BadInput
from agent.routing import AUTO
from retrieval import Library, UserLibrary
from retrieval.errors import NotFound
from retrieval.owners import library_of, thread_collection
from retrieval.records import DocumentRecord

AnyLibrary = Library | UserLibrary
"""The whole library, or one user's part of it."""

_ABSENT = "is not among the documents that this question may use; check the spelling, or add the file first."


class Options(TypedDict, total=False):
    """What may be said beside a question; see `Assistant.ask`."""

    thread: str | None
    collection: str | None
    tool: str
    documents: Sequence[str | Path] | None
    strategy: str | None
    over: str
    arguments: Mapping[str, Any] | None
    message: str | None


@dataclass(frozen=True)
class Request:
    """One question; see `Assistant.ask` for what each part means."""

    question: str
    thread: str | None = None
    collection: str | None = None
    tool: str = AUTO
    documents: Sequence[str | Path] | None = None
    strategy: str | None = None
    over: str = scope.AUTO
    arguments: Mapping[str, Any] | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown reach.

        Raises:
            BadInput: `over` is none of those known.
        """
        if self.over not in scope.KNOWN:
            raise BadInput(f"A question is over {', '.join(scope.KNOWN)}, not {self.over!r}.")


def searched(library: AnyLibrary, request: Request, default: str) -> list[str]:
    """The collections that a request's answer may come from: the one named, else the `default`, with a user's own."""
    names = [request.collection or default]
    if library.user is not None and not request.collection:
        names += library_of(library.user, library.collections())
    return [*names, thread_collection(request.thread, library.user)] if request.thread else names


def chosen(records: Sequence[DocumentRecord], wanted: Sequence[str | Path]) -> list[DocumentRecord]:
    """The documents that ids, names or files mean; a name means every document called so.

    Args:
        records: the documents that may be meant.
        wanted: ids, names as shown, or paths of files that were added.

    Raises:
        NotFound: none of the documents is called so.
        BadInput: a document that is listed, but holds no text.
    """
    found: dict[str, DocumentRecord] = {}
    for one in wanted:
        meant = _meant(records, str(one))
        if not meant:
            raise NotFound(str(one), _ABSENT)
        unusable = [record for record in meant if record.status != "ready"]
        if len(unusable) == len(meant):
            raise BadInput(f"{one} cannot be asked about: {unusable[0].message}")
        found.update({record.document_id: record for record in meant if record.status == "ready"})
    return list(found.values())


def _meant(records: Sequence[DocumentRecord], wanted: str) -> list[DocumentRecord]:
    by_id = [record for record in records if record.document_id == wanted]
    path = os.path.realpath(wanted)
    return by_id or [record for record in records if wanted == record.document or path == record.path]
