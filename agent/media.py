"""The vision and speech models as the library's guests: pictures into words, recordings into timed speech."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.serving import Roles
    from retrieval.recognition import Describe, MediaModels, Transcribe


def media_models(roles: Roles, home: Path) -> MediaModels:
    """What looks at pictures and listens to recordings, as far as models serve those roles."""
    from retrieval.recognition import MediaModels

    vision, speech = roles.serving("vision").name, roles.serving("speech").name
    return MediaModels(
        describe=_describer(vision, home) if vision else None,
        transcribe=_transcriber(speech, home) if speech else None,
        to_describe=_how_to_get("image-text-to-text"),
        to_transcribe=_how_to_get("automatic-speech-recognition"),
    )


def _how_to_get(task: str) -> str:
    """How a person gets a model for a task, as part of a sentence."""
    from models.pipelines.table import PIPELINE_TASKS

    model = PIPELINE_TASKS[task].examples[0]
    return f'pull a model with `hearth models pull {model}` and put {task} = "{model}" under [tasks] in hearth.toml'


def _describer(model: str, home: Path) -> Describe:
    def describe(picture: bytes, name: str) -> str:
        from models.errors import ModelError
        from models.vision import describe_image

        try:
            return describe_image(picture, model=model, home=home)
        except ModelError as error:
            raise _unread(name, error) from error

    return describe


def _transcriber(model: str, home: Path) -> Transcribe:
    def listen(recording: bytes, name: str) -> list[tuple[float, str]]:
        from models.errors import ModelError
        from models.speech import transcribe

        try:
            found = transcribe(recording, model=model, home=home)
        except ModelError as error:
            raise _unread(name, error) from error
        return [(part["start"], part["text"]) for part in found["parts"]] or [(0.0, found["text"])]

    return listen


def _unread(name: str, error: Exception) -> Exception:
    """One document's failure, so that the others of its batch go on."""
    from retrieval.errors import UnsupportedType

    return UnsupportedType(name, f"could not be read by its model: {error}")
