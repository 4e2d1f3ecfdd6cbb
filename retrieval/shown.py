"""Names and texts of documents on a terminal, where they could otherwise act as commands to it.

Used by every renderer that prints something a document or its name brought along.
"""

from __future__ import annotations


def shown(text: str) -> str:
    """Text for a terminal: control and direction-changing characters become visible escapes."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def counted(count: int, thing: str) -> str:
    """ "1 document" or "7 documents"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
