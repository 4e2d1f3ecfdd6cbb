"""Which device a model runs on, in which number format, with how many threads, and the reason in words."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_FAST_BF16 = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class DeviceChoice:
    """Where and how to run; `dtype` is a torch dtype's name, `threads` the CPU threads of one operation."""

    device: str
    dtype: str
    threads: int
    reason: str

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch's object."""
        import torch

        found = getattr(torch, self.dtype)
        assert isinstance(found, torch.dtype)
        return found


@functools.cache
def choose_device() -> DeviceChoice:
    """The best this machine offers: an NVIDIA GPU, else Apple's, else the CPU.

    Asked once a process; loads torch.
    """
    import torch

    # torch starts with what OMP_NUM_THREADS allows: whoever set that to less than the cores shall be obeyed
    threads = min(usable_cores(), torch.get_num_threads())
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return DeviceChoice("cuda", "bfloat16", threads, f"{name} computes in bfloat16.")
        return DeviceChoice("cuda", "float16", threads, f"{name} has no bfloat16, so float16.")
    if torch.backends.mps.is_available():
        return DeviceChoice("mps", "float16", threads, "Apple's GPU computes in float16.")
    return _choose_cpu(cpu_flags(), threads)


def _choose_cpu(flags: frozenset[str], threads: int) -> DeviceChoice:
    cores = f"{threads} CPU core{'s' if threads != 1 else ''}"
    fast = next((flag for flag in _FAST_BF16 if flag in flags), None)
    if fast:
        return DeviceChoice("cpu", "bfloat16", threads, f"{cores}, no GPU; bfloat16 because the CPU has {fast}.")
    return DeviceChoice(
        "cpu", "float32", threads, f"{cores}, no GPU; float32 because the CPU has none of {', '.join(_FAST_BF16)}."
    )


def cpu_flags() -> frozenset[str]:
    """The instruction sets of this CPU as Linux names them; empty where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(found.partition(":")[2].split())


def usable_cores() -> int:
    """CPU cores this process may use: its affinity, cut by a container's quota; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()[:2]
    except (OSError, ValueError):
        return max(1, cores)
    if quota == "max":
        return max(1, cores)
    return max(1, min(cores, int(quota) // int(period)))


def available_memory_bytes() -> int:
    """Memory a new model may take without swapping: what the system calls available, cut by a container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")) - _reclaimable_bytes()
        if limit != "max":
            available = min(available, int(limit) - used)
    except (OSError, ValueError):
        pass  # no container, or one that tells nothing: the system's own figure stands
    return max(0, available)


def _reclaimable_bytes() -> int:
    """What a container counts as used and gives up at once: files read before, which the kernel keeps for later."""
    lines = Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
