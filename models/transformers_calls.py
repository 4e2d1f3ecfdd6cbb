"""What goes around every call into transformers: one thread at a time, in silence, its errors in one sentence."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from models.errors import BrokenModel, MissingPackage

EXPORT_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What transformers' exporters raise over a model that they do not know, which a caller turns into one sentence."""
alone = threading.RLock()
"""Held while transformers makes a model: meanwhile it changes itself for all threads, and another's model would lack
the weights that it shares between layers."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers' own bars and remarks: Hearth draws its own progress and says what matters."""
    logging: Any = import_module("transformers.utils.logging")
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def as_broken(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise over bad files into one sentence."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    # what a number or word that does not belong into config.json sets off, deep inside
    families = (ImportError, OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, ArithmeticError)
    try:
        yield
    except (*families, AssertionError, SafetensorError, StrictDataclassError) as error:
        needed = re.search(r"requires the (\w+) library|Missing optional dependencies: (\w+)", str(error))
        if needed or isinstance(error, ImportError):
            package = (needed[1] or needed[2]).lower() if needed else getattr(error, "name", None) or "?"
            raise MissingPackage(f"The model in {folder}", package) from error
        reason = " ".join(str(error).split())[:300]
        raise BrokenModel(folder, f"loading failed with {type(error).__name__}: {reason}") from error


@contextmanager
def gguf_progress(on_fraction: Callable[[float], None]) -> Iterator[None]:
    """Reports transformers' GGUF reading to `on_fraction` in place of the bar it draws whatever its settings say."""
    reading: Any = import_module("transformers.modeling_gguf_pytorch_utils")

    def counted(tensors: Any, **_: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors, start=1):
            yield tensor
            on_fraction(done / len(tensors))

    original, reading.tqdm = reading.tqdm, counted
    try:
        yield
    finally:
        reading.tqdm = original
