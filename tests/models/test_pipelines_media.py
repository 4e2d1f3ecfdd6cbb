"""Pictures, recordings and videos: what is read, how, and that a hostile or broken file is one named sentence."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from models.errors import ModelError
from models.pipelines import media, media_child
from models.pipelines.errors import BrokenMedia, MediaTooLarge, NotALocalFile, UnsupportedMedia
from models.pipelines.media import read_audio, read_image, read_video

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]


def as_bytes(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=form, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_of_every_form_are_read_from_paths_and_bytes(form: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), (200, 30, 40))
    (tmp_path / "picture").write_bytes(as_bytes(image, form))
    for source in (tmp_path / "picture", str(tmp_path / "picture"), as_bytes(image, form)):
        found = read_image(source)
        assert (found.size, found.mode) == ((20, 10), "RGB")
        assert np.abs(np.asarray(found).astype(int) - (200, 30, 40)).max() <= 8


def test_what_is_transparent_becomes_white() -> None:
    assert read_image(as_bytes(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)


def test_a_photo_taken_sideways_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    assert read_image(as_bytes(Image.new("RGB", (20, 10)), "JPEG", exif=exif)).size == (10, 20)


def test_sixteen_bits_of_grey_keep_their_order() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    found = np.asarray(read_image(as_bytes(Image.fromarray(values))))[..., 0].reshape(-1)
    assert (np.diff(found.astype(int)) >= 0).all()
    assert (found[0], found[-1]) == (0, 255)


@pytest.mark.parametrize(
    "address",
    ["http://example.org/a.png", "HTTPS://example.org/a.png", "file:///etc/passwd", "data:image/png;base64,x"],
)
def test_nothing_is_fetched(address: str) -> None:
    for read in (read_image, lambda source: read_audio(source, 16_000), lambda source: read_video(source, 2)):
        with pytest.raises(NotALocalFile, match="nothing is fetched"):
            read(address)


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.png", tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(NotALocalFile):
            read_image(path)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    with pytest.raises(MediaTooLarge, match="60000 x 60000 pixels"):
        read_image(bomb)


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(media.FILE_BYTES, "image", 1 << 20)
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2 << 20)
    with pytest.raises(MediaTooLarge, match="2 MiB and at most 1 MiB"):
        read_image(tmp_path / "large.png")


def test_a_damaged_picture_is_named() -> None:
    whole = as_bytes(Image.effect_noise((64, 64), 50).convert("RGB"))
    with pytest.raises(BrokenMedia):
        read_image(whole[: len(whole) // 2])


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_is_no_picture_is_named(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="PNG"):
        read_image(data)


def test_a_decoder_that_dies_or_lies_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture = as_bytes(Image.new("RGB", (4, 4)))
    for code in ("import os; os.kill(os.getpid(), 11)", "import os; os.write(1, b'x' * 5000)", LIE):
        (tmp_path / "child.py").write_text(code)
        monkeypatch.setattr(media_child, "__file__", str(tmp_path / "child.py"))
        with pytest.raises(BrokenMedia):
            read_image(picture)


LIE = """
import os
header = b'{"width": 100000, "height": 100000, "frames": 1}'
os.write(1, len(header).to_bytes(8, "big") + header + b"0" * 100)
"""


def test_a_decoder_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text("while True: pass")
    monkeypatch.setattr(media_child, "__file__", str(tmp_path / "child.py"))
    monkeypatch.setattr(media, "WALL_SECONDS", 0.3)
    with pytest.raises(BrokenMedia, match="too long"):
        read_image(as_bytes(Image.new("RGB", (4, 4))))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_recordings_of_every_form_become_one_channel(form: str, tmp_path: Path) -> None:
    left = 0.5 * np.sin(np.arange(8000) / 20)
    soundfile.write(tmp_path / "sound", np.stack([left, np.zeros(8000)], 1), 8000, format=form)
    found = read_audio(tmp_path / "sound", 8000)
    assert (found.dtype, found.shape) == (np.float32, (8000,))
    assert np.abs(found - left / 2)[100:-100].max() < 0.05


def test_a_recording_of_more_than_an_hour_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", np.zeros(61 * 60 * 1000, dtype=np.int16), 1000)
    with pytest.raises(MediaTooLarge, match="61 minutes"):
        read_audio(tmp_path / "long.flac", 16_000)


def test_an_empty_recording_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(BrokenMedia, match="no sound"):
        read_audio(tmp_path / "empty.wav", 8000)


def test_what_is_no_recording_is_named() -> None:
    with pytest.raises(ModelError) as found:
        read_audio(b"hello" * 100, 8000)
    assert found.value.code in ("broken_media", "unsupported_media", "missing_package")


def test_without_av_its_forms_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(media_child.Refused) as refused:
        media_child._video(io.BytesIO(b"\0\0\0\x18ftypmp42" + b"\0" * 100), 4)
    assert refused.value.answer["code"] == "package"
    assert media._refusal("film.mp4", refused.value.answer).code == "missing_package"


def test_frames_are_spread_over_the_whole() -> None:
    assert media_child.spread(10, 5) == [1, 3, 5, 7, 9]
    assert media_child.spread(2, 4) == [0, 0, 1, 1]
    assert media_child.spread(1, 3) == [0, 0, 0]


def test_a_film_is_read_where_av_is_installed(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra `video` is not installed")
    with av.open(tmp_path / "film.mp4", "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(0, 240, 12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, dtype=np.uint8), format="rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    shades = [frame.getpixel((20, 20))[0] for frame in read_video(tmp_path / "film.mp4", 5)]
    assert shades == pytest.approx([24, 72, 120, 168, 216], abs=8)


def test_a_folder_without_pictures_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(NotALocalFile, match="folder without pictures"):
        read_video(tmp_path, 4)
