"""Makes a follow-up question understandable without its thread, so that a search for it finds what is meant.

By rule a message is a follow-up or not; the chat model says what it means, and a check refuses what it makes up.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.language_models import BaseChatModel

from agent.grounding import content_words, sentences, strip_citations
from agent.memory import Turn
from agent.writing import invented, write
from models.prompts import standing_messages

_TURNS_SHOWN = 3
_ANSWER_CHARACTERS = 400
_NEW_TOKENS = 64
_SECONDS = 20.0
_LONGEST_WORDS = 60
_KEPT_SHARE = 0.5

# Words that stand for something said before.
_POINTING = re.compile(
    r"\b(?:it|its|itself|he|him|his|she|her|hers|they|them|their|theirs|former|latter)\b"
    r"|\b(?:this|that|these|those)(?=\s*(?:[?.!,]|$|(?:one|ones|is|are|was|were|does|did|do|has|had|can|could|will|would"
    r"|mean|means|happen|happened)\b))"
    r"|\b(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should) (?:this|that|these|those)\b"
    r"|\b(?:about|of|like|than|for|with|from|to|by) (?:this|that|these|those)\b(?=\s*(?:[?.!,]|$))"
    r"|\b(?:the (?:same|other|others|first|second|third|last|next|previous) (?:one|ones|time|year|thing))\b"
    r"|\bthe (?:other|others|first|second|rest|same)\s*(?:[?.!]|$)|\bwhich (?:one|ones|of (?:them|those|these))\b"
    r"|\b(?:there|then)\s*(?:[?.!]|$)|\banything else\b|\bwho else\b|\bwhat else\b",
    re.IGNORECASE,
)
# `it` that stands for nothing: the weather, the time, and "is it true that".
_EMPTY_IT = re.compile(
    r"\b(?:is|was|does|will|did|has) it (?:rain|snow|possible|true|necessary|allowed|ok|cold|warm|late|take|cost|worth"
    r"|legal|important|safe)\w*|\bwhat time is it\b|\bhow (?:long|much) does it (?:take|cost) to\b",
    re.IGNORECASE,
)
# Messages that begin in the middle of a thought.
_CONTINUING = re.compile(
    r"\s*(?:and|but|or|so|also|what about|how about|what of|same for|why not|how so|how come|else|more|go on|continue"
    r"|tell me more|elaborate|explain more|in which case)\b(?! (?:far|called|many|much))",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"\s*(?:why|when|where|who|how|which|really|since when|how (?:much|many|long|often|far|old))\s*\??\s*", re.I
)
_ASKING = re.compile(r"\b(?:why|when|where|who|whom|whose|which|how)\b")
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True)
class Standing:
    """A question that is understood by itself, and how it came about.

    `how` is `own` (it was so already), `rewritten` (by the model) or `joined` (with the question before).
    """

    question: str
    how: Literal["own", "rewritten", "joined"] = "own"


def needs_thread(message: str) -> bool:
    """Whether a message is understood only with what was said before: it points back, or leaves out what it is on."""
    if _CONTINUING.match(message) or _BARE.fullmatch(message):
        return True
    return bool(_POINTING.search(_EMPTY_IT.sub(" ", message)))


def self_standing(
    message: str, turns: Sequence[Turn], model: BaseChatModel, cancel: threading.Event | None = None
) -> Standing:
    """The question so that it is understood without its thread.

    Args:
        message: the person's words.
        turns: the thread's turns, oldest first.
        model: who rewrites it.
        cancel: ends the rewriting; what is there by rule is given then.
    """
    if not turns or not needs_thread(message):
        return Standing(message)
    shown = [(turn.standing, _brief(turn.answer)) for turn in turns[-_TURNS_SHOWN:]]
    messages = standing_messages(message, shown)
    written = write(model, messages, max_new_tokens=_NEW_TOKENS, seconds=_SECONDS, cancel=cancel)
    said = " ".join(part for turn in shown for part in turn)
    rewritten = _first_line(written or "")
    if _may_stand(rewritten, message, said, turns):
        return Standing(rewritten, "rewritten")
    return Standing(joined(message, turns[-1]), "joined")


def joined(message: str, last: Turn) -> str:
    """The message with what the question before was on, and with the names its answer gave, in brackets behind it."""
    numbers = bool(_NUMBER.search(message))
    own = content_words(message)
    answer = _brief(last.answer)
    names = invented(answer, f"{last.standing} {message}")
    words = [word for word in re.findall(r"\w+(?:[.,]\d+)*", last.standing) if content_words(word) - own]
    if numbers:  # "and in 2022?" asks the same of another year
        words = [word for word in words if not _NUMBER.search(word)]
    words += [word for word in re.findall(r"\w+", answer) if word in names and not _NUMBER.search(word)]
    added = " ".join(dict.fromkeys(words))
    return f"{message.strip()} ({added})" if added else message


def _may_stand(rewritten: str, message: str, said: str, turns: Sequence[Turn]) -> bool:
    """Whether a rewriting says no more than the thread and no less than the message, and asks nothing over again."""
    asked = {_bare(message), *(_bare(turn.standing) for turn in turns)}
    if not rewritten or len(rewritten.split()) > _LONGEST_WORDS or _bare(rewritten) in asked:
        return False
    if invented(rewritten, f"{said} {message}"):
        return False
    if invented(message, rewritten):  # it lost a name or a number of the message's own
        return False
    if "?" in message and not rewritten.endswith("?"):
        return False
    if not set(_ASKING.findall(message.casefold())) <= set(_ASKING.findall(rewritten.casefold())):
        return False
    own, new = content_words(message), content_words(rewritten)
    kept = len(own & new) / len(own) if own else 1.0
    resolved = bool(new - own) and (new - own) <= content_words(said) | own
    return kept >= _KEPT_SHARE and resolved and not _POINTING.search(_EMPTY_IT.sub(" ", rewritten))


def _bare(question: str) -> str:
    return question.casefold().strip(" ?!.")


def _brief(answer: str) -> str:
    """The beginning of an answer without its citations, in whole sentences."""
    clean = strip_citations(answer)
    if len(clean) <= _ANSWER_CHARACTERS:
        return clean
    ends = [span.end for span in sentences(clean) if span.end <= _ANSWER_CHARACTERS]
    return clean[: ends[-1]] if ends else clean[:_ANSWER_CHARACTERS]


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return re.sub(r"^(?:(?:last |rewritten )?question|q)\s*:\s*", "", line, flags=re.IGNORECASE).strip(" \"'“”*")
