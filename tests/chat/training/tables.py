"""Tables as people drop them."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

WORDS = {
    "praise": "great lovely excellent wonderful superb".split(),
    "complaint": "awful broken terrible poor dreadful".split(),
}
THINGS = "lamp door book chair kettle radio bicycle coat phone table".split()


def reviews(count: int = 80, seed: int = 1) -> list[tuple[str, str]]:
    """Distinct sentences with the label that one of their words decides."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = draw.choice(sorted(WORDS))
        end = draw.choice(("really", "truly", "I must say", "as everybody says", "day and night"))
        found[f"The {draw.choice(THINGS)} that I bought is {draw.choice(WORDS[label])}, {end}."] = label
    return list(found.items())


def write_csv(path: Path, header: list[str], rows: Sequence[tuple[str, ...]]) -> Path:
    """A file with a header line."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path
