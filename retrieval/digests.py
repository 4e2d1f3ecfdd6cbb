"""What every stored row is sealed with, so that a changed byte or a swapped row is found without anything to compare.

A digest is BLAKE2b over the row's own fields, 16 bytes; a vector's also covers its passage and the model that made it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

DIGEST_BYTES = 16

DOCUMENT_FIELDS = (
    "document_id", "collection", "source", "name", "path", "status", "message", "sha256", "bytes", "stamp", "pages",
    "chunks", "first_chunk", "last_chunk", "added", "generation", "metadata", "facts",
)  # fmt: skip
"""Columns of `documents` that its digest covers, in this order."""


def _digest(*parts: bytes) -> bytes:
    made = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        made.update(part)
    return made.digest()


def _fields(values: Sequence[Any]) -> bytes:
    return json.dumps(values, default=repr).encode() + b"\n"


def document_digest(row: Mapping[str, Any]) -> bytes:
    """Of a row of `documents`, by the names of its columns."""
    return _digest(_fields([row[name] for name in DOCUMENT_FIELDS]))


def text_digest(document_id: str, body: str, page_starts: str) -> bytes:
    """Of a document's extracted text with the JSON list of where its pages begin."""
    return _digest(_fields([document_id, page_starts]), _bytes(body))


def chunk_digest(
    document_id: str, ordinal: int, start: int, end: int, page: int | None, position: str | None, text: str
) -> bytes:
    """Of a passage and its place."""
    return _digest(_fields([document_id, ordinal, start, end, page, position]), _bytes(text))


def vector_digest(fingerprint: str, chunk: bytes, value: bytes) -> bytes:
    """Of a vector as stored, the digest of the passage it was made from, and the model that made it."""
    return _digest(chunk, value, fingerprint.encode())


def meta_digest(fingerprint: str, dimension: object, label: str) -> str:
    """Of what is recorded about an embedding model, as hexadecimal text."""
    return _digest(_fields([fingerprint, str(dimension), label])).hex()


def text_sha256(name: str, text: str) -> str:
    """What a text that is no file is known by, as a file is by the hash of its content."""
    return sha256(_bytes(name) + b"\0" + _bytes(text)).hexdigest()


def _bytes(text: object) -> bytes:
    """A damaged row may hold anything where its text was."""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else repr(text).encode()
