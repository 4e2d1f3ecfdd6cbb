"""What tasks share that train sentence encoders: tokens, pooled vectors of length 1, and the files that serve.

Folders are laid out as sentence-transformers lays them out; its modules are the transformer, the mean of the tokens or
the first one, and the length of 1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.data import Part
from training.errors import RecipeError
from training.tasks.base import Prediction, Row, Task, padded
from training.tasks.generating import cut_to

if TYPE_CHECKING:
    import torch

    from models.encoder_files import EncoderFiles

_MODULES = ("Transformer", "Pooling", "Normalize")
_SENTENCE_CONFIG = "config_sentence_transformers.json"


class SentenceEncoder(Task):
    """Trains a base that gives token vectors; served by `LocalEmbeddings`, which opens no adapters."""

    role = "embed"
    simple_rule = "the base before training"
    rows_apart = False  # its loss compares the rows of a batch
    auto_class = "AutoModel"
    merges_adapters = True

    _files: EncoderFiles
    _home: Path

    def see(self, model: Any, home: Path, bf16: bool) -> None:
        from models.catalog import find
        from models.encoder_files import EncoderFiles
        from models.prepare import folder_of

        super().see(model, home, bf16)
        self._home = home
        assert self.recipe.base is not None
        self._files = EncoderFiles(folder_of(find(self.recipe.base, None, home), home))
        _ = self.pooling  # refused before anything is computed

    def attach(self, tokenizer: Any, window: int) -> None:
        super().attach(tokenizer, min(window, self._files.window))

    @cached_property
    def pooling(self) -> Literal["mean", "first"]:
        """How the base makes one vector of its tokens'.

        Raises:
            RecipeError: in a way that is not learned here.
        """
        own = self._files.pooling
        named = own.get("pooling_mode")
        modes = {named} if isinstance(named, str) else set(named or ())
        modes |= {
            key.removeprefix("pooling_mode_") for key, on in own.items() if key.startswith("pooling_mode_") and on
        }
        dense = any(module.endswith("Dense") for module in self._files.modules)
        if not dense and modes <= {"mean", "mean_tokens"}:
            return "mean"
        if not dense and modes in ({"cls"}, {"cls_token"}):
            return "first"
        raise RecipeError(
            self.recipe.path.name,
            "base",
            f"an encoder with {'a dense layer' if dense else ' and '.join(sorted(modes))}",
            "one whose vector is the mean of its tokens or the first one",
        )

    def ids(self, text: str, purpose: Literal["query", "document"]) -> tuple[list[int], bool]:
        """A text's tokens, the base's prompt for the purpose before it, and whether the window cut some off."""
        whole = list(self.tokenizer(self._files.prompt(purpose) + text, verbose=False)["input_ids"])
        return cut_to(whole, self.max_tokens), len(whole) > self.max_tokens

    def inputs(self, ids: list[list[int]], name: str) -> dict[str, torch.Tensor]:
        """Texts as a padded batch, its tensors named `<name>_ids` and `<name>_mask`."""
        mask = padded([[1] * len(row) for row in ids], 0)
        return {f"{name}_ids": padded(ids, int(self.tokenizer.pad_token_id or 0)), f"{name}_mask": mask}

    def vectors(self, model: Any, batch: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        """The vectors of length 1 of a batch's texts, shape (texts, size), in float32."""
        from torch.nn import functional

        from models.tasks.features import mean_vectors

        mask = batch[f"{name}_mask"]
        states = model(input_ids=batch[f"{name}_ids"], attention_mask=mask).last_hidden_state.float()
        if self.pooling == "first":
            return functional.normalize(states[:, 0], dim=-1)
        return mean_vectors(states, mask)

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        return self.predict(self._files.folder, self._home, rows)

    def model_files(self, folder: Path) -> None:
        places = ("", "1_Pooling", "2_Normalize")
        modules = [
            {"idx": index, "name": str(index), "path": place, "type": f"sentence_transformers.models.{kind}"}
            for index, (kind, place) in enumerate(zip(_MODULES, places, strict=True))
        ]
        _write(folder / "modules.json", modules)
        _write(folder / "sentence_bert_config.json", {"max_seq_length": self._files.window, "do_lower_case": False})
        mean = self.pooling == "mean"
        _write(
            folder / places[1] / "config.json",
            {
                "word_embedding_dimension": self.base_config["hidden_size"],
                "pooling_mode_cls_token": not mean,
                "pooling_mode_mean_tokens": mean,
            },
        )
        (folder / places[2]).mkdir(exist_ok=True)
        if (self._files.folder / _SENTENCE_CONFIG).is_file():
            shutil.copyfile(self._files.folder / _SENTENCE_CONFIG, folder / _SENTENCE_CONFIG)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
