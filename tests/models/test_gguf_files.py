"""A GGUF file of one's own: converted once, the same model afterwards, refused whole where it is damaged or foreign."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from models import gguf_files, loading
from models.catalog import find
from models.chat import open_chat_model
from models.errors import BrokenModel, DoesNotFit, ModelNotFound, UnsupportedModel, WrongRole
from models.gguf_files import prepared_gguf, read_gguf
from models.manifest import read_manifest
from models.prepare import folder_of
from tests.models.tiny_gguf import cut, save_gguf, with_nan

QUESTION = "Which fox jumps over the lazy dog?"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_chat_folder: Path) -> Path:
    """A tiny GGUF file; treat it as read-only."""
    return save_gguf(tiny_chat_folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copy(made, tmp_path / "own.gguf"))


def test_the_converted_model_is_the_original_in_bfloat16(made: Path, tiny_chat_folder: Path, tmp_path: Path) -> None:
    folder = folder_of(find(str(made), "chat"), tmp_path)
    ours = LlamaForCausalLM.from_pretrained(folder).state_dict()
    theirs = LlamaForCausalLM.from_pretrained(tiny_chat_folder, dtype=torch.bfloat16).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    tokenizers = [PreTrainedTokenizerFast.from_pretrained(where) for where in (folder, tiny_chat_folder)]
    for text in (QUESTION, "Grüße aus Köln, 汶川大地震!"):
        assert tokenizers[0].encode(text) == tokenizers[1].encode(text)


def test_it_chats_as_the_folder_it_came_from(made: Path, tiny_chat_folder: Path, tmp_path: Path) -> None:
    answers = [
        open_chat_model(str(source), home=tmp_path, max_new_tokens=24, engine="torch").invoke(QUESTION).content
        for source in (made, tiny_chat_folder)
    ]
    assert answers[0] == answers[1] != ""


def test_it_is_converted_once_and_again_only_when_its_bytes_change(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find(str(file), "chat")
    converted: list[Path] = []
    original = loading.convert_gguf

    def counting(*args: object, **options: object) -> None:
        converted.append(file)
        original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "convert_gguf", counting)
    assert prepared_gguf(entry, tmp_path) is None
    folder = folder_of(entry, tmp_path)
    assert folder.is_relative_to(tmp_path / "models")
    os.utime(file, (1, 1))
    assert folder_of(entry, tmp_path) == folder == prepared_gguf(entry, tmp_path)
    assert len(converted) == 1
    save_gguf(folder, file)  # rounded to bfloat16, so other bytes
    assert folder_of(entry, tmp_path) == folder
    assert len(converted) == 2


def test_m01_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no model file .*nowhere\.gguf"):
        find(str(tmp_path / "nowhere.gguf"), "chat")
    with pytest.raises(ModelNotFound, match=r"no model file .*nowhere\.gguf"):
        find("nowhere.gguf", "chat")


def test_a_gguf_file_serves_no_embeddings(made: Path) -> None:
    with pytest.raises(WrongRole, match="serves the role 'chat'"):
        find(str(made), "embed")


@pytest.mark.parametrize("size", [0, 3, 20, 3000])
def test_m03_a_cut_off_file_is_refused_and_nothing_is_left(file: Path, tmp_path: Path, size: int) -> None:
    cut(file, size)
    with pytest.raises(BrokenModel, match=r"cut off|does not begin") as found:
        folder_of(find(str(file), "chat"), tmp_path)
    assert found.value.path == file
    assert not any(read_manifest(path) for path in (tmp_path / "models" / "gguf").iterdir())


def test_m03_weights_cut_off_at_the_end_are_refused(file: Path, tmp_path: Path) -> None:
    cut(file, file.stat().st_size - 64)
    with pytest.raises(BrokenModel, match="damaged or cut off"):
        folder_of(find(str(file), "chat"), tmp_path)


def test_m03_nan_in_the_file_is_found_while_converting(file: Path, tmp_path: Path) -> None:
    with_nan(file)
    with pytest.raises(BrokenModel, match="NaN"):
        folder_of(find(str(file), "chat"), tmp_path)
    assert [path.name for path in (tmp_path / "models" / "gguf").iterdir() if path.is_dir()] == []


def test_an_architecture_that_cannot_be_read_is_refused_in_a_sentence(tiny_chat_folder: Path, tmp_path: Path) -> None:
    file = save_gguf(tiny_chat_folder, tmp_path / "odd.gguf", architecture="rwkv7")
    with pytest.raises(UnsupportedModel, match="architecture rwkv7") as found:
        folder_of(find(str(file), "chat"), tmp_path)
    assert found.value.code == "unsupported_model"


def test_m05_a_file_too_large_to_convert_is_refused_before_it_begins(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_files, "available_memory_bytes", lambda: 2**20)
    monkeypatch.setattr(loading, "convert_gguf", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(DoesNotFit, match="to convert it"):
        folder_of(find(str(made), "chat"), tmp_path)


def test_the_header_counts_the_parameters(made: Path, tiny_chat_folder: Path) -> None:
    facts = read_gguf(made)
    model = LlamaForCausalLM.from_pretrained(tiny_chat_folder)
    assert facts.parameters == sum(parameter.numel() for parameter in model.state_dict().values())
    assert facts.largest == max(parameter.numel() for parameter in model.state_dict().values())
