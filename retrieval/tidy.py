"""The same thing is said once: neighbouring passages become one, and copies of a better passage are left out.

Two passages are copies if nearly all their five-word runs are the same and so are all their numbers, because contracts
and reports of two years often differ in nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.retriever import Hit

MOST_MERGED = 3
"""Passages made into one; more would crowd out the other documents."""
_RUN = 5
_SAME = 0.85
"""Share of runs in common (Jaccard) from which on two passages are copies. Source: Broder, "On the resemblance and
containment of documents", 1997, for the measure; the value leaves room for a changed word in fifty."""
_WORD = re.compile(r"\w+")


def tidied(hits: Sequence[Hit], top_k: int, text_of: Callable[[str], str | None]) -> list[Hit]:
    """The best `top_k` hits that say different things, those that follow each other made one; so there may be fewer.

    No more text than `top_k` hits have: for the same number of tokens more hits hold the answer more often than the
    neighbours of a few do (training/LOG.md). Each stands at the place of its best part.

    Args:
        hits: best first, more than `top_k` so that others can stand in for copies.
        text_of: the whole text of a document by its id.
    """
    return merged(distinct(hits)[:top_k], text_of)


def distinct(hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those that only repeat a better one."""
    kept: list[tuple[Hit, frozenset[tuple[str, ...]], Counter[str]]] = []
    for hit in hits:
        words = [word.casefold() for word in _WORD.findall(hit.passage.text)]
        runs = frozenset(zip(*(words[at:] for at in range(_RUN)), strict=False)) or frozenset([tuple(words)])
        numbers = Counter(word for word in words if any(letter.isdigit() for letter in word))
        if not any(numbers == other and _jaccard(runs, known) >= _SAME for _, known, other in kept):
            kept.append((hit, runs, numbers))
    return [hit for hit, _, _ in kept]


def _jaccard(one: frozenset[tuple[str, ...]], two: frozenset[tuple[str, ...]]) -> float:
    return len(one & two) / len(one | two)


def merged(hits: Sequence[Hit], text_of: Callable[[str], str | None]) -> list[Hit]:
    """The hits with those that follow each other in a document made one, up to three."""
    groups: list[list[Hit]] = []
    for hit in hits:
        group = next((group for group in groups if _continues(hit, group)), None)
        if group is None:
            groups.append([hit])
        else:
            group.append(hit)
    return [_joined(group, text_of) for group in groups]


def _continues(hit: Hit, group: Sequence[Hit]) -> bool:
    """Whether a passage stands right before or after the ones of a group; ids are given out in the text's order."""
    ids = [other.passage.chunk_id for other in group]
    same = hit.passage.document_id == group[0].passage.document_id
    return same and len(group) < MOST_MERGED and hit.passage.chunk_id in (min(ids) - 1, max(ids) + 1)


def _joined(group: Sequence[Hit], text_of: Callable[[str], str | None]) -> Hit:
    """The best of a group, over the text of all; page and position are where it begins, `parts` tells those of each."""
    if len(group) == 1:
        return group[0]
    parts = tuple(sorted((hit.passage for hit in group), key=lambda passage: passage.start))
    text = text_of(parts[0].document_id)
    start, end = parts[0].start, max(part.end for part in parts)
    if text is None or len(text) < end:  # removed this moment
        return group[0]
    page, position = parts[0].page, parts[0].position
    whole = replace(group[0].passage, text=text[start:end], start=start, end=end, page=page, position=position)
    return replace(
        group[0],
        passage=whole,
        dense_score=max(hit.dense_score for hit in group),
        sparse_coverage=max(hit.sparse_coverage for hit in group),
        parts=parts,
    )
