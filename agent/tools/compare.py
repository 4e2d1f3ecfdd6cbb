"""The tool `compare`: how alike two texts or documents are, and what only one of them says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool, given_text

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.request import AnyLibrary
    from models.tasks import Similarity, Tasks

SAID_TOO = 0.6
"""Cosine of two sentences above which MiniLM's say much the same."""
_SHOWN = 5


@dataclass(frozen=True)
class Comparison:
    """How alike two texts are, -1 to 1, and the sentences of each that the other has nothing like, in order."""

    similarity: float
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


class CompareArguments(BaseModel):
    """What `compare` is called with."""

    first: str | None = Field(default=None, description="the first text, if the person wrote it")
    second: str | None = Field(default=None, description="the second text, if the person wrote it")
    first_document: str | None = Field(default=None, description="or the name of a document in the library")
    second_document: str | None = Field(default=None, description="or the name of another document in the library")


def compare_tool(tasks: Tasks, library: Callable[[], AnyLibrary]) -> BaseTool:
    """The tool over a home's sentence encoder and documents."""

    def compare(
        first: str | None = None,
        second: str | None = None,
        first_document: str | None = None,
        second_document: str | None = None,
    ) -> Result:
        """Compare two texts or documents: how alike they are in meaning and what only one of them says.

        Use it when the person names two texts or two documents and asks how they differ or whether they say the same.
        """
        left = given_text(library, first, first_document)
        right = given_text(library, second, second_document)
        found = compared(tasks.similarity(), left.text, right.text)
        return _as_words(found), asdict(found)

    return as_tool("compare", CompareArguments, compare)


def compared(similarity: Similarity, first: str, second: str) -> Comparison:
    """Two texts compared sentence by sentence.

    Raises:
        EmptyText: one of them is empty.
    """
    from models.tasks.sentences import sentences

    whole = similarity(first, second)
    left, right = sentences(first), sentences(second)
    cosines = similarity.matrix(left, right)
    return Comparison(
        whole,
        tuple(sentence for sentence, best in zip(left, cosines.max(1), strict=True) if best < SAID_TOO),
        tuple(sentence for sentence, best in zip(right, cosines.max(0), strict=True) if best < SAID_TOO),
    )


def _as_words(found: Comparison) -> str:
    lines = [f"Similarity: {found.similarity:.2f} (1 says the same)."]
    lines += _listed("Only the first says", found.only_first)
    lines += _listed("Only the second says", found.only_second)
    return "\n".join(lines)


def _listed(title: str, sentences: Sequence[str]) -> list[str]:
    if not sentences:
        return []
    more = [f"- and {len(sentences) - _SHOWN} more sentences"] if len(sentences) > _SHOWN else []
    return [f"{title}:", *(f"- {sentence}" for sentence in sentences[:_SHOWN]), *more]
