"""Questions about texts that nobody labelled, asked by a chat model that learned to ask (`tasks/asking.py`).

They are rows that readers, rerankers and chat models learn from: synthetic questions as Alberti et al. 2019 make them,
https://arxiv.org/abs/1906.05416.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from training.errors import DataError
from training.gaps import LONGEST_PARAGRAPH, SHORTEST_PARAGRAPH
from training.sources import rows_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_AT_ONCE = 20
_TOGETHER = 16  # paragraphs; at the end of each round fewer than _AT_ONCE are being written
_TOP_P = 0.9
_MOST_TOKENS = 60
_LONGEST_ANSWER_WORDS = 20
_FEWEST_QUESTION_WORDS = 3


@dataclass(frozen=True)
class Passage:
    """A paragraph, and the title of the text that it stands in ("" where it has none)."""

    text: str
    title: str


def ask(
    sources: Sequence[str],
    asker: str,
    target: Path,
    *,
    home: Path,
    each: int = 5,
    most: int | None = None,
    seed: int = 7,
    show: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any]:
    """Writes questions about the paragraphs of some files, each with an answer that stands in its paragraph.

    Args:
        sources: Files of rows, of any kind that recipes read: a `text` (a paragraph a line) or a `context`, perhaps a
            `title`.
        asker: The name, or folder, of a chat model that learned to ask.
        target: JSON lines of `{title, context, question, answers}` as SQuAD has them; paragraphs that stand in it
            already are not asked about again.
        home: The data folder.
        each: Questions drawn a paragraph; those that repeat another or whose answer does not stand there are left out.
        most: Rows to end with; None asks about every paragraph.
        seed: Of the order of the paragraphs; what is drawn differs each time.
        show: Is told `{"event": "asked", "paragraph", "paragraphs", "rows"}` on the way.

    Returns:
        `{paragraphs, rows, asked, left_out}`: read in the files, rows in the target, drawn and left out now.

    Raises:
        DataNotFound, DataError: a file is missing, cannot be read or holds no paragraph.
        ModelError: there is no such model.
    """
    from models.chat import LocalChatModel, open_chat_model
    from models.errors import ModelError

    passages = _passages(sources)
    if not passages:
        length = f"of {SHORTEST_PARAGRAPH} to {LONGEST_PARAGRAPH} characters"
        raise DataError(", ".join(sources), f"there is no paragraph {length} in a column 'text' or 'context'.")
    random.Random(seed).shuffle(passages)
    served = open_chat_model(asker, home=home, temperature=1.0, top_p=_TOP_P, max_new_tokens=_MOST_TOKENS)
    if isinstance(served, LocalChatModel):
        with suppress(ModelError):  # where it cannot be, torch writes, only slower
            served.convert()
    target.touch()
    with target.open("r+", encoding="utf-8") as out:
        known = _written(out)
        held = set(known)
        left = [passage for passage in passages if passage.text not in held]
        rows, asked = len(known), 0
        for start in range(0, len(left), _TOGETHER):
            if most is not None and rows >= most:
                break
            some = left[start : start + _TOGETHER]
            for passage, replies in zip(some, _replies(served, some, each), strict=True):
                asked += len(replies)
                for row in questions_in(passage, replies):
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                    rows += 1
            out.flush()
            show({"event": "asked", "paragraph": start + len(some), "paragraphs": len(left), "rows": rows})
        os.fsync(out.fileno())
    return {"paragraphs": len(passages), "rows": rows, "asked": asked, "left_out": asked - (rows - len(known))}


def _written(out: TextIO) -> list[str]:
    """The paragraphs of the rows that stand in a file, which is left at its end; a line cut off there is taken away."""
    whole = 0
    found = []
    for line in iter(out.readline, ""):
        if not line.endswith("\n"):
            break
        found.append(json.loads(line)["context"])
        whole = out.tell()
    out.seek(whole)
    out.truncate()
    return found


def questions_in(passage: Passage, replies: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of what a model wrote about a passage: an answer that stands in it, a line end and a question.

    No answer and no question comes twice, and no question says its answer.
    """
    seen: set[str] = set()
    for reply in replies:
        answer, _, question = (part.strip() for part in reply.strip().partition("\n"))
        place = passage.text.find(answer)
        if not answer or place < 0 or len(answer.split()) > _LONGEST_ANSWER_WORDS:
            continue
        if "\n" in question or len(question.split()) < _FEWEST_QUESTION_WORDS or answer.lower() in question.lower():
            continue
        if seen & (these := {answer.lower(), question.lower()}):
            continue
        seen |= these
        yield {
            "title": passage.title,
            "context": passage.text,
            "question": question,
            "answers": {"text": [answer], "answer_start": [place]},
        }


def _passages(sources: Sequence[str]) -> list[Passage]:
    """Each paragraph of a length that can be read and asked about, once."""
    found: dict[str, Passage] = {}
    for source in sources:
        for row in rows_of(source, Path.cwd()):
            values = row.values
            given = values.get("context", values.get("text"))
            if not isinstance(given, str):
                have = ", ".join(map(repr, values))
                raise DataError(source, f"expected a column 'text' or 'context'; the columns are {have}.", row.line)
            for part in map(str.strip, given.split("\n")):
                if SHORTEST_PARAGRAPH <= len(part) <= LONGEST_PARAGRAPH:
                    found.setdefault(part, Passage(part, str(values.get("title") or "")))
    return list(found.values())


def _replies(served: BaseChatModel, passages: Sequence[Passage], each: int) -> list[list[str]]:
    from models.prompts import asking_messages

    prompts: list[Any] = [asking_messages(one.text) for one in passages for _ in range(each)]
    said = [str(reply.content) for reply in served.batch(prompts, config={"max_concurrency": _AT_ONCE})]
    return [said[at : at + each] for at in range(0, len(said), each)]
