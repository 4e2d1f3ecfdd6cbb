"""A library as a file for elsewhere: a ZIP with plain JSON and a NumPy array, and nothing that could run.

`manifest.json` says format, version, counts and the embedding model; `documents.jsonl` holds a document a line with its
text and where its chunks begin and end; `vectors.npy` holds their vectors as float16, in the same order. The same
library always gives the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from retrieval.embedder import Identity
from retrieval.errors import BadExport, LibraryError
from retrieval.schema import connect_file, translated
from retrieval.snapshot import StoredDocument, back_up, model_of, replacing, stored_documents
from retrieval.splitters import Chunk
from retrieval.stored import STORED_DTYPE
from retrieval.writer import NewDocument

FORMAT, VERSION = "hearth-library", 1
_MANIFEST, _DOCUMENTS, _VECTORS = "manifest.json", "documents.jsonl", "vectors.npy"
_LONGEST_LINE = 1 << 30
_FIELDS: dict[str, tuple[type, ...]] = {
    "document_id": (str,), "collection": (str,), "source": (str,), "name": (str,), "path": (str, type(None)),
    "sha256": (str,), "bytes": (int,), "status": (str,), "message": (str, type(None)), "text": (str,),
    "page_starts": (list,), "chunks": (list,), "metadata": (dict,), "facts": (dict,), "added": (str,),
}  # fmt: skip


def write_export(folder: Path, target: Path, collections: Sequence[str] | None) -> dict[str, Any]:
    """Write the library, or some collections of it, to `target`: `{file, documents, chunks, bytes}`.

    Raises:
        NotReplaced: there is a file at `target` that Hearth did not write.
    """
    copy = target.with_name(f".{target.name}.copy")
    try:
        with replacing(target) as draft:
            back_up(folder, copy)
            with translated(folder), contextlib.closing(connect_file(copy)) as db:
                counts = _write(db, draft, collections)
    finally:
        copy.unlink(missing_ok=True)
    return {"file": str(target), **counts, "bytes": target.stat().st_size}


def _write(db: sqlite3.Connection, draft: Path, collections: Sequence[str] | None) -> dict[str, int]:
    model = model_of(db)
    counts = {"documents": 0, "chunks": 0}
    for document in stored_documents(db, collections):
        counts["documents"] += 1
        counts["chunks"] += len(document.new.chunks)
    manifest = {"format": FORMAT, "version": VERSION, "model": asdict(model) if model else None, **counts}
    with zipfile.ZipFile(draft, "w", allowZip64=True) as archive:
        archive.writestr(_member(_MANIFEST), _json(manifest))
        with archive.open(_member(_DOCUMENTS), "w", force_zip64=True) as lines:
            for document in stored_documents(db, collections):
                lines.write(_json(_row(document.new)) + b"\n")
        with archive.open(_member(_VECTORS, zipfile.ZIP_STORED), "w", force_zip64=True) as array:
            _write_head(array, (counts["chunks"], model.dimension if model else 0))
            for document in stored_documents(db, collections):
                array.write(document.vectors.astype(STORED_DTYPE).tobytes())
    return counts


def _member(name: str, kind: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """An entry without a date of its own, so that the same library gives the same bytes."""
    member = zipfile.ZipInfo(name)
    member.compress_type = kind
    member.external_attr = 0o600 << 16
    return member


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _row(new: NewDocument) -> dict[str, Any]:
    row = {name: getattr(new, name) for name in _FIELDS}
    row["chunks"] = [[chunk.start, chunk.end, chunk.page, chunk.position] for chunk in new.chunks]
    row["page_starts"] = list(new.page_starts)
    return {**row, "metadata": json.loads(new.metadata or "{}"), "facts": json.loads(new.facts)}


def _write_head(array: IO[bytes], shape: tuple[int, int]) -> None:
    head = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(np.dtype(STORED_DTYPE)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, facts)
    array.write(head.getvalue())


# Reading ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened_export(path: Path) -> Iterator[tuple[Identity | None, Iterator[StoredDocument]]]:
    """The embedding model and the documents of an export, or of a backup.

    Raises:
        BadExport: it is neither, is damaged, or was written by a later version; also while the documents are read.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                model, chunks = _read_manifest(archive)
                yield model, _read(archive, model, chunks)
        else:
            with contextlib.closing(_opened_backup(path)) as db:
                yield model_of(db), stored_documents(db, None)
    except (zipfile.BadZipFile, EOFError, OSError, sqlite3.Error) as error:
        raise BadExport(path.name, "it is damaged or no export") from error


