"""What keeps a library in order over the years: checks, repairs, new embedding models, copies, collections.

The part of `Library` that a person needs now and then; the work is done in the files that each method names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from retrieval.embedder import Embedder
from retrieval.errors import NotFound
from retrieval.loaders import Limits
from retrieval.recognition import MediaModels
from retrieval.records import CollectionRecord, IngestReport, ReembedProgress, ReembedReport
from retrieval.retriever import SearchEngine
from retrieval.stored import LibraryStore


class Upkeep:
    """Methods of `Library`; made by nothing else."""

    _store: LibraryStore
    _embedder: Embedder
    _engine: SearchEngine
    _limits: Limits
    _models: MediaModels

    def verify(self, repair: bool = False) -> dict[str, Any]:
        """Check every document, chunk, vector and cache; with `repair`, mend what can be mended.

        Returns:
            `checked` (chunks), `problems` (what is wrong and was not mended) and `repaired`, both lists of sentences.
        """
        result = self._store.checked(self._embedder, self._limits, self._models, repair)
        if result["repaired"]:
            self._engine.close()
            self._engine.warm()
        return result

    def reembed(
        self, *, collection: str | None = None, on_progress: Callable[[ReembedProgress], None] | None = None
    ) -> ReembedReport:
        """Make the passages' vectors anew with this library's embedding model, in place of another model's.

        They are made beside the old ones and swapped in at once when all are there; until then a library opened with
        the old model is searched as before. A stopped run is carried on by the next. With a `collection`, only that
        one's are made now, and the swap waits for the others.
        """
        from retrieval.reembed import Reembedding

        report = Reembedding(self._store, self._embedder, collection, on_progress).run()
        self._engine.warm()
        return report

    # Copies ---------------------------------------------------------------------------------------------------------

    def backup(self, target: str | Path) -> dict[str, Any]:
        """Copy the library's file as it is at one moment, while writing goes on: `{file, bytes}`.

        Put in the place of `library.sqlite`, or given to `import_file`, the copy is the library again.

        Raises:
            NotReplaced: there is a file at `target` that Hearth did not write.
        """
        from retrieval.snapshot import back_up

        return {"file": str(target), "bytes": back_up(self._store.folder, Path(target))}

    def export(self, target: str | Path, *, collections: Sequence[str] | None = None) -> dict[str, Any]:
        """Write the library, or some collections, as a file for elsewhere: `{file, documents, chunks, bytes}`.

        Raises:
            NotReplaced: there is a file at `target` that Hearth did not write.
        """
        from retrieval.export import write_export

        return write_export(self._store.folder, Path(target), collections)

    def import_file(self, source: str | Path, *, collection: str | None = None) -> IngestReport:
        """Bring in the documents of an export or a backup, with their vectors; into one collection if it is named.

        Raises:
            BadExport: the file is neither, or damaged.
            IndexModelMismatch: its vectors are of another model than those that are here.
        """
        from retrieval.importing import import_file

        report = import_file(self._store, Path(source), collection)
        self._engine.warm()
        return report

    # Collections ----------------------------------------------------------------------------------------------------

    def describe_collections(self) -> list[CollectionRecord]:
        """Every collection with what it holds, those of users and chat threads included, by name."""
        query = "SELECT collection, count(*), sum(chunks), sum(bytes) FROM documents GROUP BY collection ORDER BY 1"
        return [CollectionRecord(*row) for row in self._store.rows(query)]

    def rename_collection(self, name: str, new_name: str) -> CollectionRecord:
        """Give a collection another name; if there is one of that name, the two become one, without copies.

        Raises:
            NotFound: no such collection.
        """
        self._check_collection(name)
        with self._store.writing() as writer:
            writer.move_all(name, new_name)
        self._engine.warm()
        return next(record for record in self.describe_collections() if record.collection == new_name)

    def remove_collection(self, name: str) -> int:
        """Take every document of a collection out; how many there were.

        Raises:
            NotFound: no such collection.
        """
        self._check_collection(name)
        with self._store.writing() as writer:
            removed = writer.remove([record.document_id for record in self._store.documents([name])])
        self._engine.warm()
        return len(removed)

    def _check_collection(self, name: str) -> None:
        known = self._store.collections()
        if name not in known:
            raise NotFound(name, f"is no collection; there are: {', '.join(known) or 'none'}.")
