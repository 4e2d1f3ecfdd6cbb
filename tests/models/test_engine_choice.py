"""Torch serves until a checked conversion is ready, then OpenVINO does; a name is obeyed or refused in one sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from models.engines import choice, openvino, openvino_convert
from models.engines.base import GenerationOptions
from models.engines.choice import EngineChoice
from models.engines.openvino_paged import EngineUnavailable
from models.errors import BrokenModel


class Fixed:
    """An engine that says the same id."""

    at_once = 8

    def __init__(self, name: str) -> None:
        self.name = name

    def stream(self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event) -> Iterator[int]:
        yield 1


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EngineChoice:
    monkeypatch.setattr(choice, "_LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(choice, "_installed", lambda: True)
    monkeypatch.setattr(openvino_convert, "is_ready", lambda *_: False)
    monkeypatch.setattr(openvino_convert, "refusal", lambda *_: None)
    monkeypatch.setattr(openvino, "OpenVinoEngine", lambda folder: Fixed("openvino"))
    return EngineChoice(tmp_path / "model", tmp_path, "tiny", "cpu")


def test_torch_serves_until_the_conversion_is_ready(chosen: EngineChoice, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen.engine() is None
    monkeypatch.setattr(openvino_convert, "is_ready", lambda *_: True)
    engine = chosen.engine()
    assert engine.name == "openvino"
    assert chosen.engine() is engine
    assert chosen.engine("torch") is None


def test_an_engine_asked_for_by_name_and_not_ready_is_refused(chosen: EngineChoice) -> None:
    with pytest.raises(EngineUnavailable, match="hearth models convert tiny"):
        chosen.engine("openvino")


def test_a_refused_conversion_says_its_reason_and_is_not_tried_again(
    chosen: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    monkeypatch.setattr(openvino_convert, "refusal", lambda *_: "its answers differ")
    monkeypatch.setattr(openvino_convert, "convert_in_background", lambda *_, name, form: began.append(name))
    chosen.begin_conversion()
    assert began == []
    with pytest.raises(EngineUnavailable, match="its answers differ"):
        chosen.engine("openvino")


def test_one_conversion_is_begun_and_none_once_it_is_ready(
    chosen: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    monkeypatch.setattr(
        openvino_convert, "convert_in_background", lambda *_, name, form: began.append(name) or "running"
    )
    chosen.begin_conversion()
    chosen.begin_conversion()
    assert began == ["tiny"]


def test_k15_a_conversion_ends_with_the_process_that_began_it(
    chosen: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    class Running:
        def stop(self) -> None:
            stopped.append("stopped")

    monkeypatch.setattr(openvino_convert, "convert_in_background", lambda *_, **__: Running())
    chosen.begin_conversion()
    chosen.stop_conversion()
    chosen.stop_conversion()
    assert stopped == ["stopped"]


def test_a_conversion_that_cannot_be_opened_leaves_torch_serving(
    chosen: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> Fixed:
        raise BrokenModel(folder, "it cannot be read")

    monkeypatch.setattr(openvino_convert, "is_ready", lambda *_: True)
    monkeypatch.setattr(openvino, "OpenVinoEngine", broken)
    assert chosen.engine() is None


def test_a_model_on_a_gpu_is_never_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_convert, "is_ready", lambda *_: True)
    chosen = EngineChoice(tmp_path, tmp_path, "tiny", "cuda")
    chosen.begin_conversion()
    assert chosen.engine() is None