def _opened_backup(path: Path) -> sqlite3.Connection:
    try:
        with translated(path.parent):
            return connect_file(path)
    except LibraryError as error:
        raise BadExport(path.name, "it is damaged, no export, or of another version") from error


def _read_manifest(archive: zipfile.ZipFile) -> tuple[Identity | None, int]:
    name = Path(archive.filename or "").name
    try:
        manifest = json.loads(archive.read(_MANIFEST))
        if manifest["format"] != FORMAT:
            raise BadExport(name, "it is no export of Hearth")
        if manifest["version"] != VERSION:
            raise BadExport(name, f"it has version {manifest['version']}, and this Hearth knows {VERSION}")
        model = manifest["model"]
        if model is None:
            return None, int(manifest["chunks"])
        identity = Identity(str(model["fingerprint"]), int(model["dimension"]), str(model["label"]))
        return identity, int(manifest["chunks"])
    except (KeyError, ValueError, TypeError) as error:
        raise BadExport(name, "its manifest cannot be read") from error


def _read(archive: zipfile.ZipFile, model: Identity | None, chunks: int) -> Iterator[StoredDocument]:
    name = Path(archive.filename or "").name
    dimension = model.dimension if model else 0
    missing = {_DOCUMENTS, _VECTORS} - set(archive.namelist())
    if missing:
        raise BadExport(name, f"{' and '.join(sorted(missing))} are missing in it")
    with archive.open(_DOCUMENTS) as lines, archive.open(_VECTORS) as array:
        _check_head(name, array, (chunks, dimension))
        number = 0
        while line := lines.readline(_LONGEST_LINE):
            number += 1
            new = _document(name, number, line)
            size = len(new.chunks) * dimension * np.dtype(STORED_DTYPE).itemsize
            data = array.read(size)
            vectors = np.frombuffer(data, STORED_DTYPE).astype(np.float32)
            if len(data) != size or not np.isfinite(vectors).all():
                raise BadExport(name, f"the vectors of document {number} are damaged")
            yield StoredDocument(new, vectors.reshape(len(new.chunks), dimension))


def _check_head(name: str, array: IO[bytes], shape: tuple[int, int]) -> None:
    try:
        np.lib.format.read_magic(array)
        found, fortran_order, dtype = np.lib.format.read_array_header_1_0(array)
    except ValueError as error:
        raise BadExport(name, "its vectors cannot be read") from error
    if found != shape or fortran_order or dtype != STORED_DTYPE:
        raise BadExport(name, f"its vectors have shape {found}, and {shape} was expected")


def _document(name: str, number: int, line: bytes) -> NewDocument:
    """One line as a document, each of its fields looked at."""
    try:
        row = json.loads(line)
        wrong = [field for field, kinds in _FIELDS.items() if not isinstance(row[field], kinds)]
        if wrong:
            raise BadExport(name, f"line {number} has a wrong {wrong[0]}")
        text = row["text"]
        chunks = [_chunk(text, *chunk) for chunk in row.pop("chunks")]
        starts = [int(start) for start in row.pop("page_starts")]
        fields = {key: row[key] for key in _FIELDS if key in row}
        for key in ("metadata", "facts"):
            fields[key] = json.dumps(fields[key], ensure_ascii=False, sort_keys=True)
        return NewDocument(**fields, stamp="", page_starts=starts, chunks=chunks)
    except (KeyError, ValueError, TypeError) as error:
        raise BadExport(name, f"line {number} is damaged") from error


def _chunk(text: str, start: int, end: int, page: int | None, position: str | None) -> Chunk:
    if not 0 <= start <= end <= len(text):
        raise ValueError("a chunk outside its text")
    return Chunk(int(start), int(end), text[start:end], None if page is None else int(page), position)
