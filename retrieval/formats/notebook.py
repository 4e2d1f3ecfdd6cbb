"""Jupyter notebooks: text cells under their headings, code cells with what they printed; pictures are left out."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.markdown import headings_of
from retrieval.formats.text import clean, decode

_LONGEST_OUTPUT = 4000


def extract_notebook(data: bytes) -> Extracted:
    """A notebook; positions are headings and the number of the cell.

    Raises:
        Refused: corrupt.
    """
    decoded = decode(data)
    try:
        notebook = json.loads(decoded.text)
        cells = notebook["cells"] if "cells" in notebook else [c for s in notebook["worksheets"] for c in s["cells"]]
        count = len(cells)
        language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise Refused("corrupt", "is no sound notebook: its cells cannot be read.") from error
    composer = Composer()
    composer.facts = {"encoding": decoded.encoding, "cells": str(count), "language": str(language)}
    for number, cell in enumerate(cells, start=1):
        if isinstance(cell, dict):
            _cell(composer, cell, number)
    return composer.extracted("cell")


def _cell(composer: Composer, cell: dict[str, Any], number: int) -> None:
    source = clean(_joined(cell.get("source", cell.get("input", ""))))
    if cell.get("cell_type") != "markdown":
        composer.numbered_block(source, number)
        for output in cell.get("outputs") or ():
            composer.block(_printed(output))
        return
    at = 0
    headings = headings_of(source)
    for (begin, level, title), following in zip_longest(headings, headings[1:]):
        composer.numbered_block(source[at:begin], number)
        end = following[0] if following else len(source)
        composer.heading(title, level)
        body = source[begin:end].partition("\n")[2]
        composer.numbered_block(body, number)
        at = end
    composer.numbered_block(source[at:], number)


def _printed(output: Any) -> str:
    """What a cell printed or returned, as text; an error by its name and message."""
    if not isinstance(output, dict):
        return ""
    if output.get("output_type") == "error":
        return f"{output.get('ename', '')}: {output.get('evalue', '')}"
    found = output.get("text") or (output.get("data") or {}).get("text/plain") or ""
    return _joined(found)[:_LONGEST_OUTPUT]


def _joined(lines: Any) -> str:
    if isinstance(lines, list):
        return "".join(line for line in lines if isinstance(line, str))
    return lines if isinstance(lines, str) else ""
