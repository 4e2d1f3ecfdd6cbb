"""The mean of the weights at the ends of the last epochs, which is often better than any of them.

Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 6.1. The snapshots lie beside the checkpoints and
are the same after a resume, as the steps they are taken at are made anew exactly.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from training.optimizer import learning

_NAME = "weights-"


class Averaging:
    """Keeps the last `count` snapshots in `folder`; none where `count` is 0."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def keep(self, model: Any, step: int) -> None:
        """Writes the weights as they are after `step`, and removes what is no longer among the last."""
        from safetensors.torch import save_file

        if not self._count:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{_NAME}{step:07}.safetensors"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        save_file({name: one.detach().contiguous() for name, one in learning(model).items()}, temporary)
        temporary.replace(path)
        for old in self._all(step)[: -self._count]:
            old.unlink()

    def put_mean(self, model: Any, step: int) -> bool:
        """Gives the model the mean of the snapshots up to `step`; False, and nothing changed, where there are none."""
        import torch
        from safetensors.torch import load_file

        found = self._all(step)[-self._count :] if self._count else []
        if not found:
            return False
        own = learning(model)
        sums = {name: torch.zeros_like(one, dtype=torch.float64) for name, one in own.items()}
        for path in found:
            for name, one in load_file(path).items():
                sums[name] += one.to(sums[name].device)
        with torch.no_grad():
            for name, one in own.items():
                one.copy_(sums[name] / len(found))
        return True

    def _all(self, step: int) -> list[Path]:
        """Snapshots of steps so far, oldest first; those of later steps are from before an interruption."""
        paths = sorted(self._folder.glob(f"{_NAME}*.safetensors"))
        return [path for path in paths if int(path.stem.removeprefix(_NAME)) <= step]
