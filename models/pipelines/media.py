"""Local files to pictures, sound and frames: nothing is fetched, and decoding happens in a limited child process.

A file that loops, swells or crashes its decoder costs one child and one sentence.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from models.errors import MissingPackage, ModelError
from models.pipelines import media_child
from models.pipelines.errors import BrokenMedia, MediaTooLarge, NotALocalFile, UnsupportedMedia

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Source = str | Path | bytes
"""A path on this machine, or a file's content."""

WALL_SECONDS = 120.0
FILE_BYTES = {"image": 200 << 20, "audio": 1 << 30, "video": 2 << 30}
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)
_HEADER_BYTES = 4096
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def read_image(source: Source) -> Image:
    """A picture, upright and in RGB.

    Raises:
        NotALocalFile: an address, or no file on this machine.
        UnsupportedMedia, BrokenMedia, MediaTooLarge: it cannot be decoded.
    """
    header, data = _decoded("image", source, 1)
    return _pictures(header, data)[0]


def read_audio(source: Source, rate: int) -> NDArray[np.float32]:
    """A recording as one channel at `rate` samples a second, shape (samples,), about -1 to 1.

    Raises:
        As `read_image`; MissingPackage: a format that the extra package av reads.
    """
    import numpy as np

    header, data = _decoded("audio", source, 1)
    sound = np.frombuffer(data, dtype=np.float32)
    if not sound.size:
        raise BrokenMedia(name_of(source), "holds no sound")
    own = int(header["rate"])
    if own == rate:
        return sound.copy()
    from scipy.signal import resample_poly

    common = math.gcd(own, rate)
    resampled: NDArray[np.float32] = resample_poly(sound, rate // common, own // common).astype(np.float32)
    return resampled


def read_video(source: Source, frames: int) -> list[Image]:
    """`frames` pictures evenly spread over a video, an animation, or a folder of pictures in the order of their names.

    Raises:
        As `read_image`; MissingPackage: a format that the extra package av reads.
    """
    folder = Path(source) if isinstance(source, (str, Path)) and not _ADDRESS.match(str(source)) else None
    if folder is None or not folder.expanduser().is_dir():
        return _pictures(*_decoded("video", source, frames))
    paths = sorted(path for path in folder.expanduser().iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        raise NotALocalFile(str(source), "is a folder without pictures: name a video, or a folder of its frames.")
    return [read_image(paths[index]) for index in media_child.spread(len(paths), frames)]


def name_of(source: Source) -> str:
    """What a message calls the file."""
    return "given as bytes" if isinstance(source, bytes) else Path(source).name


def _pictures(header: dict[str, Any], data: bytes) -> list[Image]:
    from PIL import Image

    size = (int(header["width"]), int(header["height"]))
    each = size[0] * size[1] * 3
    return [Image.frombytes("RGB", size, data[at : at + each]) for at in range(0, len(data), each)]


def _decoded(kind: str, source: Source, wanted: int) -> tuple[dict[str, Any], bytes]:
    """What the child says of a file, and the numbers it decoded."""
    name = name_of(source)
    with _opened(kind, source) as file:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", media_child.__file__, kind, str(wanted)],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            cwd="/",
            start_new_session=True,
        )
        timer = threading.Timer(WALL_SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            header = _header(process.stdout)
            if header is None:
                raise BrokenMedia(name, "is damaged in a way that stopped its decoder, or takes too long to read")
            if "code" in header:
                raise _refusal(name, header)
            size = _size_bytes(kind, header, wanted)
            data = process.stdout.read(size) if size is not None else b""
            if size is None or len(data) != size:
                raise BrokenMedia(name, "made its decoder answer nonsense")
            return header, data
        finally:
            timer.cancel()
            process.kill()
            process.communicate()


def _header(stream: IO[bytes]) -> dict[str, Any] | None:
    length = int.from_bytes(stream.read(8), "big")
    if not 0 < length <= _HEADER_BYTES:
        return None
    try:
        header = json.loads(stream.read(length))
    except ValueError:
        return None
    return header if isinstance(header, dict) else None


def _size_bytes(kind: str, header: dict[str, Any], wanted: int) -> int | None:
    """How many bytes must follow; None where the header breaks our bounds: a hostile file may have taken the child."""
    names = ("rate", "samples") if kind == "audio" else ("width", "height", "frames")
    values = [value for name in names if type(value := header.get(name)) is int and value >= 0]
    if len(values) != len(names):
        return None
    if kind == "audio":
        rate, samples = values
        return samples * 4 if 0 < rate <= 1_000_000 and samples <= rate * (media_child.AUDIO_SECONDS + 60) else None
    width, height, frames = values
    pixels = width * height
    return pixels * 3 * frames if 0 < pixels <= media_child.PIXELS and frames == wanted else None


def _refusal(name: str, header: dict[str, Any]) -> ModelError:
    found, limit = str(header.get("found")), str(header.get("limit"))
    if header["code"] == "large":
        return MediaTooLarge(name, found, limit)
    if header["code"] == "unsupported":
        return UnsupportedMedia(name, f"{found}.")
    if header["code"] == "package":
        return MissingPackage(f"The file {name} ({found})", "av")
    return BrokenMedia(name, found)


@contextmanager
def _opened(kind: str, source: Source) -> Iterator[IO[bytes]]:
    """The file, open, a plain one on this machine and not too large."""
    if isinstance(source, bytes):
        with tempfile.TemporaryFile() as file:
            file.write(source)
            file.seek(0)
            yield file
        return
    if _ADDRESS.match(str(source)):
        raise NotALocalFile(str(source), "is an address and nothing is fetched: save the file and give its path.")
    path = Path(source).expanduser()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer must not hold us
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotALocalFile(str(source), f"cannot be opened ({reason}): check the path.") from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise NotALocalFile(str(source), f"is no plain file: give the path of {_A[kind]}.")
    with os.fdopen(descriptor, "rb") as file:
        if facts.st_size > FILE_BYTES[kind]:
            raise MediaTooLarge(path.name, f"{facts.st_size >> 20} MiB", f"{FILE_BYTES[kind] >> 20} MiB")
        yield file


_A = {"image": "a picture", "audio": "a recording", "video": "a video or of a folder of pictures"}
