"""Pictures and recordings: no text here, but their facts, for the models that can read or hear them.

A picture's size is taken from its first bytes, so that one that would fill the memory is refused unopened.
"""

from __future__ import annotations

import struct

from retrieval.formats import Extracted, Refused

MAX_PIXELS = 100_000_000
_JPEG_SIZES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


def extract_image(data: bytes) -> Extracted:
    """A picture as a page to be looked at.

    Raises:
        Refused: too_complex, for more pixels than a picture may have; corrupt.
    """
    size = picture_size(data)
    if size is None:
        return Extracted("", scanned=[1])
    width, height = size
    if width * height > MAX_PIXELS:
        found = f"has {width} x {height} pixels; a picture may have {MAX_PIXELS // 1_000_000} million."
        raise Refused("too_complex", found)
    return Extracted("", scanned=[1], facts={"pixels": f"{width} x {height}"})


def extract_audio(data: bytes) -> Extracted:
    """A recording."""
    return Extracted("", facts={"bytes": str(len(data))})


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels as the picture declares them; None for a kind that is not known here.

    Raises:
        Refused: corrupt, where it ends before its size.
    """
    try:
        if data.startswith(b"\x89PNG"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(b"GIF8"):
            return struct.unpack_from("<HH", data, 6)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\x00", b"MM\x00*"):
            return _tiff_size(data)
    except (struct.error, IndexError) as error:
        raise Refused("corrupt", "is a damaged picture.") from error
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 if marker == 0xFF or marker in range(0xD0, 0xD9) else 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise IndexError


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data.startswith(b"II") else ">"
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    found = {}
    for entry in range(min(struct.unpack_from(f"{order}H", data, at)[0], 100)):
        tag, kind = struct.unpack_from(f"{order}HH", data, at + 2 + entry * 12)
        found[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 10 + entry * 12)[0]
    return (found[256], found[257]) if {256, 257} <= found.keys() else None
