"""Texts to token windows a model can read, and the windows to batches of like length.

Nothing is cut off: what does not fit one window goes on in the next, which begins a little earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import BrokenModel, PromptTooLong
from models.tasks.base import tokenizer_turn

_BATCH_TOKENS = 4096  # tokens of one batch, padding counted
_BATCH_ROWS = 64
_SMALLEST_BODY = 16  # tokens of text that a window must hold beside a question, or windows would never end
_TEXTS_AT_ONCE = 512


@dataclass(frozen=True)
class Window:
    """One piece of a text as the model sees it.

    Attributes:
        sample: Index of the text it belongs to.
        inputs: The model's inputs, one list of numbers each, such as `input_ids`.
        offsets: Start and end of each token in its own text's characters.
        body: For each token, whether it is of the text that was cut into windows (no special token, no question).
        words: The index of each token's word in its text, None for special tokens.
    """

    sample: int
    inputs: dict[str, list[int]]
    offsets: list[tuple[int, int]]
    body: list[bool]
    words: list[int | None]

    def __len__(self) -> int:
        return len(self.inputs["input_ids"])

    @property
    def body_tokens(self) -> int:
        """Tokens of the text itself."""
        return sum(self.body)


def windows_of(
    tokenizer: Any,
    texts: Sequence[str],
    *,
    window: int,
    stride: int,
    before: Sequence[str] | None = None,
    after: Sequence[str] | None = None,
    special_as_text: bool = True,
) -> list[Window]:
    """The windows of every text, in order.

    Args:
        tokenizer: One with character offsets.
        texts: What is cut.
        window: Tokens a window may have, special tokens counted.
        stride: Tokens that neighbouring windows share.
        before: A text for each that stands whole before it in every window, such as a question.
        after: The same, standing after it, such as a hypothesis. At most one of the two is given.
        special_as_text: Special tokens written in a text are read as the plain text they are.

    Raises:
        PromptTooLong: the fixed text leaves no room.
        BrokenModel: the tokenizer knows no offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise BrokenModel(_folder(tokenizer), "its tokenizer gives no character offsets")
    found: list[Window] = []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        part = slice(start, start + _TEXTS_AT_ONCE)
        fixed = before if before is not None else after
        found += _encode(
            tokenizer,
            list(texts[part]),
            list(fixed[part]) if fixed is not None else None,
            window=window,
            stride=stride,
            body=1 if before is not None else 0,
            first=start,
            special_as_text=special_as_text,
        )
    return found


def batches(windows: Sequence[Window]) -> Iterator[list[int]]:
    """Indices of windows, longest first, in batches bounded in rows and in tokens with padding."""
    order = sorted(range(len(windows)), key=lambda index: -len(windows[index]))
    start = 0
    while start < len(order):
        rows = max(1, min(_BATCH_ROWS, _BATCH_TOKENS // max(1, len(windows[order[start]]))))
        yield order[start : start + rows]
        start += rows


def padded(tokenizer: Any, windows: Sequence[Window]) -> dict[str, Any]:
    """The windows as one batch of tensors, padded on the side the tokenizer names."""
    with tokenizer_turn:
        batch = tokenizer.pad([window.inputs for window in windows], padding=True, return_tensors="pt")
    return dict(batch)


def _encode(
    tokenizer: Any,
    texts: list[str],
    fixed: list[str] | None,
    *,
    window: int,
    stride: int,
    body: int,
    first: int,
    special_as_text: bool,
) -> list[Window]:
    room = window - tokenizer.num_special_tokens_to_add(pair=fixed is not None)
    if fixed is not None:
        with tokenizer_turn:
            longest = max(len(tokenizer.encode(text, add_special_tokens=False)) for text in set(fixed))
        if room - longest < min(_SMALLEST_BODY, window // 4):
            raise PromptTooLong(longest, max(1, room - min(_SMALLEST_BODY, window // 4)))
        room -= longest
    pair = (fixed, texts) if body == 1 else (texts, fixed)
    with tokenizer_turn:
        encoded = tokenizer(
            *pair,
            truncation="only_second" if body == 1 else "only_first",
            max_length=window,
            stride=max(0, min(stride, room - 1)),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            split_special_tokens=special_as_text,
            verbose=False,
        )
    names = [name for name in tokenizer.model_input_names if name in encoded]
    found = []
    for index, sample in enumerate(encoded["overflow_to_sample_mapping"]):
        sequences = encoded.sequence_ids(index)
        found.append(
            Window(
                sample=first + int(sample),
                inputs={name: list(encoded[name][index]) for name in names},
                offsets=[(int(start), int(end)) for start, end in encoded["offset_mapping"][index]],
                body=[which == body for which in sequences],
                words=list(encoded.word_ids(index)),
            )
        )
    return found


def _folder(tokenizer: Any) -> Path:
    return Path(str(tokenizer.name_or_path))
