"""The child process that decodes one picture, recording or video: it limits itself, then answers and ends.

Started as a script by `media` with an empty environment and the open file as standard input. The answer is eight bytes
of length, JSON, and the decoded numbers. Nothing here opens a path.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
from typing import Any, BinaryIO

MEMORY_BYTES = 2 << 30
CPU_SECONDS = 60
PIXELS = 64_000_000
AUDIO_SECONDS = 3600
VIDEO_SIDE = 1024  # frames are made smaller than this: models look at 224 to 448 pixels
VIDEO_FRAMES = 100_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


class Refused(Exception):
    """Why a file is not decoded: a code that `media` knows, and words."""

    def __init__(self, code: str, found: str, limit: str = "") -> None:
        super().__init__(found)
        self.answer = {"code": code, "found": found, "limit": limit}


def main(kind: str, wanted: int) -> None:
    """Decode standard input to standard output."""
    _limit_self()
    decode = {"image": _image, "audio": _audio, "video": _video}[kind]
    with open(0, "rb", closefd=False) as file:
        try:
            header, parts = decode(file, wanted)
        except Refused as refusal:
            header, parts = refusal.answer, []
        except (MemoryError, RecursionError):
            header, parts = {"code": "broken", "found": "needs more memory to read than a file may have"}, []
        except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, KeyError, TypeError, IndexError) as error:
            header, parts = {"code": "broken", "found": f"is damaged ({' '.join(str(error).split())[:120]})"}, []
    words = json.dumps(header).encode()
    for part in (len(words).to_bytes(8, "big"), words, *parts):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _limit_self() -> None:
    """Memory, processor time, files and network: what a hostile file could reach if it took over a decoder."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is not None and unshare(_CLONE_NEWNET) != 0:
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # refused in some containers: then the other limits have to do


def _image(file: BinaryIO, wanted: int) -> tuple[dict[str, Any], list[bytes]]:
    picture = _as_rgb(_opened(file))
    return {"width": picture.width, "height": picture.height, "frames": 1}, [picture.tobytes()]


def _opened(file: BinaryIO) -> Any:
    """A picture of a known format and a size that may be decoded."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # our own bound stands below, checked before anything is decoded
    try:
        picture = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise Refused("unsupported", f"it is none of {', '.join(_FORMATS)}") from error
    if picture.width * picture.height > PIXELS:
        raise Refused("large", f"{picture.width} x {picture.height} pixels", f"{PIXELS // 1_000_000} million")
    return picture


def _as_rgb(picture: Any) -> Any:
    """Upright, in eight bits a colour, on white where it is transparent."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits of grey: conversion would cut the bright part off
        low, high = picture.getextrema()
        scale = 255 / (high - low) if high > low else 0.0
        picture = picture.point(lambda value: value * scale - low * scale).convert("L")
    if "A" in picture.getbands() or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def _audio(file: BinaryIO, wanted: int) -> tuple[dict[str, Any], list[bytes]]:
    import soundfile

    try:
        with soundfile.SoundFile(file) as sound:
            if sound.frames > AUDIO_SECONDS * sound.samplerate:
                raise Refused("large", f"{sound.frames / sound.samplerate / 60:.0f} minutes of sound", "60 minutes")
            blocks = sound.blocks(blocksize=1 << 20, dtype="float32", always_2d=True)
            parts = [block.mean(1).tobytes() for block in blocks]
            return {"rate": sound.samplerate, "samples": sum(map(len, parts)) // 4}, parts
    except soundfile.LibsndfileError:
        file.seek(0)
        return _audio_by_av(file)


def _audio_by_av(file: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    av = _av("it is none of WAV, FLAC, OGG, MP3 and AIFF")
    with av.open(file) as container:
        if not container.streams.audio:
            raise Refused("unsupported", "it holds no sound")
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts: list[bytes] = []
        samples = 0
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray().tobytes())
                samples += piece.samples
            if samples > AUDIO_SECONDS * rate:
                raise Refused("large", "more than 60 minutes of sound", "60 minutes")
        return {"rate": rate, "samples": samples}, parts


def _video(file: BinaryIO, wanted: int) -> tuple[dict[str, Any], list[bytes]]:
    from PIL import Image

    try:
        frames = _animation(_opened(file), wanted)
    except Refused as refusal:
        if refusal.answer["code"] != "unsupported":
            raise
        file.seek(0)
        frames = _video_by_av(file, wanted)
    small = []
    for frame in frames:
        frame.thumbnail((VIDEO_SIDE, VIDEO_SIDE), Image.Resampling.BILINEAR)
        small.append(frame)
    return (
        {"width": small[0].width, "height": small[0].height, "frames": len(small)},
        [frame.tobytes() for frame in small],
    )


def _animation(picture: Any, wanted: int) -> list[Any]:
    """Frames of a GIF, WebP, PNG or TIFF, evenly spread."""
    count = getattr(picture, "n_frames", 1)
    if count > VIDEO_FRAMES:
        raise Refused("large", f"{count} frames", f"{VIDEO_FRAMES}")
    found = {}
    for index in sorted(set(spread(count, wanted))):
        picture.seek(index)
        found[index] = _as_rgb(picture.copy())
    return [found[index].copy() for index in spread(count, wanted)]


def _video_by_av(file: BinaryIO, wanted: int) -> list[Any]:
    """Frames of any other video, evenly spread over its length."""
    av = _av("it is no animated GIF, WebP or PNG")
    with av.open(file) as container:
        if not container.streams.video:
            raise Refused("unsupported", "it holds no pictures")
        stream = container.streams.video[0]
        if stream.width * stream.height > PIXELS:
            raise Refused("large", f"{stream.width} x {stream.height} pixels", f"{PIXELS // 1_000_000} million")
        count = stream.frames or sum(1 for _ in container.decode(video=0))
        if not 0 < count <= VIDEO_FRAMES:
            raise Refused("large" if count else "broken", f"{count} frames", f"{VIDEO_FRAMES}")
        container.seek(0)
        places, found = spread(count, wanted), {}
        for index, frame in enumerate(container.decode(video=0)):
            if index in places:
                found[index] = frame.to_image()
            if index >= places[-1]:
                break
        if not found:
            raise Refused("broken", "holds no frame that can be decoded")
        last = max(found)  # the container may promise more frames than it has
        return [found[min(place, last)].copy() for place in places]


def _av(otherwise: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise Refused("package", otherwise) from error
    return av


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` indices of `count` frames, evenly over the whole; repeated where there are fewer frames."""
    return [min(count - 1, int((step + 0.5) * count / wanted)) for step in range(wanted)]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
