"""Load, split, embed, store: what is unchanged is skipped, and what was acknowledged stays whatever happens next.

Children parse and threads split ahead while this one embeds in large batches across documents; a document is then one
short transaction, so searching and other writers go on meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.digests import text_sha256
from retrieval.embedder import Embedder
from retrieval.errors import DocumentError, EmptyFile, NotRegularFile, UnsupportedType
from retrieval.formats import Extracted
from retrieval.formats.text import clean
from retrieval.loaders import Limits
from retrieval.reading import FileReader, Prepared
from retrieval.recognition import MediaModels
from retrieval.records import (
    IngestNote,
    IngestProgress,
    IngestReport,
    IngestStopped,
    TextDocument,
    metadata_json,
)
from retrieval.sources import SourceFile, list_files, printable
from retrieval.splitters import Chunk, Splitter
from retrieval.stored import Known, LibraryStore
from retrieval.writer import NewDocument, Written

EMBED_BATCH = 512
"""Chunks embedded in one call, sorted by length: padding costs little, and a stopped run loses little."""
_SAFE_TOKENS = 2
"""Room for the tokens that a model puts around a text."""
_TEXT_SOURCE = "text:"
_LISTED = frozenset(
    (
        "empty_file",
        "no_text",
        "encrypted",
        "corrupt",
        "timeout",
        "too_complex",
        "too_large",
        "type_mismatch",
        "expands_too_much",
        "unsafe_xml",
    )
)
"""Reasons that lie in the document: it is then listed as unusable. The others may be gone on the next try."""


def splitter_for(embedder: Embedder, limits: Limits) -> Splitter:
    """Cuts texts as the limits say, but never into more than the embedding model reads."""
    tokens = min(limits.chunk_tokens, embedder.max_tokens - _SAFE_TOKENS)
    return Splitter(embedder.token_spans, tokens, min(limits.overlap_tokens, tokens // 4), limits.most_chunks)


def known_by_source(store: LibraryStore, collection: str) -> dict[str, Known]:
    """Every document of a collection by where it came from."""
    return {known.source: known for known in store.known(collection)}


class Ingest:
    """One run into one collection; use it once."""

    def __init__(
        self,
        store: LibraryStore,
        embedder: Embedder,
        limits: Limits,
        collection: str,
        on_progress: Callable[[IngestProgress], None] | None,
        when_done: Callable[[], None],
        models: MediaModels | None = None,
        metadata: Mapping[str, Any] | None = None,
        known: Mapping[str, Known] | None = None,
    ) -> None:
        """`known` is what the collection holds, by source, where that was looked up already."""
        self._store = store
        self._embedder = embedder
        self._limits = limits
        self._collection = collection
        self._on_progress = on_progress
        self._when_done = when_done
        self._models = models or MediaModels()
        self._metadata = metadata_json(metadata)
        self._splitter = splitter_for(embedder, limits)
        self._report = IngestReport()
        self._began = time.monotonic()
        self._known = known_by_source(store, collection) if known is None else known
        self._waiting: list[NewDocument] = []
        self._waiting_chunks = self._done = self._total = self._embedded = self._begun = 0
        self._storer = ThreadPoolExecutor(1, "hearth-store")
        self._storing: Future[list[tuple[NewDocument, Written]]] | None = None

    def files(self, paths: Sequence[str | Path], names: Mapping[Path, str]) -> IngestReport:
        """Bring in files and folders; see `Library.add`."""
        listing = list_files(paths, names)
        for error, asked in listing.problems:
            self._fail(error, asked)
        gone = {known.source: known for known in self._known.values() if listing.vanished(known.source)}
        self._total = len(listing.files)
        self._bring(listing.files, gone)
        if not self._report.stopped:
            self._remove(list(gone.values()))
        return self._finished()

    def _bring(self, files: Sequence[SourceFile], gone: dict[str, Known]) -> None:
        """Read, embed and store files; a document of `gone` whose content turns up is taken out of there and moved."""
        reader = FileReader(self._collection, self._known, self._limits, self._models, self._splitter)
        with self._storer:
            with contextlib.closing(reader.prepared(files)) as read:
                for prepared in read:
                    self._take(prepared, gone)
                    if self._report.stopped:
                        break
            self._end_storing()

    def texts(self, items: Iterable[TextDocument]) -> IngestReport:
        """Bring in texts that are no files; see `Library.add_texts`."""
        given = list(items)
        self._total = len(given)
        with self._storer:
            for item in given:
                metadata = self._metadata if item.metadata is None else metadata_json(item.metadata)
                self._take_text(printable(item.name), clean(item.text), metadata)
                if self._report.stopped:
                    break
            self._end_storing()
        return self._finished()

    def _end_storing(self) -> None:
        """Store what is still waiting, unless the ingest was stopped, and wait for it."""
        if not self._report.stopped:
            self._flush()
        self._settle()

    def _take_text(self, name: str, text: str, metadata: str | None) -> None:
        sha256 = text_sha256(name, text)
        source = _TEXT_SOURCE + name
        new = NewDocument(self._collection, source, name, None, sha256, len(text.encode()), sha256, metadata=metadata)
        known = self._known.get(source)
        if known is not None and known.status == "ready" and known.sha256 == sha256:
            if metadata not in (None, known.metadata):
                self._move(known, new, quietly=True)
            self._unchanged(known.document_id, name, source)
        elif not text.strip():
            self._fail(EmptyFile(name, "is empty."), asked=True, new=new)
            self._step(name)
        else:
            extracted = Extracted(text)
            self._wait(new, extracted, self._splitter.split_extracted(extracted))

    # One document after another, in this thread ----------------------------------------------------------------------

    def _take(self, prepared: Prepared, gone: dict[str, Known]) -> None:
        new, known, copy = replace(prepared.new, metadata=self._metadata), prepared.known, prepared.copy_of
        if prepared.error is not None:
            self._fail(prepared.error, prepared.file.asked, new)
            self._step(new.name)
        elif prepared.extracted is not None:
            self._wait(new, prepared.extracted, prepared.chunks)
        elif copy is not None and copy.source in gone:
            self._move(gone.pop(copy.source), new)
        elif copy is not None:
            self._duplicate(copy.document_id, copy.name, new)
        elif known is not None:
            if (known.stamp, known.name) != (new.stamp, new.name) or new.metadata not in (None, known.metadata):
                self._move(known, new, quietly=True)
            self._unchanged(known.document_id, new.name, new.source)

    def _wait(self, new: NewDocument, extracted: Extracted, chunks: Sequence[Chunk]) -> None:
        """Let a document wait for its batch."""
        if not self._waiting:
            self._check_model()
        if left := self._splitter.left_out(chunks, extracted):
            extracted.warnings.append(("partial", left))
        for code, found in extracted.warnings:
            self._report.warnings.append(IngestNote(new.name, code, f"{new.name} {found}"))
        facts = json.dumps(extracted.described(), ensure_ascii=False)
        text, starts = extracted.text, extracted.page_starts
        self._waiting.append(replace(new, text=text, page_starts=starts, chunks=chunks, facts=facts))
        self._waiting_chunks += len(chunks)
        if self._waiting_chunks >= EMBED_BATCH:
            self._flush()

    def _check_model(self) -> None:
        """Stop before the slow part if the vectors could not be stored."""
        if not self._store.check_embedder(self._embedder.identity):
            with self._store.writing():
                pass  # makes the library, or says at once why it cannot be made

    def _flush(self) -> None:
        """Embed what waits and hand it to the storing thread, which waits for the disk while more is embedded."""
        waiting = self._waiting
        if not waiting:
            return
        vectors = self._embed([chunk.text for document in waiting for chunk in document.chunks])
        self._waiting, self._waiting_chunks = [], 0
        self._begun += len(waiting)
        self._settle()
        if not self._report.stopped:
            self._storing = self._storer.submit(self._write, waiting, vectors)

    def _write(self, waiting: list[NewDocument], vectors: NDArray[np.float32]) -> list[tuple[NewDocument, Written]]:
        ends = np.cumsum([len(new.chunks) for new in waiting])
        written = self._put(list(zip(waiting, np.split(vectors, ends[:-1]), strict=True)))
        return list(zip(waiting, written, strict=True))

    def _put(self, pairs: Sequence[tuple[NewDocument, NDArray[np.float32]]]) -> list[Written]:
        """Store a batch in one transaction: of many small documents, each alone would wait for the disk."""
        with self._store.writing() as writer:
            return writer.put(pairs, self._embedder.identity)

    def _settle(self) -> None:
        """Wait until the batch before is stored, and only then report its documents."""
        storing, self._storing = self._storing, None
        if storing is None:
            return
        for new, written in storing.result():
            self._begun -= 1
            self._record(new, written)
        self._tell(None)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit vectors in the order of the texts, the work done longest first; after a stop some are missing."""
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        vectors = np.empty((len(texts), self._embedder.dimension), np.float32)
        for begin in range(0, len(order), EMBED_BATCH):
            part = order[begin : begin + EMBED_BATCH]
            vectors[part] = self._embedder.embed([texts[at] for at in part], self._store.name)
            self._embedded += len(part)
            self._tell(None, (begin + len(part)) / len(order))
            if self._report.stopped:
                break
        return vectors

    # The report -----------------------------------------------------------------------------------------------------

    def _record(self, new: NewDocument, written: Written) -> None:
        if written.outcome == "duplicate":
            self._duplicate(written.document_id, written.name, new)
            return
        if written.outcome == "unchanged":
            self._unchanged(written.document_id, new.name, new.source)
            return
        (self._report.added if written.outcome == "added" else self._report.changed).append(new.name)
        self._report.chunks += len(new.chunks)
        self._report.document_ids[new.source] = written.document_id
        self._step(new.name)

    def _unchanged(self, document_id: str, name: str, source: str) -> None:
        self._report.unchanged += 1
        self._report.document_ids[source] = document_id
        self._step(name)

    def _duplicate(self, document_id: str, name: str, new: NewDocument) -> None:
        message = f"{new.name} has the same content as {name}, which is already there; it was not added again."
        self._report.warnings.append(IngestNote(new.name, "duplicate", message))
        self._unchanged(document_id, new.name, new.source)

    def _move(self, known: Known, new: NewDocument, quietly: bool = False) -> None:
        """The same content under another path, name or time stamp."""
        with self._store.writing() as writer:
            writer.rename(known.document_id, new)
        if not quietly:
            self._report.moved.append(new.name)
            self._report.document_ids[new.source] = known.document_id
            self._step(new.name)

    def _fail(self, error: DocumentError, asked: bool, new: NewDocument | None = None) -> None:
        """Name a document that cannot be used; things in a folder that are no documents are only a warning."""
        passed_over = not asked and isinstance(error, NotRegularFile | UnsupportedType)
        notes = self._report.warnings if passed_over else self._report.failed
        notes.append(IngestNote(error.document, error.code, str(error)))
        if new is not None and error.code in _LISTED:
            with self._store.writing() as writer:
                writer.put_unusable(replace(new, status=error.code, message=str(error)))

    def _remove(self, gone: Sequence[Known]) -> None:
        if not gone:
            return
        with self._store.writing() as writer:
            removed = set(writer.remove(known.document_id for known in gone))
        self._report.removed += [known.name for known in gone if known.document_id in removed]

    def _step(self, name: str) -> None:
        self._done += 1
        self._tell(name)

    def _tell(self, name: str | None, embedded: float = 0.0) -> None:
        """Report progress; `embedded` is the share of the waiting documents' passages that have their vectors."""
        if self._on_progress is not None:
            seconds = time.monotonic() - self._began
            begun = embedded * len(self._waiting) + self._begun
            try:
                self._on_progress(IngestProgress(self._done, self._total, self._embedded, seconds, name, begun))
            except IngestStopped:
                self._report.stopped = True

    def _finished(self) -> IngestReport:
        kind = self._store.network_file_system()
        if kind is not None:
            message = f"The library lies on a network file system ({kind}): use it from one machine at a time."
            self._report.warnings.append(IngestNote("library", "network_folder", message))
        self._when_done()
        self._report.seconds = round(time.monotonic() - self._began, 3)
        return self._report
