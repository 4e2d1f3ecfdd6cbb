"""A conversion is whole or not there, made once, refused with a sentence, and done beside other work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

pytest.importorskip("openvino", reason="openvino is not installed here")
pytest.importorskip("nncf", reason="nncf is not installed here")

import openvino
import torch

from models.engines import openvino_convert, openvino_export
from models.engines.openvino_convert import (
    Conversion,
    convert,
    convert_in_background,
    converted_folder,
    is_ready,
    refusal,
)
from models.engines.openvino_export import ConversionFailed
from models.engines.openvino_paged import EngineUnavailable
from models.engines.parity import ParityFailed
from models.errors import DoesNotFit
from models.manifest import read_manifest
from tests.models.tiny_openvino import save_llama


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def source(home: Path) -> Path:
    return save_llama(home / "models" / "tiny" / "1")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one converted model; treat it as read-only."""
    home = tmp_path_factory.mktemp("converted")
    convert(save_llama(home / "models" / "tiny" / "1"), home, name="tiny")
    return home


def tidy(target: Path) -> bool:
    """No converted folder and nothing half done."""
    return not target.exists() and not list(target.parent.glob(".tmp-*"))


def test_the_folder_holds_the_program_the_parity_and_a_manifest_of_both(done: Path) -> None:
    source = done / "models" / "tiny" / "1"
    target = converted_folder(source, done)
    assert target == source / "openvino-int8"
    manifest = read_manifest(target)
    assert manifest is not None
    assert set(manifest.files) == {"openvino_model.xml", "openvino_model.bin", "parity.json"}
    assert {"weights", "config.json", "tokenizer.json", "openvino", "nncf", "transformers"} <= set(manifest.made_from)
    assert json.loads((target / "parity.json").read_text())["agreement"] >= 0.9
    assert is_ready(source, done)
    assert refusal(source, done) is None


def test_the_program_avoids_both_traps_and_bears_the_layers_names(done: Path) -> None:
    program = openvino.Core().read_model(str(next(done.rglob("openvino_model.xml"))))
    assert all(side.is_dynamic for side in program.input("input_ids").get_partial_shape())
    assert program.input("attention_mask").get_partial_shape()[0].is_dynamic
    assert "runtime_options" not in program.rt_info
    names = {node.get_friendly_name() for node in program.get_ordered_ops() if node.get_type_name() == "MatMul"}
    assert {"lm_head", "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"} <= names
    kinds = {
        node.get_element_type().to_string() for node in program.get_ordered_ops() if node.get_type_name() == "Constant"
    }
    assert "i8" in kinds


def copy_of(done: Path, home: Path) -> Path:
    shutil.copytree(done / "models", home / "models", dirs_exist_ok=True)
    return home / "models" / "tiny" / "1"


