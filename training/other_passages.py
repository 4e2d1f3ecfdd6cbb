"""Questions shown with other passages than their own, as a search returns them, and without their own at all.

Sources: answers from passages of which one is the right one, Zhang et al. 2024, https://arxiv.org/abs/2403.10131.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from training.mining import by_words, hard_negatives

_MINED = 2  # times as many as are shown
_WORDS = 130  # shown of another passage; about what a library's passage holds
_PLACES = (0.6, 0.2, 0.12, 0.08)
"""How often the right passage is a search's first, second and so on, where it is among the first four."""


def with_others(
    rows: Iterable[Mapping[str, Any]], beside: Sequence[int], silent: float, seed: int
) -> Iterator[dict[str, Any]]:
    """The rows as `layouts.conversation_of` gives them, those about one passage together and each of them once.

    Args:
        rows: Those without a `passage` stay as they are.
        beside: Each question is shown once for every number here, with so many other passages beside its own.
        silent: The share of passages whose questions are shown once more, without it; they have no answer then.
        seed: Of what is drawn.
    """
    about: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row["passage"]:
            about.setdefault(row["passage"], {}).setdefault(row["question"], row)
        else:
            yield dict(row)
    pool = list(about)
    shown_at_once = 1 + max(beside)
    queries = [" ".join(about[passage]) for passage in pool]
    near = hard_negatives(by_words(pool), queries, [[index] for index in range(len(pool))], _MINED * shown_at_once)
    short = [" ".join(passage.split(" ")[:_WORDS]) for passage in pool]
    draw = random.Random(f"{seed}:passages")
    for passage, others in zip(pool, near, strict=True):
        questions = list(about[passage].values())
        for count in beside:
            shown = [short[index] for index in draw.sample(others, min(count, len(others)))]
            places = _PLACES[: len(shown) + 1]
            shown.insert(draw.choices(range(len(places)), places)[0], passage)
            yield from (_asked(row, shown) for row in questions)
        if draw.random() < silent:
            shown = [short[index] for index in others[:shown_at_once]]
            yield from (_asked(row, shown, silent=True) for row in questions if not _answered(row, shown))


def _answered(row: Mapping[str, Any], passages: Sequence[str]) -> bool:
    """Whether an accepted answer stands in one of them by chance."""
    return any(answer.casefold() in passage.casefold() for answer in row["references"] for passage in passages)


def _asked(row: Mapping[str, Any], passages: Sequence[str], *, silent: bool = False) -> dict[str, Any]:
    from models.prompts import NOT_IN_PASSAGES, answer_messages
    from training.layouts import plain_messages

    asked = {**row, "messages": plain_messages(answer_messages(row["question"], passages))}
    return asked | {"answer": NOT_IN_PASSAGES, "references": [NOT_IN_PASSAGES]} if silent else asked
