"""Sentence similarity by embeddings: how alike texts are in meaning, and which are most like a query."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from models.tasks.base import as_texts
from models.tasks.reranker import Ranked, in_order

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray


class Similarity:
    """Cosines between texts of any length; a text beyond the encoder's window counts with the mean of its pieces."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings

    def __call__(self, first: str, second: str) -> float:
        """The cosine of two texts, -1 to 1.

        Raises:
            EmptyText: one of them is empty.
        """
        return float(self.matrix([first], [second])[0, 0])

    def matrix(self, rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
        """The cosine of every row text with every column text, shape (rows, columns)."""
        vectors = self.vectors([*rows, *columns])
        product: NDArray[np.float64] = vectors[: len(rows)] @ vectors[len(rows) :].T
        return product

    def rank(self, query: str, texts: Sequence[str], *, top_k: int | None = None) -> list[Ranked]:
        """The texts by their cosine with the query, best first; the query with its own prompt where there is one."""
        import numpy as np

        if not texts:
            return []
        asked = np.asarray(self._embeddings.embed_query(as_texts(query, "query")[0]))
        asked = asked / np.linalg.norm(asked)
        return in_order(texts, (self.vectors(texts) @ asked).tolist(), top_k)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One vector of length 1 for each text."""
        import numpy as np

        found = as_texts(texts)
        pieces = [self._pieces(text) for text in found]
        flat = np.asarray(self._embeddings.embed_documents([piece for own in pieces for piece in own]))
        means, start = [], 0
        for own in pieces:
            weights = np.array([len(piece) for piece in own], dtype=np.float64)
            means.append(weights @ flat[start : start + len(own)])
            start += len(own)
        stacked = np.stack(means)
        vectors: NDArray[np.float64] = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return vectors

    def _pieces(self, text: str) -> list[str]:
        """The text cut where the encoder would stop reading."""
        most = getattr(self._embeddings, "max_tokens", None)
        spans_of = getattr(self._embeddings, "token_spans", None)
        if most is None or spans_of is None:
            return [text]
        spans = spans_of(text)
        if len(spans) <= most:
            return [text]
        starts = [0, *(spans[at][0] for at in range(most, len(spans), most)), len(text)]
        return [text[start:end] for start, end in pairwise(starts) if text[start:end].strip()]
