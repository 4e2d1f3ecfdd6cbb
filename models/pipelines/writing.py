"""Pictures and recordings that a task makes, as files in the folder that the caller named; nothing is overwritten."""

from __future__ import annotations

import itertools
import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import HomeNotWritable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


class Writer:
    """Writes the results of one call, named after its input, such as `photo-mask-2.png`."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder.expanduser().absolute()
        self._stem = stem

    def picture(self, picture: Image, what: str) -> str:
        """Writes a PNG; gives its absolute path."""
        path, file = self._fresh(what, ".png")
        with os.fdopen(file, "wb") as stream:
            picture.save(stream, format="PNG")
        return str(path)

    def recording(self, sound: NDArray[np.float32], rate: int, what: str) -> str:
        """Writes sound of shape (samples,) or (channels, samples), -1 to 1, as a 16-bit WAV; gives its path."""
        import numpy as np

        channels = np.atleast_2d(sound)
        samples = (np.clip(channels.T, -1, 1) * 32767).astype("<i2")
        path, file = self._fresh(what, ".wav")
        with os.fdopen(file, "wb") as stream, wave.open(stream, "wb") as out:
            out.setnchannels(samples.shape[1])
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(samples.tobytes())
        return str(path)

    def _fresh(self, what: str, ending: str) -> tuple[Path, int]:
        """A name that no file has yet, and the file opened under it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for number in itertools.count(1):
                path = self._folder / f"{self._stem}-{what}-{number}{ending}"
                try:
                    return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                except FileExistsError:
                    continue
        except OSError as error:
            raise HomeNotWritable(self._folder, error.strerror or str(error)) from error
        raise AssertionError("itertools.count never ends")


def stem_of(source: str | Path | bytes, *, is_path: bool) -> str:
    """A short, harmless file name for an input: a path's own name, or the first words of a text."""
    words = "input" if isinstance(source, bytes) else Path(source).stem if is_path else str(source)[:40]
    kept = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in words).strip("-.")
    return kept[:60] or "input"
