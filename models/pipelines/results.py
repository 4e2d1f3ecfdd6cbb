"""What each task gives: plain JSON-able shapes; places are pixels from the left upper corner, times are seconds.

Pictures and recordings are files in the folder that the caller named, given by their absolute path.
"""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12


class ScoredLabel(TypedDict):
    """A label with its probability."""

    label: str
    score: float


class Box(TypedDict):
    """A rectangle in pixels, its right and lower edge included in the picture."""

    left: int
    top: int
    right: int
    bottom: int


class Detection(TypedDict):
    """An object and where it is."""

    label: str
    score: float
    box: Box


class Segment(TypedDict):
    """A labelled area; `mask` is a PNG, white where the area is; `score` is None where the model gives none."""

    label: str
    score: float | None
    mask: str


class ObjectMask(TypedDict):
    """An object without a name: its mask (a PNG, white where it is), the mask's predicted quality, and its box."""

    mask: str
    score: float
    box: Box


class Depth(TypedDict):
    """Depth of every pixel.

    `picture` is a 16-bit PNG; a pixel's depth is `minimum + value / 65535 * (maximum - minimum)`, in the model's unit
    (metres for models that say so; otherwise many models give larger numbers for what is nearer).
    """

    picture: str
    minimum: float
    maximum: float


class Point(TypedDict):
    """A place in a picture."""

    x: float
    y: float


class Match(TypedDict):
    """A point of the first picture and the point of the second that shows the same."""

    first: Point
    second: Point
    score: float


class Vector(TypedDict):
    """A picture as numbers: near vectors mean alike pictures."""

    vector: list[float]


class Answer(TypedDict):
    """Generated text."""

    answer: str


class PageWords(TypedDict):
    """An answer on a page; `first_word` and `last_word` count the page's words from 0, None where none were read."""

    answer: str
    score: float | None
    first_word: int | None
    last_word: int | None


class SpokenPart(TypedDict):
    """A word or phrase and when it is said; `end` is None where the recording stops inside it."""

    text: str
    start: float
    end: float | None


class Transcript(TypedDict):
    """Speech as text; `parts` is empty and `language` None for models that tell neither."""

    text: str
    parts: list[SpokenPart]
    language: str | None


class Recording(TypedDict):
    """Sound as a 16-bit WAV file."""

    recording: str
    sampling_rate_hz: int
    seconds: float