def test_done_once(done: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = copy_of(done, home)
    monkeypatch.setattr(openvino_export, "export_int8", lambda *_, **__: pytest.fail("converted again"))
    assert convert(source, home, name="tiny") == source / "openvino-int8"


@pytest.mark.parametrize(
    "change",
    [
        lambda source: (source / "openvino-int8" / "openvino_model.bin").write_bytes(b"short"),
        lambda source: (source / "openvino-int8" / "MANIFEST.json").unlink(),
        lambda source: save_llama(source, seed=1),
        lambda source: (source / "tokenizer.json").write_text((source / "tokenizer.json").read_text() + " "),
    ],
    ids=["damaged", "no manifest", "other weights", "other tokenizer"],
)
def test_not_ready_when_anything_differs(done: Path, home: Path, change: Callable[[Path], Any]) -> None:
    source = copy_of(done, home)
    assert is_ready(source, home)
    change(source)
    assert not is_ready(source, home)


def test_another_version_of_a_package_makes_it_anew(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = done / "models" / "tiny" / "1"
    monkeypatch.setattr("importlib.metadata.version", lambda package: "9.9")
    assert not is_ready(source, done)


def test_a_damaged_conversion_is_replaced(done: Path, home: Path) -> None:
    source = copy_of(done, home)
    (source / "openvino-int8" / "openvino_model.bin").write_bytes(b"short")
    convert(source, home, name="tiny")
    assert is_ready(source, home)
    assert not list(source.glob(".tmp-*"))


def test_a_users_own_folder_is_not_written_to(home: Path, tmp_path: Path) -> None:
    own = save_llama(tmp_path / "elsewhere" / "my-model")
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    hearth = tmp_path / "hearth"
    target = convert(own, hearth, name="my-model")
    assert target.is_relative_to(hearth / "models")
    assert is_ready(own, hearth)
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == before


def test_a_model_that_behaves_otherwise_is_refused_and_not_tried_again(
    source: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(model: Any, texts: Any, *, name: str) -> Any:
        with torch.no_grad():
            model.lm_head.weight.mul_(-1)
        program = export(model, texts, name=name)
        with torch.no_grad():
            model.lm_head.weight.mul_(-1)
        return program

    export = openvino_export.export_int8
    monkeypatch.setattr(openvino_export, "export_int8", spoiled)
    with pytest.raises(ParityFailed, match="same next token in a share of 0") as caught:
        convert(source, home, name="tiny")
    assert tidy(converted_folder(source, home))
    assert refusal(source, home) == str(caught.value)
    save_llama(source, seed=3)
    assert refusal(source, home) is None, "other weights may be tried"


def test_an_exporter_that_fails_leaves_nothing(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(model: Any) -> Any:
        raise RuntimeError("unsupported\noperator")

    monkeypatch.setattr(openvino_export, "_export", failing)
    with pytest.raises(ConversionFailed, match=r"tiny could not be converted .*unsupported operator") as caught:
        convert(source, home, name="tiny")
    assert caught.value.code == "conversion_failed"
    assert tidy(converted_folder(source, home))
    assert refusal(source, home) == str(caught.value)


def test_too_little_memory_is_said_before_loading(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M05."""
    monkeypatch.setattr(openvino_convert, "available_memory_bytes", lambda: 10**6)
    with pytest.raises(DoesNotFit, match="to convert it"):
        convert(source, home, name="tiny")
    assert refusal(source, home) is None, "there may be more memory next time"


def test_without_openvino_a_clear_sentence(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "openvino.opset13", None)
    with pytest.raises(EngineUnavailable, match="the package openvino is not installed"):
        convert(source, home, name="tiny")


def test_in_the_background_by_a_child_of_low_priority(source: Path, home: Path) -> None:
    conversion = convert_in_background(source, home, name="tiny")
    assert conversion.running
    assert conversion.wait(110) is None
    assert not conversion.running
    assert is_ready(source, home)


def test_a_stopped_child_leaves_nothing_that_counts(source: Path, home: Path) -> None:
    """K01: a kill at any moment; the next conversion sweeps what it left."""
    conversion = convert_in_background(source, home, name="tiny")
    while not list(source.glob(".tmp-*")):
        assert conversion.running, conversion.wait()
    os.kill(conversion._process.pid, signal.SIGKILL)
    assert (
        conversion.wait(20)
        == "The conversion of tiny for OpenVINO ended with exit code -9; the torch engine serves it."
    )
    assert not is_ready(source, home)
    assert refusal(source, home) is None
    convert(source, home, name="tiny")
    assert is_ready(source, home)
    assert not list(source.glob(".tmp-*"))


def child_of(code: str, source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Conversion:
    """A conversion whose child runs this code instead."""
    popen = openvino_convert.subprocess.Popen
    monkeypatch.setattr(
        openvino_convert.subprocess,
        "Popen",
        lambda arguments, **options: popen([sys.executable, "-c", code], **options),
    )
    return Conversion(source, home, name="tiny")


def test_a_crash_in_native_code_is_not_tried_again(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversion = child_of("import os, signal; os.kill(os.getpid(), signal.SIGFPE)", source, home, monkeypatch)
    message = conversion.wait(60)
    assert message is not None
    assert refusal(source, home) == message


def test_a_childs_sentence_is_handed_on(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; print('noise', file=sys.stderr); sys.exit('The model tiny could not be converted.')"
    assert child_of(code, source, home, monkeypatch).wait(60) == "The model tiny could not be converted."


def test_a_second_one_waits_for_the_first(done: Path, home: Path) -> None:
    """M08."""
    source = copy_of(done, home)
    ended = threading.Event()

    def second() -> None:
        convert(source, home, name="tiny")
        ended.set()

    with FileLock(source / ".lock"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not ended.wait(0.3)
    thread.join(20)
    assert ended.is_set()


@pytest.mark.real_model
@pytest.mark.timeout(600)
def test_the_embedded_chat_model_converts_and_answers_as_torch_does(embedded_home: Path) -> None:
    from contextlib import closing

    from models.catalog import find
    from models.engines.base import GenerationOptions
    from models.engines.openvino import OpenVinoEngine
    from models.engines.parity import probe_prompts
    from models.loading import load_chat
    from models.prepare import folder_of

    entry = find(None, "chat")
    folder = folder_of(entry, embedded_home)
    target = convert(folder, embedded_home, name=entry.name)
    report = json.loads((target / "parity.json").read_text())
    assert report["spread"] < 0.15
    assert report["answers_agreement"] > 0.9
    loaded = load_chat(folder, name=entry.name, chat_template=entry.chat_template)
    options = GenerationOptions(max_new_tokens=24, stop_token_ids=loaded.stop_token_ids)
    plain, guessed = [], []
    with closing(OpenVinoEngine(target, precision="careful")) as engine:
        for prompt in probe_prompts(loaded.tokenizer):
            plain.append(list(engine.stream(prompt, options, threading.Event())))
            ahead = replace(options, prompt_lookup=True)
            guessed.append(list(engine.stream(prompt, ahead, threading.Event())))
            assert loaded.tokenizer.decode(plain[-1]).strip()
    assert sum(a == b for a, b in zip(plain, guessed, strict=True)) >= len(plain) - 1
