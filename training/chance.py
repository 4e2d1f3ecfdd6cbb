"""The state of every random generator that training draws from, as plain numbers and tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chance:
    """Tensors (torch's states, one a device) and JSON-able numbers (Python's and NumPy's)."""

    tensors: dict[str, Any]
    numbers: dict[str, Any]


def seed_all(seed: int) -> None:
    """Seeds every generator alike."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def read_chance() -> Chance:
    """Where every generator stands."""
    import numpy as np
    import torch

    state: Any = np.random.get_state()
    kind, keys, *rest = state
    tensors = {"cpu": torch.get_rng_state()}
    tensors |= {f"cuda{index}": torch.cuda.get_rng_state(index) for index in range(_gpus())}
    numbers = {"python": random.getstate(), "numpy": [kind, [int(key) for key in keys], *rest]}
    return Chance(tensors, numbers)


def set_chance(chance: Chance) -> None:
    """Puts every generator back."""
    import numpy as np
    import torch

    version, inner, gauss = chance.numbers["python"]
    random.setstate((version, tuple(inner), gauss))
    kind, keys, *rest = chance.numbers["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(chance.tensors["cpu"])
    for index in range(_gpus()):
        if f"cuda{index}" in chance.tensors:
            torch.cuda.set_rng_state(chance.tensors[f"cuda{index}"], index)


@contextmanager
def kept_chance() -> Iterator[None]:
    """Whatever is drawn inside leaves the generators as they were."""
    before = read_chance()
    try:
        yield
    finally:
        set_chance(before)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
