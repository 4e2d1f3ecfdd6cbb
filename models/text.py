"""Answer ids to answer text, piece by piece: no half characters, and stop strings cut exactly.

Both work on a stream and give the same text however it was cut into pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER_TOKENS = 8  # after so many undecodable tokens they are no beginning of a character but noise


class Detokenizer:
    """Turns ids into text as they come; special tokens are left out.

    Text is given only once its characters are whole: a character of several byte tokens comes with the last of them.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # ids before this are never looked at again
        self._given = 0  # ids before this have been given as text

    def feed(self, token: int) -> str:
        """The text that `token` completes; empty while a character is unfinished."""
        self._ids.append(token)
        text = self._pending()
        if text.endswith(_REPLACEMENT) and len(self._ids) - self._given < _LONGEST_CHARACTER_TOKENS:
            return ""
        self._start, self._given = self._given, len(self._ids)
        return text

    def flush(self) -> str:
        """What is left at the end, an unfinished character as the replacement character."""
        text = self._pending()
        self._start = self._given = len(self._ids)
        return text

    def _pending(self) -> str:
        # decoded with the tokens before them, because a tokenizer may join or drop spaces between words
        before = self._decode(self._ids[self._start : self._given])
        return self._decode(self._ids[self._start :])[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class StopTrimmer:
    """Lets text through up to the first stop string, which is cut off with everything after it.

    The stop that is complete first counts; of two complete at the same character, the one that began earlier. Text
    that may still become a stop is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The part of the text so far that is surely not a stop; nothing once stopped."""
        if self.stopped:
            return ""
        self._held += text
        end, start = min(
            ((at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0), default=(-1, -1)
        )
        if end >= 0:
            self.stopped = True
            return self._give(start)
        return self._give(len(self._held) - self._partial())

    def flush(self) -> str:
        """What was held back, once no more text comes; nothing once stopped."""
        return "" if self.stopped else self._give(len(self._held))

    def _give(self, length: int) -> str:
        given, self._held = self._held[:length], self._held[length:]
        return given

    def _partial(self) -> int:
        """Length of the longest end of the held text that begins some stop."""
        longest = min(len(self._held), max((len(stop) for stop in self._stops), default=1) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
