"""What the workers of a cluster open in the tests: a library with an embedder that hashes, sound or made to die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from retrieval import Library
from retrieval.loaders import Limits
from tests.doubles import HashEmbeddings

LIMITS = Limits(chunk_tokens=20, overlap_tokens=0)
ALWAYS = Path("/dev/null")


class Dying(HashEmbeddings):
    """Ends its process without a word at the second batch of texts, once: then it leaves a note."""

    def __init__(self, note: Path) -> None:
        super().__init__()
        self.note = note
        self.batches = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches += 1
        if self.batches == 2 and (self.note == ALWAYS or not self.note.exists()):
            self.note.write_text("died")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_documents(texts)


def sound(address: str) -> Library:
    """The library with its embedder."""
    return Library.open(address, HashEmbeddings(), limits=LIMITS)


def dying(address: str, note: Path) -> Library:
    """The library with an embedder that dies as long as there is no note; ALWAYS never keeps one."""
    return Library.open(address, Dying(note), limits=LIMITS)


def of_another_model(address: str) -> Library:
    """The library with an embedder whose vectors do not fit the ones that are there."""
    return Library.open(address, HashEmbeddings("hash-other"), limits=LIMITS)
