"""What this machine has, as far as the choice of models depends on it.

Torch is loaded only where there is an NVIDIA driver, to ask it for the GPU's memory.
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.device import available_memory_bytes, usable_cores


@dataclass(frozen=True)
class Machine:
    """A machine's facts.

    `memory_bytes` is all that this process may ever use and `free_memory_bytes` what is free now; GPU memory is that of
    the first NVIDIA GPU, 0 without one; `disk_free_bytes` is at the data home.
    """

    memory_bytes: int
    free_memory_bytes: int
    cores: int
    disk_free_bytes: int
    gpu_memory_bytes: int = 0
    processor: str = ""
    gpu: str = ""

    def to_json(self) -> dict[str, Any]:
        """The facts by name."""
        return asdict(self)


def machine_of(home: Path) -> Machine:
    """This machine, now."""
    gpu, gpu_memory_bytes = _gpu()
    existing = next(path for path in (home, *home.parents) if path.exists())
    return Machine(
        memory_bytes=_memory_bytes(),
        free_memory_bytes=available_memory_bytes(),
        cores=usable_cores(),
        disk_free_bytes=shutil.disk_usage(existing).free,
        gpu_memory_bytes=gpu_memory_bytes,
        processor=_processor(),
        gpu=gpu,
    )


def _memory_bytes() -> int:
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total  # no container
    return min(total, int(limit)) if limit.isdigit() else total


def _gpu() -> tuple[str, int]:
    if not (Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")):
        return "", 0
    import torch

    if not torch.cuda.is_available():
        return "", 0
    facts = torch.cuda.get_device_properties(0)
    return str(facts.name), int(facts.total_memory)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.machine()
