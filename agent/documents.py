"""The whole text of one document with its pages, from a file that is not in the library or from the library itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import BadInput

if TYPE_CHECKING:
    from agent.request import AnyLibrary


@dataclass(frozen=True)
class WholeText:
    """A document's text; `page_starts` holds each page's offset, empty where it has no pages."""

    name: str
    text: str
    page_starts: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def pages_total(self) -> int:
        """Pages of the document; 1 where it has none."""
        return len(self.page_starts) or 1

    @property
    def pages(self) -> list[tuple[int, int]]:
        """Start and end of each page in the text, end exclusive; the whole text where it has no pages."""
        return list(pairwise([*(self.page_starts or (0,)), len(self.text)]))


def read_file(path: Path) -> WholeText:
    """A file's text, parsed as for the library but stored nowhere.

    Raises:
        RetrievalError: the file is not there or cannot be used.
        BadInput: a folder, or a document without text.
    """
    from retrieval.loaders import Limits, load, opened
    from retrieval.recognition import DocumentReader
    from retrieval.sources import list_files

    if path.is_dir():
        raise BadInput(f"{path} is a folder and one document was expected: name a file in it.")
    listing = list_files([path], {})
    if not listing.files:
        raise listing.problems[0][0]
    with DocumentReader(1) as reader, opened(listing.files[0], Limits()) as source:
        source.hash()
        found = load(source, reader)
    if not found.text.strip():
        raise BadInput(f"{path.name} holds no text: a scanned document has to be recognised first.")
    warnings = tuple(f"{path.name} {sentence}" for _, sentence in found.warnings)
    return WholeText(path.name, found.text, tuple(found.page_starts), warnings)


def read_from_library(library: AnyLibrary, wanted: str) -> WholeText:
    """The stored text of the document with that name or id.

    Raises:
        RetrievalError: no such document, or several of that name.
    """
    records = library.find(wanted)
    if len(records) > 1:
        ids = ", ".join(record.document_id for record in records)
        raise BadInput(f"{len(records)} documents are named {wanted}: name one by its id ({ids}).")
    record = records[0]
    text = library.text(record.document_id)
    warnings = tuple(f"{record.document}: {sentence}" for sentence in record.facts.get("warnings", ()))
    return WholeText(record.document, text, _page_starts(library, record.document_id, record.pages, text), warnings)


def _page_starts(library: AnyLibrary, document_id: str, pages: int | None, text: str) -> tuple[int, ...]:
    """The offset where each page begins, found by halving since the library tells a page by offset."""
    if not pages:
        return ()
    starts = [0]
    for page in range(2, pages + 1):
        low, high = starts[-1], len(text)
        while low < high:
            middle = (low + high) // 2
            if (library.page_of(document_id, middle) or 1) >= page:
                high = middle
            else:
                low = middle + 1
        starts.append(low)
    return tuple(starts)
