"""The calibration: the formula by hand, what is measured on tiny models, and when an earlier figure still holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from models import calibration
from models.calibration import Calibration, cached, calibrate
from models.chat import LocalChatModel
from models.embeddings import LocalEmbeddings
from models.machine import Machine

MACHINE = Machine(memory_bytes=10**9, free_memory_bytes=10**9, cores=2, disk_free_bytes=10**9, processor="abacus")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    """Hundredths of a second in place of seconds."""
    for name in ("_CHAT_SECONDS", "_EMBED_SECONDS", "_MEMORY_SECONDS"):
        monkeypatch.setattr(calibration, name, 0.05)
    monkeypatch.setattr(calibration, "_ARRAY_BYTES", 2**20)


def made(**facts: object) -> Calibration:
    base = Calibration(
        machine="abacus",
        chat="a",
        chat_fingerprint="1",
        engine="torch",
        tokens_per_second=50.0,
        chat_bytes_per_token=200 * 10**6,
        chat_parameters=100 * 10**6,
        embed="b",
        embed_fingerprint="2",
        chunks_per_second=20.0,
        memory_bytes_per_second=20 * 10**9,
    )
    return replace(base, **facts)  # type: ignore[arg-type]


def test_the_estimate_by_hand() -> None:
    # 50 tokens/s of 200 MB each read 10 GB/s; 400 M parameters at 2 bytes are 800 MB a token: 12.5 tokens/s
    assert made().tokens_per_second_of(400 * 10**6) == pytest.approx(12.5)
    # at int8 the same model reads half as much
    assert made(chat_bytes_per_token=100 * 10**6, tokens_per_second=100.0).tokens_per_second_of(
        400 * 10**6
    ) == pytest.approx(25)
    # what a small model reaches from the processor's cache does not hold for a large one: memory's speed is the limit
    assert made(tokens_per_second=500.0).tokens_per_second_of(400 * 10**6) == pytest.approx(20e9 / 800e6)


def test_a_calibration_is_kept_for_the_same_machine_and_weights(
    quick: None, tiny_chat_folder: Path, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    folder = Path(shutil.copytree(tiny_chat_folder, tmp_path / "chat"))
    chat = LocalChatModel(model=str(folder), home=home)
    embeddings = LocalEmbeddings(str(tiny_encoder_folder), home=home)
    assert cached(home, MACHINE, chat, embeddings) is None
    found = calibrate(home, MACHINE, chat, embeddings)
    assert found.engine == "torch"
    assert found.tokens_per_second > 0
    assert found.chunks_per_second > 0
    assert found.memory_bytes_per_second > 10**6
    assert found.chat_bytes_per_token == 4 * found.chat_parameters  # float32
    assert cached(home, MACHINE, chat, embeddings) == found
    assert cached(home, replace(MACHINE, free_memory_bytes=1), chat, embeddings) == found
    assert cached(home, replace(MACHINE, cores=64), chat, embeddings) is None
    other = LocalChatModel(model=str(tiny_chat_folder), home=home)
    assert cached(home, MACHINE, other, embeddings) is None
    (home / "models" / calibration.FILE_NAME).write_text(json.dumps({"format": 99}))
    assert cached(home, MACHINE, chat, embeddings) is None


def test_a_home_that_cannot_be_written_is_measured_all_the_same(
    quick: None, tiny_chat_folder: Path, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    chat = LocalChatModel(model=str(tiny_chat_folder), home=tmp_path / "absent")
    embeddings = LocalEmbeddings(str(tiny_encoder_folder), home=tmp_path / "absent")
    assert calibrate(tmp_path / "absent", MACHINE, chat, embeddings).tokens_per_second > 0
    assert not (tmp_path / "absent").exists()
