"""Documents of an export or a backup into a library, with the vectors they came with.

What is there already is not added again; a document of the same place with another content is replaced.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from retrieval.embedder import Identity
from retrieval.errors import BadExport
from retrieval.export import opened_export
from retrieval.records import IngestNote, IngestReport
from retrieval.snapshot import StoredDocument
from retrieval.stored import LibraryStore
from retrieval.writer import Writer, Written

_CHUNKS_AT_ONCE = 2000


def import_file(store: LibraryStore, path: Path, collection: str | None) -> IngestReport:
    """Bring in every document of a file, all of them into `collection` if one is named.

    Raises:
        BadExport: the file is no export or backup, or is damaged; documents before the damage are kept.
        IndexModelMismatch: its vectors are of another model than the library's.
    """
    began = time.monotonic()
    report = IngestReport()
    if not path.is_file():
        raise BadExport(path.name, "there is no such file")
    with opened_export(path) as (model, documents):
        waiting: list[StoredDocument] = []
        for document in documents:
            new = document.new if collection is None else replace(document.new, collection=collection)
            waiting.append(replace(document, new=new))
            if sum(len(held.new.chunks) for held in waiting) >= _CHUNKS_AT_ONCE:
                _store(store, waiting, model, report)
                waiting = []
        _store(store, waiting, model, report)
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _store(store: LibraryStore, documents: list[StoredDocument], model: Identity | None, report: IngestReport) -> None:
    """Write some documents in their order: sound ones that follow each other in one transaction."""
    with store.writing() as writer:
        while documents:
            count = next((at for at, held in enumerate(documents) if held.new.status != "ready"), len(documents))
            ready, documents = documents[:count], documents[count:]
            if ready and model is not None:
                for document, written in zip(ready, _put(writer, ready, model), strict=True):
                    _note(report, document, written)
            if documents:
                writer.put_unusable(documents[0].new)
                report.failed.append(_unusable(documents.pop(0)))


def _put(writer: Writer, ready: list[StoredDocument], model: Identity) -> list[Written]:
    return writer.put([(document.new, document.vectors) for document in ready], model)


def _note(report: IngestReport, document: StoredDocument, written: Written) -> None:
    new = document.new
    report.document_ids[new.source] = written.document_id
    if written.outcome in ("unchanged", "duplicate"):
        report.unchanged += 1
        return
    (report.added if written.outcome == "added" else report.changed).append(new.name)
    report.chunks += len(new.chunks)


def _unusable(document: StoredDocument) -> IngestNote:
    return IngestNote(document.new.name, document.new.status, document.new.message or "holds no text.")
