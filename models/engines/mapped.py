"""Pages of a mapped file that were read once and are not needed again: given back, and read anew if touched."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_DONTNEED = 4  # of madvise on Linux: drops clean pages of a private mapping of a file; the next touch reads the file


class WeightPages:
    """The mapped weights of a program.

    OpenVINO copies them into the forms that its kernels like, when the program is compiled and first run, and keeps the
    mapping, a second copy of most weights, for as long as the program is there.
    """

    def __init__(self, program: Path) -> None:
        self._weights: Path | None = program.with_suffix(".bin")

    def after_run(self) -> None:
        """Gives the pages back after the first run."""
        if self._weights is not None:
            give_back_pages(self._weights)
            self._weights = None


def give_back_pages(path: Path) -> None:
    """Lets go of this process's resident pages of a mapped file; where the system has no such call, nothing happens."""
    wanted = os.path.realpath(path)
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError, TypeError):
        return
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == wanted and "w" not in fields[1]:  # a written page would be lost
            start, end = (int(side, 16) for side in fields[0].split("-"))
            madvise(start, end - start, _DONTNEED)
