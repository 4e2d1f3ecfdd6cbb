"""Mending what a check found, from the most trustworthy thing that is left: the seals, the text, the original file.

Nothing is guessed: a mended row must fit the digest it was sealed with, or be made anew from content that does. What
cannot be mended so stays as it is and is named again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval import repair_rows as rows
from retrieval.cache_check import cache_problems, drop_caches
from retrieval.digests import text_digest, text_sha256, vector_digest
from retrieval.embedder import Embedder
from retrieval.errors import DocumentError
from retrieval.formats import Extracted
from retrieval.history import begin_history
from retrieval.ingest import splitter_for
from retrieval.loaders import Limits, load, opened
from retrieval.recognition import DocumentReader, MediaModels
from retrieval.sources import SourceFile
from retrieval.store import Store
from retrieval.verify import Finding, Findings, decoded, doubtful, verify_document, verify_folder
from retrieval.writer import NewDocument, Writer, vector_rows

_ROUNDS = 4
"""Mending a text can bring chunks to light that need mending too."""


def checked(store: Store, embedder: Embedder, limits: Limits, models: MediaModels, repair: bool) -> dict[str, Any]:
    """What `Library.verify` gives; the caches are checked only where the database is sound."""
    findings, mended = verify_folder(store.folder), list[Finding]()
    if repair and findings.found:
        findings, mended = Repair(store, embedder, limits, models).run(findings)
    problems = [finding.sentence for finding in findings.found]
    repaired = [finding.sentence for finding in mended]
    if not any(finding.kind == "database" for finding in findings.found):
        cache = cache_problems(store)
        if repair and cache:
            drop_caches(store.folder)
            repaired += cache
        else:
            problems += cache
    return {"checked": findings.checked, "problems": problems, "repaired": repaired}


class Repair:
    """One repair of one library; use it once."""

    def __init__(self, store: Store, embedder: Embedder, limits: Limits, models: MediaModels) -> None:
        self._store = store
        self._models = models
        self._embedder = embedder
        self._limits = limits

    def run(self, findings: Findings) -> tuple[Findings, list[Finding]]:
        """(what is still wrong, what was mended) after trying to mend these findings."""
        before = {finding.sentence: finding for finding in findings.found}
        lost = [finding for finding in findings.found if finding.kind == "lost"]
        for _ in range(_ROUNDS):
            if not findings.found:
                break
            if any(finding.kind == "database" for finding in findings.found):
                from retrieval.salvage import salvage

                if not salvage(self._store.folder):
                    break
            else:
                self._mend(findings.found)
            findings = verify_folder(self._store.folder)
            before.update({finding.sentence: finding for finding in findings.found})
            lost += [finding for finding in findings.found if finding.kind == "lost" and finding not in lost]
        left = [*findings.found, *(finding for finding in lost if finding not in findings.found)]
        sentences = {finding.sentence for finding in left}
        mended = [finding for sentence, finding in before.items() if sentence not in sentences]
        return Findings(findings.checked, left), mended

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Writer]:
        with self._store.writing() as writer:
            writer.connection.text_factory = decoded
            yield writer

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with doubtful(self._store.folder) as db:
            return db.execute(query, values).fetchall()

    def _mend(self, found: Sequence[Finding]) -> None:
        kinds = {finding.kind for finding in found}
        with self._writing() as writer:
            if "dangling" in kinds:
                rows.drop_dangling(writer)
            if "model" in kinds:
                self._mend_model(writer)
            if "unfinished" in kinds:
                writer.forget_reembedding()
        for row in dict.fromkeys(finding.row for finding in found if finding.row is not None):
            self._mend_document(row, [finding for finding in found if finding.row == row])
        if kinds & {"history", "lost", "dangling"}:
            with self._writing() as writer, writer.transaction():
                rows.count_on(writer.connection)
                begin_history(writer.connection)

    def _mend_model(self, writer: Writer) -> None:
        """Say again which model made the vectors, if they carry the seal of the one that is configured now."""
        query = "SELECT v.value, v.digest, c.digest FROM vectors v JOIN chunks c ON c.id = v.chunk ORDER BY v.chunk"
        fingerprint = self._embedder.fingerprint
        for value, digest, chunk in writer.connection.execute(query):
            if vector_digest(fingerprint, chunk, value) == digest:
                with writer.transaction():
                    writer.record_embedder(self._embedder.identity)
                return

    def _mend_document(self, row: int, found: Sequence[Finding]) -> None:
        kinds = {finding.kind for finding in found}
        if kinds & {"record", "chunks", "text"}:
            with self._writing() as writer, writer.transaction():
                rows.mend_record(writer.connection, row)
                if "text" in kinds:
                    rows.mend_text(writer.connection, row)
                rows.mend_chunks(writer.connection, row, self._embedder.fingerprint)
            found = verify_document(self._store.folder, row)
            kinds = {finding.kind for finding in found}
        if kinds & {"text", "chunks"}:
            self._read_again(row)
        elif "vectors" in kinds:
            bad = [chunk for finding in found if finding.kind == "vectors" for chunk in finding.chunks]
            self._embed_again(row, bad)

    def _embed_again(self, row: int, chunks: Sequence[int]) -> None:
        if not self._embedder_fits():
            return
        marks = ",".join("?" * len(chunks))
        query = f"SELECT id, text, digest FROM chunks WHERE document = ? AND id IN ({marks}) ORDER BY id"
        stored = self._rows(query, (row, *chunks))
        vectors = self._embedder.embed([text for _, text, _ in stored], str(self._store.folder))
        digests = [digest for *_, digest in stored]
        made = vector_rows([chunk for chunk, *_ in stored], digests, vectors, self._embedder.fingerprint)
        with self._writing() as writer, writer.transaction():
            writer.connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", made)
            # Caches hold the damaged vectors under the same ids.
            begin_history(writer.connection)

    def _embedder_fits(self) -> bool:
        stored = self._store.embedder()
        return stored is None or stored.fingerprint == self._embedder.fingerprint

    def _read_again(self, row: int) -> None:
        """Make a document's text and chunks anew, from its file if that is unchanged, else from its stored text."""
        found = self._rows("SELECT document_id, source, name, path, sha256 FROM documents WHERE id = ?", (row,))
        if not found or not self._embedder_fits():
            return
        document_id, source, name, path, sha256 = found[0]
        extracted = self._from_file(source, name, path, sha256) or self._from_text(row, document_id, name, sha256)
        if extracted is None:
            return
        splitter = splitter_for(self._embedder, self._limits)
        chunks = splitter.split_extracted(extracted)
        new = NewDocument("", source, name, path, sha256, 0, "", text=extracted.text, page_starts=extracted.page_starts)
        vectors = self._embedder.embed([chunk.text for chunk in chunks], str(self._store.folder))
        with self._writing() as writer:
            writer.replace_content(row, replace(new, chunks=chunks), vectors, self._embedder.identity)

    def _from_file(self, source: str, name: str, path: str | None, sha256: str) -> Extracted | None:
        if path is None:
            return None
        original = SourceFile(Path(path), source, name, asked=True)
        try:
            with DocumentReader(1) as reader, opened(original, self._limits) as file:
                return load(file, reader) if file.hash() == sha256 else None
        except DocumentError:
            return None

    def _from_text(self, row: int, document_id: str, name: str, sha256: str) -> Extracted | None:
        """The stored text if it is as it was sealed; its headings are not stored, so its positions are lost."""
        query = "SELECT body, page_starts, digest FROM texts WHERE document = ?"
        for body, starts, digest in self._rows(query, (row,)):
            if text_digest(document_id, body, starts) == digest:
                return Extracted(body, json.loads(starts))
            if text_sha256(name, body) == sha256:  # a text that was no file is known by its own hash
                return Extracted(body)
        return None
