"""Documents that hold no text of their own: scanned pages, pictures and recordings.

Pages and pictures are read by OCR where the extra is installed; a vision and a speech model may be given as guests.
What nobody can read is said page by page, and a document without any text is never taken for a ready one.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from retrieval.attachments import with_attachments
from retrieval.errors import DocumentError, NoText, UnsupportedType
from retrieval.formats import Extracted
from retrieval.formats.text import clean
from retrieval.parsing import ParserPool

Describe = Callable[[bytes, str], str]
"""(a picture file's bytes, its name) -> what it shows, in words."""
Transcribe = Callable[[bytes, str], Sequence[tuple[float, str]]]
"""(a recording's bytes, its name) -> (seconds from the start, words) of each stretch of speech."""

PAGE_SECONDS = 120.0
MAX_OCR_PAGES = 1000
_CHILD = Path(__file__).with_name("ocr_child.py")
_PAGE_GAP = "\n\n"
_NAMED = 12


@dataclass(frozen=True)
class MediaModels:
    """The models that look at pictures and listen to recordings, where the person configured any.

    `to_describe` and `to_transcribe` say how a person gets one, for the sentence of a file that nothing can read.
    """

    describe: Describe | None = None
    transcribe: Transcribe | None = None
    to_describe: str = "configure a vision model"
    to_transcribe: str = "configure a speech model"


class DocumentReader:
    """Files into text: the parsers, and what reads where they find none. Children start when first needed.

    Args:
        size: files parsed at a time; several threads may call `read` at once.
    """

    def __init__(self, size: int, models: MediaModels | None = None) -> None:
        self._parsers = ParserPool(size)
        self._models = models or MediaModels()
        self._pool = ParserPool(1, PAGE_SECONDS, _CHILD) if ocr_is_installed() else None

    def __enter__(self) -> DocumentReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parsers.close()
        if self._pool is not None:
            self._pool.close()

    def read(self, descriptor: int, name: str) -> Extracted:
        """The text of an open file, with the words that its pictures or its sound hold.

        Raises:
            DocumentError: why this document cannot be used.
            ParserUnavailable: no child could be started.
        """
        os.lseek(descriptor, 0, os.SEEK_SET)
        extracted = self._parsers.parse(descriptor, name)
        kind = extracted.facts.get("kind")
        if kind == "audio":
            return self._heard(extracted, descriptor, name)
        if kind == "image":
            return self._seen(extracted, descriptor, name)
        if extracted.scanned:
            return self._pages_read(extracted, descriptor, name)
        if extracted.attachments:
            return with_attachments(extracted, lambda number: self._attachment(descriptor, name, number))
        return extracted

    def _attachment(self, descriptor: int, name: str, number: int) -> Extracted:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return self._parsers.parse(descriptor, name, attachment=number)

    def _heard(self, extracted: Extracted, descriptor: int, name: str) -> Extracted:
        if self._models.transcribe is None:
            raise UnsupportedType(name, f"is a recording; {self._models.to_transcribe}, and it is written down.")
        text, headings = "", []
        for seconds, words in self._models.transcribe(_content(descriptor), name):
            stretch = clean(words).strip()
            if stretch:
                text += "\n" if text else ""
                headings.append((len(text), 1, f"at {_clock(seconds)}"))
                text += stretch
        if not text:
            raise NoText(name, "is a recording in which no words were heard.")
        return replace(extracted, text=text, headings=headings, facts={**extracted.facts, "read_by": "speech model"})

    def _seen(self, extracted: Extracted, descriptor: int, name: str) -> Extracted:
        describe = self._models.describe
        if describe is None and self._pool is None:
            how = self._models.to_describe
            raise UnsupportedType(name, f"is a picture; {how}, or install hearth[ocr] to read the words in it.")
        shown = clean(describe(_content(descriptor), name)).strip() if describe is not None else ""
        words = self._page(descriptor, name, 1)
        text = "\n\n".join(filter(None, (shown, words)))
        if not text:
            how = "" if describe else f"; {self._models.to_describe} to have it described"
            raise NoText(name, f"is a picture in which no words were found{how}.")
        by = " and ".join(word for word, found in (("vision model", shown), ("OCR", words)) if found)
        return replace(extracted, text=text, scanned=[], facts={**extracted.facts, "read_by": by})

    def _pages_read(self, extracted: Extracted, descriptor: int, name: str) -> Extracted:
        if self._pool is None:
            return _unread(extracted, name, extracted.scanned, "OCR is not installed (hearth[ocr])")
        bounds = [*extracted.page_starts, len(extracted.text) + len(_PAGE_GAP)]
        pages = [extracted.text[a : b - len(_PAGE_GAP)] for a, b in itertools.pairwise(bounds)]
        unread = list(extracted.scanned[MAX_OCR_PAGES:])
        for number in extracted.scanned[:MAX_OCR_PAGES]:
            words = self._page(descriptor, name, number)
            if words:
                pages[number - 1] = _PAGE_GAP.join(filter(None, (pages[number - 1], words)))
            else:
                unread.append(number)
        read = [number for number in extracted.scanned if number not in unread]
        completed = _rejoined(extracted, pages)
        if read:
            found = f"was read by OCR on {named_pages(read)}; single letters may be wrong."
            completed.warnings.append(("ocr", found))
            completed.facts["read_by"] = "OCR"
        return _unread(completed, name, unread, "OCR found no words there") if unread else completed

    def _page(self, descriptor: int, name: str, number: int) -> str:
        """The words of one page, "" where there are none or they could not be read."""
        if self._pool is None:
            return ""
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            return clean(self._pool.parse(descriptor, name, page=number).text).strip()
        except DocumentError:
            return ""


def ocr_is_installed() -> bool:
    """Whether the extra `ocr` is there."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def named_pages(pages: Sequence[int]) -> str:
    """Pages in words, of many the first ones: "pages 1, 2, 3 and 40 more"."""
    shown = ", ".join(str(page) for page in pages[:_NAMED])
    more = f" and {len(pages) - _NAMED} more" if len(pages) > _NAMED else ""
    return f"page {shown}" if len(pages) == 1 else f"pages {shown}{more}"


def _unread(extracted: Extracted, name: str, pages: Sequence[int], why: str) -> Extracted:
    """The document with a warning about its pages without text.

    Raises:
        NoText: it has no other pages.
    """
    if not extracted.text.strip():
        raise NoText(name, f"holds pictures of pages and no text: it looks scanned, and {why}.")
    found = f"has no text on {named_pages(pages)}, which looks scanned; {why}."
    return replace(extracted, warnings=[*extracted.warnings, ("no_text", found)])


def _rejoined(extracted: Extracted, pages: list[str]) -> Extracted:
    """The document with other texts on its pages; headings move with the page they stand on."""
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + len(_PAGE_GAP)
    moved = []
    for offset, level, title in extracted.headings:
        on = max(number for number, start in enumerate(extracted.page_starts) if start <= offset)
        moved.append((offset - extracted.page_starts[on] + starts[on], level, title))
    facts, warnings = dict(extracted.facts), list(extracted.warnings)
    return replace(
        extracted, text=_PAGE_GAP.join(pages), page_starts=starts, headings=moved, facts=facts, warnings=warnings
    )


def _content(descriptor: int) -> bytes:
    """An open file's bytes."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _clock(seconds: float) -> str:
    whole = int(max(0.0, seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
