"""LocalEmbeddings: a sentence encoder on this machine as LangChain Embeddings, with what an index needs to know of it.

Built on langchain-huggingface's HuggingFaceEmbeddings, in bfloat16 where the CPU has it and in length-sorted batches.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from models.catalog import find
from models.errors import BrokenModel
from models.files import read_config, read_json, read_weights
from models.loading import encoder_folder, load_embeddings
from models.manifest import read_manifest, sha256_of
from models.prepare import folder_of
from models.remote import RemoteOptions, open_remote_embeddings

if TYPE_CHECKING:
    from langchain_huggingface import HuggingFaceEmbeddings
    from tokenizers import Tokenizer

# One batch is what the CPU's cache likes (measured: eight passages of 900 characters run a quarter faster than 32), and
# one turn at the encoder: a question asked during an ingest waits for no more than this.
_BATCH_CHARACTERS = 8_000
_BATCH_TEXTS = 64
_PIECE_CHARACTERS = 100_000


def open_embeddings(name: str | None = None, *, home: Path, remote: RemoteOptions | None = None) -> Embeddings:
    """The sentence encoder of that name (None: the embedded default); it loads, or is connected to, at its first use.

    Args:
        name: What `catalog.find` takes: a name, a folder or an address.
        home: The data folder.
        remote: How to reach a model on another machine; without effect on one of this machine.

    Raises:
        ModelNotFound, WrongRole, BadEndpoint: no such encoder, with the nearest known names.
        MissingExtra: a remote model's packages are not installed.
    """
    entry = find(name, "embed", home)
    if entry.kind == "remote":
        return open_remote_embeddings(entry, remote)
    return LocalEmbeddings(name, home=home)


class LocalEmbeddings(Embeddings):
    """Vectors of length 1 for texts, from a model loaded once a process; safe to call from several threads.

    Everything an index asks before embedding (`fingerprint`, `dimension`, `max_tokens`, `token_spans`) is read from the
    model's files and loads no torch.
    """

    def __init__(self, model: str | None = None, *, home: Path) -> None:
        self._entry = find(model, "embed", home)
        self._home = home
        self._turn = threading.Lock()

    @property
    def model(self) -> str:
        """The model's name, with its revision where it has one."""
        return self._entry.label

    @cached_property
    def folder(self) -> Path:
        """The folder with the model's files; an embedded model is prepared first."""
        return folder_of(self._entry, self._home)

    def load(self) -> HuggingFaceEmbeddings:
        """Loads the model now, once a process."""
        return load_embeddings(self.folder, name=self._entry.label, batch_size=_BATCH_TEXTS)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order; computed longest first, so that batches hold texts of like length."""
        encoder = self.load()
        vectors: list[list[float]] = [[]] * len(texts)
        for batch in _batches(texts):
            with self._turn:  # its tokenizer's settings are switched while it runs, so threads take turns
                found = encoder.embed_documents([texts[index] for index in batch])
            for index, vector in zip(batch, found, strict=True):
                vectors[index] = vector
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a search query, with the model's query prompt where it has one."""
        encoder = self.load()
        with self._turn:
            return encoder.embed_query(text)

    @cached_property
    def fingerprint(self) -> str:
        """What two encoders must share for their vectors to be comparable, as 64 hex digits.

        Model, weights, pooling, normalisation, prompts and dimension; neither device nor number format.
        """
        facts = {
            "model": self._entry.name,
            "revision": self._entry.revision,
            "weights_sha256": self._weights_sha256(),
            "pooling": self._pooling(),
            "normalised": True,
            "prompts": self._prompts(),
            "dimension": self.dimension,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def dimension(self) -> int:
        """Numbers in each vector."""
        pooled = self._pooling()
        size = pooled.get("embedding_dimension", pooled.get("word_embedding_dimension"))
        if size is None:
            size = read_config(encoder_folder(self.folder)).get("hidden_size")
        modes = sum(bool(on) for key, on in pooled.items() if key.startswith("pooling_mode_")) or 1
        for module in self._modules():
            if module.endswith("Dense"):
                size, modes = read_json(self.folder / module / "config.json").get("out_features"), 1
        if not isinstance(size, int):
            raise BrokenModel(self.folder, "its files do not say how long its vectors are")
        return size * modes

    @cached_property
    def max_tokens(self) -> int:
        """Tokens of a text that the model reads, its own special tokens not counted; the rest is cut off unread."""
        config = read_config(encoder_folder(self.folder))
        own = read_json(encoder_folder(self.folder) / "sentence_bert_config.json").get("max_seq_length")
        read = own or read_json(self.folder / "tokenizer_config.json").get("model_max_length")
        most = min(n for n in (read, config.get("max_position_embeddings"), 10**9) if isinstance(n, int))
        return int(most) - self._tokenizer.num_special_tokens_to_add(False)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token in the text's characters, end exclusive, special tokens left out.

        Long texts are tokenised in pieces cut at white space, so memory follows the result and not the text.
        """
        spans: list[tuple[int, int]] = []
        for start, piece in _pieces(text):
            encoding = self._tokenizer.encode(piece, add_special_tokens=False)
            spans.extend((start + left, start + right) for left, right in encoding.offsets)
        return spans

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        path = encoder_folder(self.folder) / "tokenizer.json"
        if not path.is_file():
            path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise BrokenModel(self.folder, "tokenizer.json is missing")
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()  # the file's own limit would silently drop the end of a text
        tokenizer.no_padding()
        return tokenizer

    def _weights_sha256(self) -> str:
        manifest = read_manifest(self.folder)
        if manifest:
            return manifest.weights_sha256()
        hashes = [sha256_of(path) for path in read_weights(encoder_folder(self.folder)).files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def _modules(self) -> list[str]:
        path = self.folder / "modules.json"
        if not path.is_file():
            return []
        encoder_folder(self.folder)  # refuses what is not safe or not readable
        return [str(module["path"]) for module in json.loads(path.read_text(encoding="utf-8"))]

    def _pooling(self) -> dict[str, Any]:
        found = next((path for path in self._modules() if path.endswith("Pooling")), None)
        return read_json(self.folder / found / "config.json") if found else {}

    def _prompts(self) -> dict[str, Any]:
        prompts = read_json(self.folder / "config_sentence_transformers.json").get("prompts")
        return prompts if isinstance(prompts, dict) else {}


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
