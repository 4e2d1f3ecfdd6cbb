"""Fits the relevance gate (`agent/relevance.py`): when are the documents silent on a question?

Questions are asked of libraries that hold their article and of ones that do not: all shared SQuAD articles less half
of those with questions (23,000 passages), four articles, a single one, and half of the Natural Questions passages, one
a document. Every set weighs the same. The floor is where `--answered` of the large library's answerable questions are
answered; the table is of questions whose titles were held out, in four parts.

Run `python -m tests.benchmarks.calibrate_relevance --home DIR`; four minutes, and five more the first time with a home,
to embed the articles.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.assembly import House
from agent.evaluation import COLLECTION
from agent.relevance import signals
from agent.settings import load_settings
from retrieval import Library, TextDocument
from tests.benchmarks.shared_sets import Row, halves, interval, library_without, rows

PARTS = 4


@dataclass(frozen=True)
class Asked:
    """One question to one library: its signals, and whether the library holds its article."""

    library: str
    title: str
    there: bool
    signals: tuple[float, ...]


def ask(library: Library, name: str, found: Sequence[Row], held: set[str]) -> Iterator[Asked]:
    """Search as the assistant does."""
    among = sum(record.chunks for record in library.documents([COLLECTION]))
    for row in found:
        hits = library.search(row["question"], top_k=4, collections=[COLLECTION], tidy=True)
        if hits:
            yield Asked(name, row["title"], row["title"] in held, signals(hits, among))


def large(house: House, each: int) -> Iterator[Asked]:
    """Every question once with its article and once without, half of the titles at a time."""
    found = rows("squad11_dev")
    chance = random.Random(1)
    drawn = [row for half in halves(found) for row in chance.sample([r for r in found if r["title"] in half], each)]
    for left_out in halves(found):
        with library_without(house, left_out) as library:
            yield from ask(library, "all articles", drawn, {row["title"] for row in found} - left_out)


def small(house: House, size: int, each: int) -> Iterator[Asked]:
    """Libraries of so many articles, asked about these and about as many others."""
    found, chance = rows("squad11_dev"), random.Random(2)
    text = {row["title"]: row["text"] for row in rows("squad_articles")}
    titles = sorted({row["title"] for row in found})
    chance.shuffle(titles)
    for at in range(0, len(titles), size):
        held, others = titles[at : at + size], [titles[(at + size + i) % len(titles)] for i in range(size)]
        about = [[row for row in found if row["title"] == title] for title in (*held, *others)]
        drawn = [row for one in about for row in chance.sample(one, each)]
        with filled(house, [TextDocument(title, text[title]) for title in held]) as library:
            yield from ask(library, f"{size} article{'s'[: size > 1]}", drawn, set(held))


def short(house: House, each: int) -> Iterator[Asked]:
    """Half of the Natural Questions passages, each a document, asked about both halves."""
    documents, chance = rows("nq_oracle", "docs"), random.Random(3)
    titles = sorted({row["title"] for row in documents})
    held = set(chance.sample(titles, len(titles) // 2))
    found = [{"title": row["title"], "question": row["text"]} for row in rows("nq_oracle", "queries")]
    sides = [[row for row in found if (row["title"] in held) == there] for there in (True, False)]
    texts = [TextDocument(r["doc_id"], f"{r['title']}\n{r['text']}") for r in documents if r["title"] in held]
    with filled(house, texts) as library:
        yield from ask(library, "short documents", [r for side in sides for r in chance.sample(side, each)], held)


class filled:
    """A library of these texts that goes away."""

    def __init__(self, house: House, texts: Sequence[TextDocument]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hearth-bench-")
        self._library = house.library_at(Path(self._folder.name))
        self._library.add_texts(texts, collection=COLLECTION)

    def __enter__(self) -> Library:
        return self._library

    def __exit__(self, *error: object) -> None:
        self._library.close()
        self._folder.cleanup()


def fit(asked: Sequence[Asked], answered: float) -> tuple[Any, float]:
    """The logistic over all libraries alike, and the floor that answers this share in the large one."""
    from sklearn.linear_model import LogisticRegression

    names = [one.library for one in asked]
    weights = [1000 / names.count(name) for name in names]
    given, there = np.array([one.signals for one in asked]), [one.there for one in asked]
    model = LogisticRegression(C=10, max_iter=2000).fit(given, there, sample_weight=weights)
    of_large = [one.signals for one in asked if one.library == "all articles" and one.there]
    return model, float(np.quantile(model.predict_proba(np.array(of_large))[:, 1], 1 - answered))


def show(asked: Sequence[Asked], passed: Sequence[bool], title: str) -> None:
    """One row a library: answered where the article is there, silent where it is not."""
    print(f"\n{title}\n\n| library | answered | n | silent | n |\n|---|---|---|---|---|")
    for name in dict.fromkeys(one.library for one in asked):
        sides = {
            there: [ok for one, ok in zip(asked, passed, strict=True) if (one.library, one.there) == (name, there)]
            for there in (True, False)
        }
        answered, silent = sum(sides[True]), sum(not ok for ok in sides[False])
        shown = (interval(answered, len(sides[True])), len(sides[True]), interval(silent, len(sides[False])))
        print(f"| {name} | {' | '.join(map(str, shown))} | {len(sides[False])} |")


def held_out(asked: Sequence[Asked], answered: float) -> list[bool]:
    """For each question, whether a gate fitted without its title lets it pass."""
    titles = sorted({one.title for one in asked})
    random.Random(0).shuffle(titles)
    passed = [False] * len(asked)
    for part in range(PARTS):
        out = set(titles[part::PARTS])
        model, floor = fit([one for one in asked if one.title not in out], answered)
        for index, one in enumerate(asked):
            if one.title in out:
                passed[index] = bool(model.predict_proba(np.array([one.signals]))[0, 1] >= floor)
    return passed


def main() -> None:
    """Ask, fit, print."""
    from agent.relevance import _BIAS, _WEIGHTS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a data home with prepared models, which keeps the large library")
    parser.add_argument("--questions", type=int, default=400, help="of each half, asked of both large libraries")
    parser.add_argument("--answered", type=float, default=0.86)
    options = parser.parse_args()
    with House(load_settings({"home": options.home and str(options.home)})) as house:
        asked = list(large(house, options.questions))
        for size in (4, 1):
            asked += small(house, size, 15)
        asked += short(house, 500)
        floor = house.settings.relevance_floor
    model, fitted = fit(asked, options.answered)
    print(f"bias {model.intercept_[0]:.2f}, weights {model.coef_[0].round(2).tolist()}, floor {fitted:.3f}")
    show(asked, held_out(asked, options.answered), "Fitted without the question's title")
    given = np.array([one.signals for one in asked])
    now = 1 / (1 + np.exp(-(_BIAS + given @ np.array(_WEIGHTS))))
    show(asked, list(now >= floor), f"As it serves, floor {floor}")


if __name__ == "__main__":
    main()
