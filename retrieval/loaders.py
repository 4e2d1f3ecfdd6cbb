"""A file on disk into the text that is stored: sized, hashed, parsed in a child, and checked for change meanwhile.

Sizes are looked at before anything is read.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from retrieval.errors import Changed, TooLarge
from retrieval.formats import Extracted
from retrieval.formats.kinds import TEXT_KINDS, kind_by_name
from retrieval.recognition import DocumentReader
from retrieval.sources import SourceFile, changed_while_read, hash_file, open_file, stamp_of

_MIB = 1 << 20
_FRESH_NANOSECONDS = 100_000_000
"""A file written this recently could be written again within one tick of its file system's clock."""


@dataclass(frozen=True)
class Limits:
    """How large a document may be, and how it is cut; `text_bytes` is for files that are text themselves.

    `most_chunks`: a document is stored at once, so its passages and vectors are held in memory until then. 50,000 are
    ten thousand pages, about 120 MB with vectors of 384 numbers, and minutes of embedding.
    """

    text_bytes: int = 64 * _MIB
    binary_bytes: int = 200 * _MIB
    chunk_tokens: int = 200
    overlap_tokens: int = 30
    most_chunks: int = 50_000


@dataclass
class OpenFile:
    """An open file of acceptable size; `stamp` is "" when the file is too fresh for its times to be trusted."""

    file: SourceFile
    descriptor: int
    bytes: int
    stamp: str
    sha256: str = ""

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def hash(self) -> str:
        """SHA-256 of the content, kept in `sha256`."""
        self.sha256 = hash_file(self.descriptor, self.file.name)
        return self.sha256


def opened(file: SourceFile, limits: Limits) -> OpenFile:
    """Open a file, without reading it.

    Raises:
        DocumentError: it cannot be opened or is too large.
    """
    descriptor = open_file(file)
    status = os.fstat(descriptor)
    is_text = kind_by_name(file.name) in (*TEXT_KINDS, None)
    limit = limits.text_bytes if is_text else limits.binary_bytes
    if status.st_size > limit:
        os.close(descriptor)
        found = f"has {status.st_size / _MIB:.0f} MiB; the limit is {limit / _MIB:g} MiB, so split it into parts."
        raise TooLarge(file.name, found)
    fresh = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _FRESH_NANOSECONDS
    return OpenFile(file, descriptor, status.st_size, "" if fresh else stamp_of(status))


def load(opened_file: OpenFile, reader: DocumentReader) -> Extracted:
    """The text of a hashed file as it was when it was hashed.

    Raises:
        DocumentError: the document cannot be used, or changed while it was read.
    """
    name = opened_file.file.name
    extracted = reader.read(opened_file.descriptor, name)
    if changed_while_read(opened_file.descriptor, opened_file.stamp, opened_file.sha256, name):
        raise Changed(name, "changed while it was being read; add it again when nothing writes to it.")
    return extracted
