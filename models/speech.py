"""The speech role: a recording as text with times and language, by the model that the caller names."""

from __future__ import annotations

from pathlib import Path

from models.pipelines.media import Source
from models.pipelines.results import Transcript
from models.pipelines.task import PipelineTask


def transcribe(
    recording: Source, *, model: str, home: Path, language: str | None = None, translate: bool = False
) -> Transcript:
    """What is said in a recording of up to an hour.

    Args:
        recording: A path on this machine, or a file's content.
        model: A model of the task automatic-speech-recognition, such as `openai/whisper-base`.
        home: The data folder.
        language: The language spoken, such as `de`, where the model knows several; it finds out where none is given.
        translate: Write English whatever is spoken, where the model can.

    Raises:
        ModelError: an unknown or unfit model, or a recording that cannot be read.
    """
    task = PipelineTask.open("automatic-speech-recognition", model, home)
    found: Transcript = task(recording, language=language, translate=translate)
    return found
