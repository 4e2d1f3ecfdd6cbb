"""What can be chosen for each task, with defaults and bounds; the same for the command line, the tools and Python."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _split(value: object) -> object:
    """`a,b,c` as a list, so that labels can be typed on a command line."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _from_json(value: object) -> object:
    """A JSON value typed on a command line; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError("it is not JSON") from error


Labels = Annotated[list[str], BeforeValidator(_split)]


PageWord = tuple[str, tuple[float, float, float, float]]


class Options(BaseModel):
    """No options, and the base of those that have some; an unknown name is an error."""

    model_config = ConfigDict(extra="forbid")


class TopLabels(Options):
    """How many labels of the model's own."""

    top_k: int = Field(default=5, ge=1, description="how many labels, best first")


class OwnLabels(Options):
    """Labels of one's own to choose among."""

    labels: Labels = Field(min_length=1, description="the labels to choose among, separated by commas")


class Threshold(Options):
    """How sure a find must be."""

    threshold: float = Field(default=0.5, ge=0, le=1, description="the least score that counts, 0 to 1")


class OwnThings(OwnLabels):
    """Things of one's own to look for."""

    threshold: float = Field(default=0.1, ge=0, le=1, description="the least score that counts, 0 to 1")


class Segments(Threshold):
    """Which kind of segmentation, for models that do several."""

    kind: Literal["panoptic", "instance", "semantic"] | None = Field(
        default=None, description="panoptic, instance or semantic, for models that do several"
    )


class Masks(Options):
    """How densely the picture is asked for objects, and how good a mask must be."""

    points_per_side: int = Field(default=32, ge=1, le=128, description="points asked about on each side of the picture")
    quality: float = Field(default=0.88, ge=0, le=1, description="the least predicted quality of a mask, 0 to 1")
    stability: float = Field(default=0.95, ge=0, le=1, description="how firm a mask's edge must be, 0 to 1")
    overlap: float = Field(default=0.7, ge=0, le=1, description="boxes that overlap more count as the same object")


class Matches(Options):
    """Which matches count."""

    threshold: float = Field(default=0.2, ge=0, le=1, description="the least score that counts, 0 to 1")


class Transcription(Options):
    """How speech is written down."""

    language: str | None = Field(default=None, description="the language spoken, such as en, for models of several")
    translate: bool = Field(default=False, description="write English whatever is spoken, for models that can")


class Speech(Options):
    """How speech or sound is made."""

    seed: int = Field(default=0, ge=0, description="the same seed gives the same sound")


class Words(Options):
    """How long a generated answer may be."""

    max_new_tokens: int = Field(default=256, ge=1, le=4096, description="the longest answer, in tokens")


class PageAnswer(Options):
    """Answers from a page's picture."""

    top_k: int = Field(default=1, ge=1, description="how many answers, best first")
    words: Annotated[list[PageWord] | None, BeforeValidator(_from_json)] = Field(
        default=None,
        description="the page's words as a JSON list of [word, [left, top, right, bottom]] in pixels, for models that "
        "do not read by themselves (LayoutLM)",
    )


class Choice(Options):
    """The options of a decision; without any the question is one of yes or no."""

    labels: Labels = Field(default=[], description="the options to choose among; none for a question of yes or no")
