"""What a sentence encoder's files say of it: tokens, window, pooling, prompts, length of its vectors.

Nothing here loads weights or imports torch.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BrokenModel, UnsafeModel
from models.files import read_config, read_json, read_weights
from models.manifest import read_manifest, sha256_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def encoder_folder(folder: Path) -> Path:
    """Where a sentence encoder keeps its transformer: the folder itself, or the one its modules.json names.

    Raises:
        UnsafeModel: modules.json names a class that sentence-transformers does not ship, or leaves the folder.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return folder
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        facts = [(str(module["type"]), str(module["path"])) for module in modules]
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenModel(folder, "modules.json cannot be read") from error
    for kind, inner in facts:
        if not kind.startswith("sentence_transformers."):
            raise UnsafeModel(folder, f"modules.json asks for the class {kind}")
        if not (folder / inner).resolve().is_relative_to(folder.resolve()):
            raise UnsafeModel(folder, "modules.json points outside the folder")
    return folder / facts[0][1] if facts else folder


class EncoderFiles:
    """A sentence encoder's folder, as sentence-transformers lays it out; a plain transformer's folder will do.

    Raises:
        UnsafeModel, BrokenModel: from each property, where a file is unsafe, missing or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without truncation or padding; treat it as read-only."""
        return self.new_tokenizer()

    def new_tokenizer(self) -> Tokenizer:
        """A tokenizer of one's own, without truncation or padding."""
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

    @cached_property
    def window(self) -> int:
        """Most tokens of a text that the model reads, its own special tokens counted; the rest is cut off unread."""
        config = read_config(encoder_folder(self.folder))
        own = read_json(encoder_folder(self.folder) / "sentence_bert_config.json").get("max_seq_length")
        read = own or read_json(self.folder / "tokenizer_config.json").get("model_max_length")
        return int(min(n for n in (read, config.get("max_position_embeddings"), 10**9) if isinstance(n, int)))

    @cached_property
    def pad_id(self) -> int:
        """The token that fills up a batch; some models count positions by it."""
        return int(read_config(encoder_folder(self.folder)).get("pad_token_id") or 0)

    @property
    def max_tokens(self) -> int:
        """The window less the model's own special tokens."""
        return self.window - int(self.tokenizer.num_special_tokens_to_add(False))

    @cached_property
    def dimension(self) -> int:
        """Numbers in each vector."""
        size = self.pooling.get("embedding_dimension", self.pooling.get("word_embedding_dimension"))
        if size is None:
            size = read_config(encoder_folder(self.folder)).get("hidden_size")
        modes = sum(bool(on) for key, on in self.pooling.items() if key.startswith("pooling_mode_")) or 1
        if isinstance(several := self.pooling.get("pooling_mode"), list):
            modes = len(several)
        for module in self.modules:
            if module.endswith("Dense"):
                size, modes = read_json(self.folder / module / "config.json").get("out_features"), 1
        if not isinstance(size, int):
            raise BrokenModel(self.folder, "its files do not say how long its vectors are")
        return size * modes

    @cached_property
    def modules(self) -> list[str]:
        """Paths of the modules that run one after another, relative to the folder; empty for a plain transformer."""
        path = self.folder / "modules.json"
        if not path.is_file():
            return []
        encoder_folder(self.folder)  # refuses what is not safe or not readable
        return [str(module["path"]) for module in json.loads(path.read_text(encoding="utf-8"))]

    @cached_property
    def pooling(self) -> dict[str, Any]:
        """How token vectors become one; empty where no file says so, which means their mean."""
        found = next((path for path in self.modules if path.endswith("Pooling")), None)
        return read_json(self.folder / found / "config.json") if found else {}

    @cached_property
    def prompts(self) -> dict[str, Any]:
        """What is put before a text, by the purpose: "query", "document" and others."""
        prompts = self._sentence_config.get("prompts")
        return prompts if isinstance(prompts, dict) else {}

    def prompt(self, purpose: str) -> str:
        """What is put before each text for this purpose: its own prompt, else the model's default, else nothing."""
        name = purpose if purpose in self.prompts else self._sentence_config.get("default_prompt_name")
        return str(self.prompts.get(name) or "") if name else ""

    def weights_sha256(self) -> str:
        """One hash of all weights; see `Manifest.weights_sha256`."""
        manifest = read_manifest(self.folder)
        if manifest:
            return manifest.weights_sha256()
        hashes = [sha256_of(path) for path in read_weights(encoder_folder(self.folder)).files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    @cached_property
    def _sentence_config(self) -> dict[str, Any]:
        return read_json(self.folder / "config_sentence_transformers.json")
