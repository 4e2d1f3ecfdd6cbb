"""Stand-ins for models, deterministic and small, for tests of the rooms that receive models as guests."""

from __future__ import annotations

import math
import re
import threading
import zlib

from langchain_core.embeddings import Embeddings

_WORD = re.compile(r"\w+|[^\w\s]")
_JOIN_SECONDS = 30


def join_threads(name: str) -> None:
    """Wait until every thread of that name has ended."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(_JOIN_SECONDS)
            assert not thread.is_alive(), f"{name} still works"


class HashEmbeddings(Embeddings):
    """A bag of hashed words, normalised: texts that share words are near, the same text is always the same vector."""

    def __init__(self, fingerprint: str = "hash-64", dimension: int = 64, max_tokens: int = 256) -> None:
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.embedded = 0
        """Texts embedded so far."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.embedded += len(texts)
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * self.dimension
        for word in _WORD.findall(text.lower()):
            value = zlib.crc32(word.encode())
            counts[value % self.dimension] += 1.0 if value & 0x10000 else -1.0
        length = math.sqrt(sum(count * count for count in counts)) or 1.0
        return [count / length for count in counts]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Words and marks; a word of more than 100 characters is one token, as in BERT's tokenizer."""
        return [match.span() for match in _WORD.finditer(text)]
