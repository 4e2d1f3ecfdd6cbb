"""What is attached to a message, read like any file and put behind it, each attachment a part of its own.

Every attachment is parsed by itself, in a child with limits of its own: one that is broken costs a sentence about it,
never the message or the other attachments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from retrieval.errors import DocumentError
from retrieval.formats import Extracted
from retrieval.formats.composer import MAX_CHARACTERS
from retrieval.formats.kinds import MEDIA_KINDS, kind_by_name

MAX_ATTACHMENTS = 100
MAX_SECONDS = 60.0
"""Wall time for all attachments of one document: after that the others are named and left."""
_GAP = "\n\n"
_NAMED = 10


def with_attachments(
    message: Extracted, read: Callable[[int], Extracted], clock: Callable[[], float] = time.monotonic
) -> Extracted:
    """A message with the text of its attachments; positions read "attachment report.pdf > page 3".

    Args:
        message: as parsed, its attachments by name alone.
        read: the attachment of that number; a `DocumentError` says why it cannot be used.
        clock: seconds from anywhere.
    """
    binder, began = _Binder(message), clock()
    for number, name in enumerate(message.attachments):
        if number >= MAX_ATTACHMENTS:
            binder.leave(name, f"is one too many (the first {MAX_ATTACHMENTS} are looked at)")
        elif clock() - began > MAX_SECONDS:
            binder.leave(name, "would have taken too long after the others")
        elif kind_by_name(name) in MEDIA_KINDS:
            binder.leave(name, "is a picture or a recording")
        else:
            try:
                binder.bind(name, read(number))
            except DocumentError as error:
                binder.leave(name, error.found.rstrip("."))
    return binder.bound()


@dataclass
class _Binder:
    """The message so far with the attachments bound behind it."""

    message: Extracted
    left: list[str] = field(default_factory=list)
    read: int = 0

    def __post_init__(self) -> None:
        kept = self.message
        self.message = replace(
            kept, headings=list(kept.headings), warnings=list(kept.warnings), part_starts=kept.part_starts or [0],
            numbered=list(kept.numbered), facts=dict(kept.facts),
        )  # fmt: skip
        self._pieces, self._at = [kept.text], len(kept.text)

    def leave(self, name: str, why: str) -> None:
        """Name an attachment that is not read."""
        self.left.append(f"{name}, which {why}")

    def bind(self, name: str, found: Extracted) -> None:
        """Put an attachment's text behind what is there, its pages, slides and sheets as parts."""
        if not found.text.strip():
            self.leave(name, "looks scanned" if found.scanned else "holds no text")
            return
        if self._at + len(found.text) > MAX_CHARACTERS:
            self.leave(name, "holds more text than fits beside the others")
            return
        start = self._at + len(_GAP)
        self._pieces += [_GAP, found.text]
        self._at = start + len(found.text)
        self.read += 1
        whole = self.message
        whole.part_starts += sorted({start, *(start + at for at in found.page_starts or found.part_starts)})
        pages = [(at, 2, f"page {number}") for number, at in enumerate(found.page_starts, start=1)]
        below = 2 if pages else 1
        inside = sorted([*pages, *((at, level + below, title) for at, level, title in found.headings)])
        whole.headings.append((start, 1, f"attachment {name}"))
        whole.headings += [(start + at, level, title) for at, level, title in inside]
        if found.numbered and whole.numbered_as in ("", found.numbered_as):
            whole.numbered_as = found.numbered_as
            whole.numbered += [(start + at, number) for at, number in found.numbered]
        whole.warnings += [(code, f"holds the attachment {name}, which {words}") for code, words in found.warnings]
        for inner in found.attachments:
            self.leave(inner, f"is attached to {name}")

    def bound(self) -> Extracted:
        """The whole, with a warning that names what was left."""
        whole = replace(self.message, text="".join(self._pieces), attachments=[])
        if self.read:
            whole.facts["attachments"] = str(self.read)
        else:
            whole.part_starts = [] if whole.part_starts == [0] else whole.part_starts
        if self.left:
            named = self.left[:_NAMED] + ([f"and {len(self.left) - _NAMED} more"] if len(self.left) > _NAMED else [])
            found = f"has attachments that were not read: {'; '.join(named)}. Save them and add them by themselves."
            whole.warnings.append(("attachments", found))
        return whole
