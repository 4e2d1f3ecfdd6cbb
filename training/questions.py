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
from typing import Any, TextIO

from training.errors import DataError
from training.gaps import LONGEST_PARAGRAPH, SHORTEST_PARAGRAPH
from training.sources import rows_of

_AT_ONCE = 20
_TOGETHER = 16  # paragraphs; at the end of each round fewer than _AT_ONCE are being written
_TEMPERATURE, _TOP_P = 0.7, 0.9
_MOST_TOKENS = 60
_LONGEST_ANSWER_WORDS = 20
_LEAST_AGREED_F1 = 0.5
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
    each: int = 2,
    reader: str | None = None,
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
        reader: The name, or folder, of a model that finds answers; questions of which it finds another than the asker
            meant are left out, too.
        most: Rows to end with; None asks about every paragraph.
        seed: Of the order of the paragraphs; what is drawn differs each time.
        show: Is told `{"event": "asked", "paragraph", "paragraphs", "rows"}` on the way.

    Returns:
        `{paragraphs, rows, asked, left_out}`: read in the files, rows in the target, drawn and left out now.

    Raises:
        DataNotFound, DataError: a file is missing, cannot be read or holds no paragraph.
        ModelError: there is no such model.
    """
    passages = _passages(sources)
    random.Random(seed).shuffle(passages)
    asking = _Asking(asker, reader, each, home)
    target.touch()
    with target.open("r+", encoding="utf-8") as out:
        known = _written(out, target)
        held = set(known)
        left = [passage for passage in passages if passage.text not in held]
        rows, done = len(known), 0
        while done < len(left) and (most is None or rows < most):
            some = left[done : done + _TOGETHER]
            for row in asking.rows(some):
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                rows += 1
            out.flush()
            done += len(some)
            show({"event": "asked", "paragraph": done, "paragraphs": len(left), "rows": rows})
        os.fsync(out.fileno())
    asked = done * each
    return {"paragraphs": len(passages), "rows": rows, "asked": asked, "left_out": asked - (rows - len(known))}


class _Asking:
    """The model that asks, and the reader that answers what it asked, where there is one."""

    def __init__(self, asker: str, reader: str | None, each: int, home: Path) -> None:
        from models.chat import LocalChatModel, open_chat_model
        from models.errors import ModelError
        from models.tasks.extractor import Extractor

        self._each = each
        self._reader = Extractor(reader, home=home) if reader is not None else None
        self._model = open_chat_model(
            asker, home=home, temperature=_TEMPERATURE, top_p=_TOP_P, max_new_tokens=_MOST_TOKENS
        )
        if isinstance(self._model, LocalChatModel):
            with suppress(ModelError):  # where it cannot be, torch writes, only slower
                self._model.convert()

    def rows(self, passages: Sequence[Passage]) -> Iterator[dict[str, Any]]:
        """What is asked about some passages and kept."""
        from models.prompts import asking_messages

        prompts: list[Any] = [asking_messages(one.text) for one in passages for _ in range(self._each)]
        said = [str(reply.content) for reply in self._model.batch(prompts, config={"max_concurrency": _AT_ONCE})]
        for number, passage in enumerate(passages):
            replies = said[number * self._each : (number + 1) * self._each]
            yield from self._agreed(list(questions_in(passage, replies)))

    def _agreed(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """The questions of which the reader finds about the answer that was meant; all of them without one."""
        from models.metrics import token_f1

        if self._reader is None or not rows:
            return rows
        found = self._reader.many(
            [row["question"] for row in rows], [row["context"] for row in rows], can_abstain=False
        )
        pairs = zip(rows, found, strict=True)
        return [row for row, one in pairs if token_f1(one.answer, row["answers"]["text"]) >= _LEAST_AGREED_F1]


def _written(out: TextIO, target: Path) -> list[str]:
    """The paragraphs of the rows that stand in a file, which is left at its end; a line cut off there is taken away."""
    whole = 0
    found: list[str] = []
    for line in iter(out.readline, ""):
        if not line.endswith("\n"):
            break
        try:
            found.append(json.loads(line)["context"])
        except (ValueError, KeyError, TypeError) as error:
            wanted = "expected rows that were asked before; name another file."
            raise DataError(
                target.name, f"its line is no question about a paragraph; {wanted}", len(found) + 1
            ) from error
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
    if not found:
        length = f"of {SHORTEST_PARAGRAPH} to {LONGEST_PARAGRAPH} characters"
        raise DataError(", ".join(sources), f"there is no paragraph {length} in a column 'text' or 'context'.")
    return list(found.values())
