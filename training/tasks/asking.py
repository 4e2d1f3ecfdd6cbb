"""Asking: a chat model learns to ask about a passage, an answer of its words first and then the question.

What it asks of texts that nobody labelled is what a reader of answers can learn from (`training/questions.py`), as in
Alberti et al. 2019, https://arxiv.org/abs/1906.05416.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from training.data import Column, Layout
from training.layouts import plain_messages
from training.tasks.answer_rows import NO_ANSWER, laid_out
from training.tasks.chat import Chat


class Asking(Chat):
    """Learns from rows of question answering; those without an answer are left out."""

    kind = "asking"

    @property
    def columns(self) -> tuple[Column, ...]:
        return super().columns[:3]

    @property
    def layout(self) -> Layout:
        return asking_rows


def asking_rows(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`messages`, `answer` and `references` of each question of a source row, in any layout of `answer_rows.py`.

    Of several accepted answers the shortest is learned.

    Raises:
        ValueError: the row is in no known layout.
    """
    from models.prompts import asking_messages

    for row in laid_out(values):
        answer = min(row["answers"], key=len)
        if answer == NO_ANSWER:
            continue
        asked = f"{answer.strip()}\n{' '.join(str(row['question']).split())}"
        yield {"messages": plain_messages(asking_messages(row["text"])), "answer": asked, "references": [asked]}
