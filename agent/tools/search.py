"""The tool `search`: passages of the library, with their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.tools import BaseTool

    from agent.request import AnyLibrary

_PLACE = ("document", "document_id", "collection", "page", "position", "start", "end", "score")


class SearchArguments(BaseModel):
    """What `search` is called with."""

    query: str = Field(description="what to look for, in the words a document would use")
    top_k: int = Field(default=4, ge=1, le=20, description="how many passages")


def search_tool(library: Callable[[], AnyLibrary]) -> BaseTool:
    """The tool over a library; its data is a list of passages as `hearth search --json` prints them."""

    def search(query: str, top_k: int = 4) -> Result:
        """Find passages in the person's documents: facts, figures, rules, dates and names, each with its place.

        Use it when the answer to a question should stand in the documents. Not for a text that the message itself
        holds, and not for small talk.
        """
        found = library().search(query, top_k=top_k, tidy=True)
        return as_words(found), [as_facts(passage) for passage in found]

    return as_tool("search", SearchArguments, search)


def as_words(passages: list[Document]) -> str:
    """Every passage whole, under its number and place."""
    from agent.answering import place

    shown = [f"[{n}] {place(passage.metadata)}:\n{passage.page_content}" for n, passage in enumerate(passages, start=1)]
    return "\n\n".join(shown) or "No passage found."


def as_facts(passage: Document) -> dict[str, Any]:
    """A passage as plain JSON: its text and where it stands."""
    return {**{name: passage.metadata.get(name) for name in _PLACE}, "text": passage.page_content}
