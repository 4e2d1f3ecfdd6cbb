"""The tool `answer`: a checked answer from the library, with its sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.assistant import Assistant
    from agent.events import Answer


class AnswerArguments(BaseModel):
    """What `answer` is called with."""

    question: str = Field(description="the question, understandable by itself")
    documents: list[str] | None = Field(
        default=None, description="only these documents of the library may answer; leave out to search all"
    )


def answer_tool(assistant: Callable[[], Assistant]) -> BaseTool:
    """The tool over an assistant; its data is the answer as `hearth ask --json` prints it."""

    def answer(question: str, documents: list[str] | None = None) -> Result:
        """Answer a question from the person's documents; each sentence is checked against its source and cited.

        Use it when the person asks something that their documents should answer. Not for small talk or a text that the
        message itself holds.
        """
        found = assistant().ask(question, tool="search", documents=documents)
        return as_words(found), found.to_json()

    return as_tool("answer", AnswerArguments, answer)


def as_words(answer: Answer) -> str:
    """The answer and under it one line a source."""
    lines = [
        f"[{source.number}] {source.document}" + (f", page {source.page}" if source.page else "")
        for source in answer.sources
    ]
    return "\n".join([answer.text, *lines])
