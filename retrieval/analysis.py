"""How text becomes search terms: lower case, English stems, accents folded, and one term for each Chinese character.

The same for what is stored and what is asked; only common words are left out of a query when it has others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tantivy

ANALYSIS_VERSION = 1
K1 = 1.2
"""How soon BM25 tires of a repeated word; tantivy's, which cannot be set."""
MAX_QUERY_CHARACTERS = 20_000
MAX_QUERY_TERMS = 256
_LONGEST_TERM = 64
_UNSPACED = re.compile("([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
"""Scripts written without spaces between words: Thai, Lao, Khmer, Japanese, Chinese."""
_QUESTION_WORDS = (
    "who whom whose what which when where why how do does did is are was were be been can could should would may has "
    "have had i me my you your we our he his she her its them does many much please tell about"
).split()
"""Words of questions that passages seldom answer with; the index's own list of common words lacks them."""


@dataclass(frozen=True)
class TermCounts:
    """How many passages there are, and how many of them hold each of a query's terms."""

    passages: int
    holding: Mapping[str, int]

    def weights(self, background: int = 0) -> dict[str, float]:
        """Each term's inverse document frequency as BM25 has it: never negative, highest where nothing holds the term.

        Counted as if there were so many more passages without these terms: in a library of one page every word that is
        there would be common, and every word that is not would be all that counts.
        """
        total = self.passages + background
        return {term: math.log(1 + (total - held + 0.5) / (held + 0.5)) for term, held in self.holding.items()}

    def most(self) -> float:
        """The BM25 score that a passage comes near to which holds all the terms again and again."""
        return (1 + K1) * sum(self.weights().values())


class Analysis:
    """Turns text into terms."""

    def __init__(self) -> None:
        self._all = _analyzer(leave_out_common=False)
        self._telling = _analyzer(leave_out_common=True)

    def register(self, index: Any, name: str) -> None:
        """Make an index use this analysis under a name; needed each time one is opened."""
        index.register_tokenizer(name, self._all)

    @staticmethod
    def prepared(text: str) -> str:
        """The text as it is given to the index: characters of unspaced scripts stand apart."""
        return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)

    def terms(self, text: str) -> list[str]:
        """All terms of a text, in order."""
        found: list[str] = self._all.analyze(self.prepared(text))
        return found

    def query_terms(self, query: str) -> list[str]:
        """The different terms of a query without its common words, unless it has no others."""
        text = self.prepared(query[:MAX_QUERY_CHARACTERS])
        terms = self._telling.analyze(text) or self._all.analyze(text)
        return list(dict.fromkeys(terms))[:MAX_QUERY_TERMS]

    def coverage(self, weights: Mapping[str, float], text: str) -> float:
        """Share of the terms' weight that a text holds, 0 to 1; 0 for no terms."""
        total = sum(weights.values())
        if not total:
            return 0.0
        inside = set(self.terms(text))
        return sum(weight for term, weight in weights.items() if term in inside) / total


def _analyzer(leave_out_common: bool) -> Any:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_LONGEST_TERM)).filter(tantivy.Filter.lowercase())
    if leave_out_common:
        builder = builder.filter(tantivy.Filter.stopword("english"))
        builder = builder.filter(tantivy.Filter.custom_stopword(_QUESTION_WORDS))
    return builder.filter(tantivy.Filter.ascii_fold()).filter(tantivy.Filter.stemmer("english")).build()
