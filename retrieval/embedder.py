"""The embedding guest as this room uses it: unit vectors, a fingerprint, and the guest's own tokens.

Any LangChain Embeddings will do; what Hearth's own adds (fingerprint, dimension, max_tokens, token_spans) is used when
it is there and replaced by an estimate when it is not.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from retrieval.errors import BadEmbedding
from retrieval.splitters import Spans

_PIECES = re.compile(r"[A-Za-z0-9_]{1,6}|\w|[^\w\s]")
"""A rough stand-in for subword tokens where the guest cannot tell its own: more pieces than most tokenizers make."""
_DEFAULT_MAX_TOKENS = 256


@dataclass(frozen=True)
class Identity:
    """Which model made vectors: the fingerprint decides, the label is what a person knows it by."""

    fingerprint: str
    dimension: int
    label: str


class Embedder:
    """Wraps the guest; `embed` gives float32 unit rows, so an inner product is a cosine."""

    def __init__(self, guest: Embeddings) -> None:
        self._guest = guest
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """What the vectors depend on, as one string: never compare vectors of two fingerprints."""
        own = getattr(self._guest, "fingerprint", None)
        if own:
            return str(own)
        kind = type(self._guest)
        return f"{kind.__module__}.{kind.__qualname__}:{self._name}:{self.dimension}"

    @cached_property
    def dimension(self) -> int:
        """Numbers in a vector."""
        own = getattr(self._guest, "dimension", None)
        return int(own) if own else len(self._guest.embed_query("dimension"))

    @cached_property
    def identity(self) -> Identity:
        """Everything the store keeps about the model that made its vectors."""
        return Identity(self.fingerprint, self.dimension, self._name or self.fingerprint[:16])

    @property
    def _name(self) -> str:
        return str(getattr(self._guest, "model", None) or getattr(self._guest, "model_name", None) or "")

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that the model reads; the rest would be cut off silently, so chunks stay below it."""
        return int(getattr(self._guest, "max_tokens", None) or _DEFAULT_MAX_TOKENS)

    def token_spans(self, text: str) -> Spans:
        """Character offsets of each token of the text, without special tokens."""
        own: Callable[[str], Spans] | None = getattr(self._guest, "token_spans", None)
        if own is not None:
            with self._lock:
                return own(text)
        return [found.span() for found in _PIECES.finditer(text)]

    def longer_than_it_reads(self, texts: Sequence[str]) -> int:
        """How many of these texts have more tokens than the model reads, so that their ends would not count."""
        most = self.max_tokens
        return sum(1 for text in texts if len(text) > most and len(self.token_spans(text)) > most)

    def embed(self, texts: Sequence[str], library: str) -> NDArray[np.float32]:
        """Unit vectors (n, dimension), in the order of the texts.

        Raises:
            BadEmbedding: the guest gave another number or length of vectors, or NaN; they would poison every search.
        """
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        return self._unit(self._guest.embed_documents(list(texts)), len(texts), library)

    def embed_query(self, text: str, library: str) -> NDArray[np.float32]:
        """Unit vector (dimension,) of a query."""
        row: NDArray[np.float32] = self._unit([self._guest.embed_query(text)], 1, library)[0]
        return row

    def unit(self, vector: Sequence[float], library: str) -> NDArray[np.float32]:
        """A vector of this model that was made elsewhere, as unit vector (dimension,)."""
        row: NDArray[np.float32] = self._unit([vector], 1, library)[0]
        return row

    @property
    def guest(self) -> Embeddings:
        """The embedding model itself."""
        return self._guest

    def _unit(self, rows: Sequence[Sequence[float]], count: int, library: str) -> NDArray[np.float32]:
        try:
            vectors = np.asarray(rows, np.float32)
        except ValueError as error:
            raise BadEmbedding(library, "they have different lengths") from error
        if vectors.shape != (count, self.dimension):
            raise BadEmbedding(library, f"shape {vectors.shape} instead of {(count, self.dimension)}")
        if not np.isfinite(vectors).all():
            raise BadEmbedding(library, "some numbers are not finite")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return unit
