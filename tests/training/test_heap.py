"""Freed memory goes back to the system."""

from __future__ import annotations

import platform

import numpy as np
import psutil
import pytest

from training.heap import give_back_freed

_MIB = 1024**2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_was_freed_between_blocks_in_use_is_given_back() -> None:
    """64 MiB in blocks of 64 KiB, every other one freed, so that none of it lies at the heap's end."""
    process = psutil.Process()
    blocks = [np.ones(64 * 1024, np.uint8) for _ in range(1024)]
    del blocks[::2]
    before = process.memory_info().rss
    give_back_freed()
    given_back = before - process.memory_info().rss
    assert given_back > 20 * _MIB
    assert all(block[-1] == 1 for block in blocks)
