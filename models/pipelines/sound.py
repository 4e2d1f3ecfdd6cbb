"""The tasks on recordings, and the one that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from models.pipelines.results import Recording, ScoredLabel, SpokenPart, Transcript
from models.pipelines.vision import scored

if TYPE_CHECKING:
    from models.pipelines.options import OwnLabels, Speech, TopLabels, Transcription
    from models.pipelines.writing import Writer

_PIECE_SECONDS = 30  # a recording longer than this is read in overlapping pieces by models without a way of their own


def classify(pipe: Any, given: dict[str, Any], options: TopLabels, writer: Writer) -> list[ScoredLabel]:
    """The model's labels for a recording."""
    return scored(pipe(given["audio"], top_k=options.top_k))


def label(pipe: Any, given: dict[str, Any], options: OwnLabels, writer: Writer) -> list[ScoredLabel]:
    """One's own labels for a recording."""
    with _repeatable(0):  # CLAP reads a random part of what is longer than its window
        return scored(pipe(given["audio"], candidate_labels=options.labels))


def transcribe(pipe: Any, given: dict[str, Any], options: Transcription, writer: Writer) -> Transcript:
    """What is said, with the times that the model can tell: of words (CTC), of phrases (Whisper), or none."""
    asked: dict[str, Any] = {}
    if pipe.type == "ctc":
        asked = {"return_timestamps": "word"}
        if len(given["audio"]) > _PIECE_SECONDS * pipe.feature_extractor.sampling_rate:
            asked["chunk_length_s"] = _PIECE_SECONDS
    elif pipe.type == "seq2seq_whisper":
        asked = {"return_timestamps": True, "generate_kwargs": _whisper_wishes(pipe.model.generation_config, options)}
        if getattr(pipe.model.generation_config, "is_multilingual", False):
            asked["return_language"] = True
    found = pipe(given["audio"], **asked)
    parts = found.get("chunks") or []
    return Transcript(
        text=found["text"].strip(),
        parts=[
            SpokenPart(
                text=part["text"].strip(),
                start=_seconds(part["timestamp"][0]) or 0.0,
                end=_seconds(part["timestamp"][1]),
            )
            for part in parts
        ],
        language=next((part["language"] for part in parts if part.get("language")), None),
    )


def speak(pipe: Any, given: dict[str, Any], options: Speech, writer: Writer) -> Recording:
    """A WAV file of the text said, or of the sound it describes."""
    with _repeatable(options.seed):
        found = pipe(given["text"])
    sound, rate = found["audio"], int(found["sampling_rate"])
    path = writer.recording(sound, rate, "spoken")
    return Recording(recording=path, sampling_rate_hz=rate, seconds=sound.shape[-1] / rate)


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Chance that is the same at every call, and leaves everyone else's as it was."""
    import numpy as np
    import torch

    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def _seconds(moment: Any) -> float | None:
    return None if moment is None else float(moment)


def _whisper_wishes(config: Any, options: Transcription) -> dict[str, Any]:
    """Language and task, which only models of several languages know."""
    if not getattr(config, "is_multilingual", False):
        return {}
    wishes: dict[str, Any] = {"task": "translate" if options.translate else "transcribe"}
    return wishes | ({"language": options.language} if options.language else {})
