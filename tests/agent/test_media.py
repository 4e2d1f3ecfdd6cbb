"""Pictures and recordings reach the library through the models that serve vision and speech."""

from __future__ import annotations

import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.media import media_models
from models.errors import ModelNotFound
from retrieval import Library
from retrieval.errors import UnsupportedType
from tests.doubles import HashEmbeddings


def roles(**names: str) -> Any:
    """Roles served by these names, the others by nothing."""
    return SimpleNamespace(serving=lambda role: SimpleNamespace(name=names.get(role)))


def test_without_models_nothing_is_given(tmp_path: Path) -> None:
    found = media_models(roles(), tmp_path)
    assert (found.describe, found.transcribe) == (None, None)


def test_the_models_named_are_asked_with_the_files_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def describe(picture: bytes, *, model: str, home: Path) -> str:
        asked.append((picture, model, home))
        return "a lighthouse"

    def transcribe(recording: bytes, *, model: str, home: Path) -> dict[str, Any]:
        asked.append((recording, model, home))
        return {"text": "good day all", "parts": [{"text": "good day", "start": 0.5, "end": 1.0}], "language": "en"}

    monkeypatch.setattr("models.vision.describe_image", describe)
    monkeypatch.setattr("models.speech.transcribe", transcribe)
    found = media_models(roles(vision="see", speech="hear"), tmp_path)
    assert found.describe is not None
    assert found.transcribe is not None
    assert found.describe(b"picture", "a.png") == "a lighthouse"
    assert found.transcribe(b"sound", "a.wav") == [(0.5, "good day")]
    assert asked == [(b"picture", "see", tmp_path), (b"sound", "hear", tmp_path)]


def test_a_model_that_fails_fails_one_document(tmp_path: Path) -> None:
    found = media_models(roles(speech="org/not-here"), tmp_path)
    assert found.transcribe is not None
    with pytest.raises(UnsupportedType, match=r"talk\.wav could not be read by its model") as caught:
        found.transcribe(b"RIFF", "talk.wav")
    assert isinstance(caught.value.__cause__, ModelNotFound)


def test_a_picture_that_nothing_can_read_says_which_model_to_bring(tmp_path: Path) -> None:
    found = media_models(roles(), tmp_path)
    assert "hearth models pull HuggingFaceTB/SmolVLM-256M-Instruct" in found.to_describe
    assert 'automatic-speech-recognition = "openai/whisper-base" under [tasks]' in found.to_transcribe
    recording = tmp_path / "talk.wav"
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, 16000, 16000, "NONE", "not compressed"))
        file.writeframes(b"\0\0" * 16000)
    with Library.open(tmp_path / "library", HashEmbeddings(), models=found) as library:
        report = library.add([recording])
    [said] = report.failed or report.warnings
    assert found.to_transcribe in said.message
