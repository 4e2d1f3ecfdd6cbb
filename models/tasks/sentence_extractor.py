"""The whole sentence of a text nearest to a question: what answers where no span reader is configured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.tasks.base import as_texts
from models.tasks.extractor import Extraction
from models.tasks.sentences import sentence_spans
from models.tasks.similarity import Similarity
from models.tasks.spans import Span
from models.tasks.zero_shot import softmax

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

_SCALE = 20.0
_OTHERS = 2


class SentenceExtractor:
    """Nearness in the sentence encoder's space; it cannot tell that a text does not answer."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._similarity = Similarity(embeddings)

    @property
    def name(self) -> str:
        """The encoder's name."""
        return str(getattr(self._embeddings, "model", type(self._embeddings).__name__))

    def __call__(self, question: str, text: str, *, can_abstain: bool = True) -> Extraction:
        """The sentence for one question; see `many`."""
        return self.many([question], [text], can_abstain=can_abstain)[0]

    def many(self, questions: Sequence[str], texts: Sequence[str], *, can_abstain: bool = True) -> list[Extraction]:
        """The nearest sentence of each text to the question beside it; `score` is its share among the sentences.

        Raises:
            EmptyText: a question or text is empty.
        """
        asked, given = as_texts(questions, "question"), as_texts(texts)
        return [self._answer(question, text) for question, text in zip(asked, given, strict=True)]

    def _answer(self, question: str, text: str) -> Extraction:
        spans = sentence_spans(text)
        ranked = self._similarity.rank(question, [text[start:end] for start, end in spans])
        shares = softmax([_SCALE * item.score for item in ranked])
        found = [Span(*spans[item.index], share) for item, share in zip(ranked, shares, strict=True)]
        best, others = found[0], tuple(found[1 : 1 + _OTHERS])
        answer = text[best.start : best.end]
        return Extraction(answer, best.score, best.start, best.end, None, others, self.name, method="sentence")
