"""The choice of device and number format, and its reason in words."""

from __future__ import annotations

import os

import pytest
import torch

from models import device
from models.device import _choose_cpu, available_memory_bytes, choose_device, usable_cores


@pytest.mark.parametrize(
    ("flags", "dtype", "word"),
    [
        ({"amx_bf16", "sse2"}, "bfloat16", "amx_bf16"),
        ({"avx512_bf16"}, "bfloat16", "avx512_bf16"),
        ({"avx2"}, "float32", "none of"),
    ],
)
def test_bfloat16_only_where_the_cpu_has_it(flags: set[str], dtype: str, word: str) -> None:
    choice = _choose_cpu(frozenset(flags), 2)
    assert (choice.device, choice.dtype) == ("cpu", dtype)
    assert word in choice.reason
    assert choice.reason.startswith("2 CPU cores")


def test_the_choice_is_one_torch_can_use() -> None:
    choice = choose_device()
    assert torch.zeros(2, device=choice.device, dtype=choice.torch_dtype).sum() == 0
    assert 1 <= choice.threads <= (os.cpu_count() or 1)


def test_a_container_quota_cuts_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"/sys/fs/cgroup/cpu.max": "150000 100000"}
    monkeypatch.setattr(device.Path, "read_text", lambda self, **_: texts[str(self)])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores() == 1
    texts["/sys/fs/cgroup/cpu.max"] = "max 100000"
    assert usable_cores() == 8


def test_free_memory_is_a_number_of_bytes_of_this_machine() -> None:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    assert 0 < available_memory_bytes() <= pages * size
