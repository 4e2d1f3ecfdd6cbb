"""Short texts that the assistant has the chat model write for itself, and a check that nothing in them is made up.

Such a text helps an answer and is never one: where the model fails or takes too long, there simply is none.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from agent.grounding import content_words
from models.errors import ModelError

_WORD = re.compile(r"\w+(?:[.,:/]\d+)*", re.UNICODE)
# Words that may begin a sentence with a capital and name nothing; grounding's stop words are the others.
_OPENERS = frozenset(
    """
    tell explain describe list give show name find compare summarize define discuss much many ok okay person user
    assistant they asked answer yes
    """.split()
)


def write(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    *,
    max_new_tokens: int,
    seconds: float,
    cancel: threading.Event | None = None,
    unfinished: bool = False,
) -> str | None:
    """What the model writes, stripped; None where it fails, takes too long, is cancelled or does not come to an end.

    With `unfinished`, what it wrote until its time or its tokens were over counts, too.
    """
    deadline, text = time.monotonic() + seconds, ""
    cancel = cancel or threading.Event()
    try:
        for chunk in model.stream(list(messages), max_new_tokens=max_new_tokens, cancel=cancel, prompt_lookup=True):
            text += str(chunk.text)
            late = time.monotonic() > deadline
            if late or cancel.is_set() or chunk.response_metadata.get("finish_reason") in ("length", "cancelled"):
                return text.strip() or None if unfinished and not cancel.is_set() else None
    except ModelError:
        return None
    return text.strip() or None


def invented(text: str, known: str) -> set[str]:
    """The names and numbers in a text that what is known does not hold, compared without case.

    A name is a word with a capital, unless it is one of the common words that begin sentences. Scripts without capitals
    are held to their numbers alone.
    """
    there = {word.casefold() for word in _WORD.findall(known)}
    return {word for word in _WORD.findall(text) if word.casefold() not in there and _tells(word)}


def _tells(word: str) -> bool:
    if any(character.isdigit() for character in word):
        return True
    common = word.casefold() in _OPENERS or not content_words(word)
    return any(character.isupper() for character in word) and not common
