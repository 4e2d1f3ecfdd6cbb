"""The child process that reads pictures of pages: like the parsing child, with the memory that recognition needs.

A request names one page of a PDF or a picture file; its words come back line by line, what stands on one line joined.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from retrieval.parser_child import serve

MEMORY_BYTES = 3 << 30
CPU_SECONDS = 120
_DOTS_PER_INCH = 200
_LONGEST_SIDE = 3000
_WIDE_GAP = 1.5
"""Of the letters' height: words further apart stand in columns of their own."""

Word = tuple[float, float, float, float, str]
"""(left, top, right, bottom, text), in pixels from the top left corner"""


def read_page(data: bytes, request: dict[str, Any]) -> Any:
    """The words of one page.

    Raises:
        Refused: no_text or corrupt.
    """
    from retrieval.formats import Extracted, Refused

    picture = _pdf_page(data, int(request["page"])) if b"%PDF-" in data[:1024] else _picture(data)
    found = _recognizer()(picture, use_cls=False)
    if found.boxes is None or not found.txts:
        raise Refused("no_text", "holds no words that could be recognised.")
    words: list[Word] = []
    for box, text in zip(found.boxes.tolist(), found.txts, strict=True):
        across, down = [point[0] for point in box], [point[1] for point in box]
        words.append((min(across), min(down), max(across), max(down), text))
    return Extracted("\n".join(lines_of(words)))


def _recognizer() -> Any:
    """The recognition models, loaded once for the life of this process."""
    global _LOADED
    if _LOADED is None:
        from rapidocr import RapidOCR  # type: ignore[import-not-found, unused-ignore]

        one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        _LOADED = RapidOCR(params={"Global.log_level": "critical", **one})
    return _LOADED


_LOADED: Any = None


def _pdf_page(data: bytes, number: int) -> Any:
    import pypdfium2

    page = pypdfium2.PdfDocument(data)[number - 1]
    scale = min(_DOTS_PER_INCH / 72, _LONGEST_SIDE / max(1.0, *page.get_size()))
    return page.render(scale=scale).to_numpy()


def _picture(data: bytes) -> Any:
    import io

    import numpy as np
    from PIL import Image, ImageOps

    from retrieval.formats import Refused

    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused("corrupt", "is a damaged picture.") from error
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return np.asarray(picture)[:, :, ::-1]


def lines_of(words: list[Word]) -> list[str]:
    """Words into lines from top to bottom; a wide gap inside a line becomes a bar, as between the cells of a table."""
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda one: one[1] + one[3]):
        middle = (word[1] + word[3]) / 2
        if rows and rows[-1][-1][1] <= middle <= rows[-1][-1][3]:
            rows[-1].append(word)
        else:
            rows.append([word])
    return [_line(sorted(row)) for row in rows]


def _line(row: list[Word]) -> str:
    text = row[0][4]
    for before, word in itertools.pairwise(row):
        wide = word[0] - before[2] > _WIDE_GAP * (word[3] - word[1])
        text += (" | " if wide else " ") + word[4]
    return text


if __name__ == "__main__":
    serve(int(sys.argv[1]), read_page, MEMORY_BYTES, CPU_SECONDS)
