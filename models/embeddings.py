"""LocalEmbeddings: a sentence encoder on this machine as LangChain Embeddings, with what an index needs to know of it.

OpenVINO computes where the model's checked conversion is ready, else langchain-huggingface's HuggingFaceEmbeddings, in
bfloat16 where the CPU has it; both in length-sorted batches.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from models.catalog import find
from models.encoder_files import EncoderFiles
from models.engines.choice import ConvertedChoice, EngineName, encoder_choice
from models.loading import load_embeddings
from models.prepare import folder_of
from models.remote import RemoteOptions, open_remote_embeddings

if TYPE_CHECKING:
    from langchain_huggingface import HuggingFaceEmbeddings

    from models.engines.openvino_sentences import ConvertedSentenceEncoder
    from models.vector_cache import VectorCache, Vectors

# One batch is what the CPU's cache likes (measured: eight passages of 900 characters run a quarter faster than 32), and
# one turn at the encoder: a question asked during an ingest waits for no more than this.
_BATCH_CHARACTERS = 8_000
_BATCH_TEXTS = 64
_PIECE_CHARACTERS = 100_000
# A conversion costs about fifteen seconds beside other work, and saves two of three on what comes after it.
_WORTH_CONVERTING = 1_000


def open_embeddings(
    name: str | None = None,
    *,
    home: Path,
    remote: RemoteOptions | None = None,
    engine: EngineName = "auto",
    cache: bool = False,
) -> Embeddings:
    """The sentence encoder of that name (None: the embedded default); it loads, or is connected to, at its first use.

    Args:
        name: What `catalog.find` takes: a name, a folder or an address.
        home: The data folder.
        remote: How to reach a model on another machine; without effect on one of this machine.
        engine: What runs a model of this machine; see LocalEmbeddings, as for `cache`.
        cache: Whether documents' vectors are kept on disk by the texts' hashes.

    Raises:
        ModelNotFound, WrongRole, BadEndpoint: no such encoder, with the nearest known names.
        MissingExtra: a remote model's packages are not installed.
    """
    entry = find(name, "embed", home)
    if entry.kind == "remote":
        return open_remote_embeddings(entry, remote)
    return LocalEmbeddings(name, home=home, engine=engine, cache=cache)


class LocalEmbeddings(Embeddings):
    """Vectors of length 1 for texts, from a model loaded once a process; safe to call from several threads.

    Everything an index asks before embedding (`fingerprint`, `dimension`, `max_tokens`, `token_spans`) is read from the
    model's files and loads no torch; nor does embedding with OpenVINO.

    Args:
        model: The model's name; None is the embedded default.
        home: The data folder.
        engine: "torch", "openvino", or "auto": OpenVINO once its conversion is ready, torch until then.
        cache: Keep the vectors of documents on disk by the texts' hashes, and take them from there.
    """

    def __init__(
        self, model: str | None = None, *, home: Path, engine: EngineName = "auto", cache: bool = False
    ) -> None:
        self._entry = find(model, "embed", home)
        self._home = home
        self._engine = engine
        self._cached = cache
        self._turn = threading.Lock()
        self._embedded_by_torch = 0

    @property
    def model(self) -> str:
        """The model's name, with its revision where it has one."""
        return self._entry.label

    @cached_property
    def folder(self) -> Path:
        """The folder with the model's files; an embedded model is prepared first."""
        return folder_of(self._entry, self._home)

    def load(self) -> HuggingFaceEmbeddings:
        """Loads the torch model now, once a process."""
        return load_embeddings(self.folder, name=self._entry.label, batch_size=_BATCH_TEXTS)

    def begin_conversion(self) -> None:
        """Converts for OpenVINO in a child process, unless that is done, known to fail, or a GPU serves."""
        from models.device import choose_device

        if self._engine != "torch" and choose_device().device == "cpu":
            self._choice.begin_conversion()

    def stop_conversion(self) -> None:
        """Ends a conversion that this process began, if it still runs."""
        if "_choice" in self.__dict__:
            self._choice.stop_conversion()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order; computed longest first, so that batches hold texts of like length.

        Raises:
            EngineUnavailable: the engine "openvino" was asked for by name and cannot serve here yet.
        """
        if not texts:
            return []
        found: list[list[float]] = (
            self._cache.through(texts, self._documents) if self._cached else self._documents(texts)
        ).tolist()
        return found

    def embed_query(self, text: str) -> list[float]:
        """The vector of a search query, with the model's query prompt where it has one.

        Raises:
            EngineUnavailable: as for `embed_documents`.
        """
        if converted := self._converted():
            found: list[float] = converted.query(text).tolist()
            return found
        encoder = self.load()
        with self._turn:
            return encoder.embed_query(text)

    def _documents(self, texts: list[str]) -> Vectors:
        if converted := self._converted():
            return converted.documents(texts)
        self._embedded_by_torch += len(texts)
        if self._embedded_by_torch >= _WORTH_CONVERTING:
            self.begin_conversion()
        return self._by_torch(texts)

    def _by_torch(self, texts: list[str]) -> Vectors:
        import numpy as np

        encoder = self.load()
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch in _batches(texts):
            with self._turn:  # its tokenizer's settings are switched while it runs, so threads take turns
                vectors[batch] = encoder.embed_documents([texts[index] for index in batch])
        return vectors

    def _converted(self) -> ConvertedSentenceEncoder | None:
        if self._engine == "torch":
            return None
        return self._choice.demanded() if self._engine == "openvino" else self._choice.converted()

    @cached_property
    def _choice(self) -> ConvertedChoice[ConvertedSentenceEncoder]:
        def open_converted(folder: Path) -> ConvertedSentenceEncoder:
            from models.engines.openvino_sentences import ConvertedSentenceEncoder

            return ConvertedSentenceEncoder(self.files, folder)

        return encoder_choice(self.folder, self._home, self._entry.label, "vectors", open_converted)

    @cached_property
    def _cache(self) -> VectorCache:
        from models.vector_cache import VectorCache

        return VectorCache(self._home / "cache", self.fingerprint, self.dimension)

    @cached_property
    def files(self) -> EncoderFiles:
        """What the model's files say of it."""
        return EncoderFiles(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """What two encoders must share for their vectors to be comparable, as 64 hex digits.

        Model, weights, pooling, normalisation, prompts and dimension; neither device nor number format nor engine: a
        conversion serves only if its vectors lie within a cosine of 0.998 of float32, so an index may hold both.
        """
        facts = {
            "model": self._entry.name,
            "revision": self._entry.revision,
            "weights_sha256": self.files.weights_sha256(),
            "pooling": self.files.pooling,
            "normalised": True,
            "prompts": self.files.prompts,
            "dimension": self.dimension,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def dimension(self) -> int:
        """Numbers in each vector."""
        return self.files.dimension

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that the model reads, its own special tokens not counted; the rest is cut off unread."""
        return self.files.max_tokens

    def token_spans(self, text: str) -> NDArray[np.int64]:
        """(n, 2), start and end of each token in the text's characters, end exclusive, special tokens left out.

        Long texts are tokenised in pieces cut at white space, so memory follows the result and not the text; a table
        takes a tenth of what as many pairs of numbers would.
        """
        spans = [np.empty((0, 2), np.int64)]
        for start, piece in _pieces(text):
            encoding = self.files.tokenizer.encode(piece, add_special_tokens=False)
            spans.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + start)
        return np.concatenate(spans)


def _batches(texts: list[str]) -> Iterator[list[int]]:
    """Indexes of the texts, longest first, in batches of bounded characters and number."""
    batch: list[int] = []
    characters = 0
    for index in sorted(range(len(texts)), key=lambda index: -len(texts[index])):
        if batch and (len(batch) >= _BATCH_TEXTS or characters + len(texts[index]) > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(index)
        characters += len(texts[index])
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces of bounded length with their start, each cut before white space where there is some."""
    start = 0
    while start < len(text):
        end = _cut(text, start)
        yield start, text[start:end]
        start = end


def _cut(text: str, start: int) -> int:
    end = start + _PIECE_CHARACTERS
    if end >= len(text):
        return len(text)
    space = next((at for at in range(end, start + _PIECE_CHARACTERS // 2, -1) if text[at].isspace()), None)
    return space if space is not None else end
