"""The vision role: what a picture shows in words, and questions about it, by the model that the caller names."""

from __future__ import annotations

from pathlib import Path

from models.pipelines.media import Source
from models.pipelines.task import PipelineTask


def describe_image(image: Source, *, model: str, home: Path, question: str = "", max_new_tokens: int = 256) -> str:
    """A description of a picture, or the answer to a question about it.

    Args:
        image: A path on this machine, or a file's content.
        model: A model of the task image-text-to-text, such as `HuggingFaceTB/SmolVLM-256M-Instruct`.
        home: The data folder.
        question: What is asked; nothing gives a description.
        max_new_tokens: The longest answer.

    Raises:
        ModelError: an unknown or unfit model, or a picture that cannot be read.
    """
    task = PipelineTask.open("image-text-to-text", model, home)
    return str(task(image, question, max_new_tokens=max_new_tokens)["answer"])
