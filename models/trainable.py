"""A model's folder to a model that can learn, in the format that training wants.

Where the task needs a head that the files do not have, it begins with random numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.device import choose_device
from models.encoder_files import encoder_folder
from models.errors import BrokenModel
from models.files import read_config, read_weights
from models.loading import load_tokenizer, model_from_files
from models.transformers_calls import alone, as_broken, quiet


def load_for_training(
    folder: Path,
    *,
    auto_class: str,
    changes: dict[str, Any],
    frozen_base: bool,
    chat_template: str | None = None,
    in_4_bits: bool = False,
) -> tuple[Any, Any, tuple[str, ...]]:
    """The model with its new head, its tokenizer, and the names of the modules whose weights are new.

    Never shared with the models that serve. Which numbers a new head begins with comes from torch's generator.

    Args:
        folder: A model's folder, or a sentence encoder's.
        auto_class: The transformers class, such as `AutoModelForSequenceClassification`.
        changes: Changes to the configuration, such as the labels.
        frozen_base: The base's weights will not learn, so they are kept in the format this machine computes in;
            float32 otherwise, as steps smaller than bfloat16 can tell apart would be lost.
        chat_template: Name of a chat template of ours.
        in_4_bits: Load through bitsandbytes, on a GPU.

    Raises:
        BrokenModel, UnsafeModel, ModelNotFound: as for every model.
    """
    import torch
    import transformers

    inner = encoder_folder(folder)
    read_config(inner), read_weights(inner)  # refuses pickles, code and truncated files before anything is loaded
    choice = choose_device()
    dtype = choice.torch_dtype if frozen_base else torch.float32
    more: dict[str, Any] = {}
    if in_4_bits:
        more["quantization_config"] = transformers.BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True, bnb_4bit_compute_dtype=choice.torch_dtype
        )
    model, missing = model_from_files(inner, auto_class, dtype, **changes, **more)
    head = _new_modules(missing)
    if head and head == _all_modules(model):
        raise BrokenModel(folder, f"none of its weights fit the class {type(model).__name__}")
    tokenizer = load_tokenizer(
        folder if (folder / "tokenizer_config.json").is_file() else inner, chat_template=chat_template
    )
    return model, tokenizer, head


def _new_modules(missing: list[str]) -> tuple[str, ...]:
    """Names of the outermost modules, below the base itself, that hold weights the files did not have."""
    names = set()
    for key in missing:
        parts = key.split(".")
        # `bert.pooler.dense.weight` belongs to the pooler, `classifier.weight` to the classifier
        names.add("pooler" if "pooler" in parts else parts[0] if len(parts) <= 3 else parts[-2])
    return tuple(sorted(names))


def _all_modules(model: Any) -> tuple[str, ...]:
    return tuple(sorted(name for name, _ in model.named_children()))


def save_new_model(folder: Path, auto_class: str, config: dict[str, Any]) -> None:
    """Writes a model with weights that nobody has trained, drawn from torch's generator.

    Args:
        folder: Where its files go, beside those of its tokenizer.
        auto_class: The transformers class, such as `AutoModelForSeq2SeqLM`.
        config: The configuration's values; `model_type` names the architecture.

    Raises:
        BrokenModel: the values do not make a model.
    """
    import transformers

    with alone, quiet(), as_broken(folder):
        values = dict(config)
        made = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
        model = getattr(transformers, auto_class).from_config(made, dtype="float32")
        model.save_pretrained(str(folder))
