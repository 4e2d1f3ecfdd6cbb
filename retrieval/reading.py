"""Files read and cut into chunks ahead of the embedding, in threads that wait for the parsing children.

Decides what a file needs before it is parsed: nothing when it is unchanged, nothing when its content is there already.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from retrieval.errors import Changed, DocumentError
from retrieval.formats import Extracted
from retrieval.loaders import Limits, OpenFile, load, opened
from retrieval.recognition import DocumentReader, MediaModels
from retrieval.sources import SourceFile, printable
from retrieval.splitters import Chunk, Splitter
from retrieval.stored import Known
from retrieval.writer import NewDocument

_PARSERS = max(1, min(4, os.cpu_count() or 1))
_AHEAD, _AHEAD_IF_SMALL, _SMALL_BYTES = 16, 128, 8 << 20
"""Files read ahead; more where all of them together are small, so that a batch is ready when its turn comes."""


@dataclass
class Prepared:
    """A file after its worker: `extracted` and its `chunks` if it was read, `error` if that failed, `copy_of` if its
    content is there under another path; with none of these it is unchanged. `new` lacks its text and chunks."""

    file: SourceFile
    new: NewDocument
    known: Known | None = None
    copy_of: Known | None = None
    extracted: Extracted | None = None
    chunks: list[Chunk] = field(default_factory=list)
    error: DocumentError | None = None


class FileReader:
    """Reads files for one collection, knowing what that holds."""

    def __init__(
        self, collection: str, known: Mapping[str, Known], limits: Limits, models: MediaModels, splitter: Splitter
    ) -> None:
        self._collection = collection
        self._splitter = splitter
        self._models = models
        self._known = known
        self._by_content = {held.sha256: held for held in known.values() if held.status == "ready"}
        self._limits = limits

    def prepared(self, files: Sequence[SourceFile]) -> Generator[Prepared]:
        """The files in their order, each read by a worker while earlier ones are embedded."""
        with ThreadPoolExecutor(_PARSERS, "hearth-parse") as workers, DocumentReader(_PARSERS, self._models) as reader:
            ahead: deque[tuple[Future[Prepared], int]] = deque()
            coming, size_bytes = iter(files), 0
            try:
                while True:
                    while len(ahead) < (_AHEAD_IF_SMALL if size_bytes < _SMALL_BYTES else _AHEAD):
                        if (file := next(coming, None)) is None:
                            break
                        ahead.append((workers.submit(self._prepare, file, reader), _size_bytes(file)))
                        size_bytes += ahead[-1][1]
                    if not ahead:
                        return
                    future, size = ahead.popleft()
                    size_bytes -= size
                    yield future.result()
            finally:
                for future, _ in ahead:
                    future.cancel()

    def _prepare(self, file: SourceFile, reader: DocumentReader) -> Prepared:
        try:
            try:
                return self._read(file, reader)
            except Changed:
                return self._read(file, reader)
        except DocumentError as error:
            return Prepared(file, self._new(file), self._known.get(file.source), error=error)

    def _read(self, file: SourceFile, reader: DocumentReader) -> Prepared:
        known = self._known.get(file.source)
        ready = known is not None and known.status == "ready"
        with opened(file, self._limits) as source:
            if known is not None and ready and source.stamp and source.stamp == known.stamp:
                return Prepared(file, self._new(file, source, known.sha256), known)
            new = self._new(file, source, source.hash())
            if known is not None and ready and known.sha256 == new.sha256:
                return Prepared(file, new, known)
            copy_of = None if ready else self._by_content.get(new.sha256)
            if copy_of is not None:
                return Prepared(file, new, known, copy_of)
            try:
                extracted = load(source, reader)
                return Prepared(file, new, known, None, extracted, self._splitter.split_extracted(extracted))
            except Changed:
                raise
            except DocumentError as error:
                return Prepared(file, new, known, error=error)

    def _new(self, file: SourceFile, source: OpenFile | None = None, sha256: str = "") -> NewDocument:
        size, stamp = (source.bytes, source.stamp) if source else (0, "")
        return NewDocument(self._collection, file.source, file.name, printable(str(file.path)), sha256, size, stamp)


def _size_bytes(file: SourceFile) -> int:
    """How large a file is; 0 where that cannot be said, as reading it will say why."""
    try:
        return os.stat(file.path).st_size
    except OSError:
        return 0
