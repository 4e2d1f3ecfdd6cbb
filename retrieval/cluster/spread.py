"""The methods of a library that spread an ingest over a cluster, and those that its workers call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.cluster.errors import NotOnServer
from retrieval.embedder import Embedder
from retrieval.loaders import Limits
from retrieval.recognition import MediaModels
from retrieval.records import DEFAULT_COLLECTION, IngestProgress, IngestReport
from retrieval.retriever import SearchEngine
from retrieval.sources import SourceFile
from retrieval.stored import Known, LibraryStore

if TYPE_CHECKING:
    from retrieval.library import Library


class Spreadable:
    """Methods of `Library`; made by nothing else."""

    _store: LibraryStore
    _embedder: Embedder
    _engine: SearchEngine
    _limits: Limits
    _models: MediaModels

    def check_shared(self) -> None:
        """See that several machines may write to this library at once.

        Raises:
            NotOnServer: it lies in a folder.
        """
        if not self._store.shared:
            raise NotOnServer(self._store.name)

    def add_on_cluster(
        self,
        paths: Sequence[str | Path],
        open_library: Callable[[], Library],
        *,
        workers: int | None = None,
        collection: str = DEFAULT_COLLECTION,
        metadata: Mapping[str, Any] | None = None,
        on_progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        """What `add` does, by the workers of the Ray cluster that this process is connected to.

        Every machine must see the files under the same paths. A document is one transaction and is compared by its
        content in it, so that a worker that died, a second run or another one beside it loses and doubles nothing;
        what a worker had stored before it died counts as unchanged.

        Args:
            paths: Files and folders.
            open_library: Opens this very library in a worker; Ray pickles it to send it there.
            workers: How many; None is one a processor of the cluster.
            collection, metadata, on_progress: As for `add`.

        Raises:
            NotOnServer: the library lies in a folder. WorkerFailed: a worker cannot go on.
            LibraryError: the library itself cannot be written.
        """
        from retrieval.cluster.ingest import Spread
        from retrieval.cluster.worker import Order

        self.check_shared()
        order = Order(open_library, collection, None if metadata is None else dict(metadata))
        parts = (self._store, self._embedder, self._limits, collection, on_progress, self._engine.warm, self._models)
        return Spread(*parts, metadata).over(order, workers).files(paths, {})

    def add_share(
        self,
        files: Sequence[SourceFile],
        known: Mapping[str, Known],
        collection: str,
        metadata: Mapping[str, Any] | None,
    ) -> IngestReport:
        """Bring in listed files, as a worker does; `known` is what the collection held a moment ago."""
        from retrieval.cluster.ingest import Share

        parts = (self._store, self._embedder, self._limits, collection, None, self._engine.warm, self._models)
        return Share(*parts, metadata, known).of(files)

    def known(self, collection: str) -> dict[str, Known]:
        """The documents of a collection by their sources, as an ingest needs them."""
        from retrieval.ingest import known_by_source

        return known_by_source(self._store, collection)
