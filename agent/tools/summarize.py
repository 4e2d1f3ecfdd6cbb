"""The tool `summarize`: a text or a whole document of the library, shorter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.document_summary import in_words, summarise
from agent.progress import tell
from agent.tools.base import Result, as_tool, given_text

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.request import AnyLibrary
    from models.tasks import Tasks


class SummarizeArguments(BaseModel):
    """What `summarize` is called with."""

    text: str | None = Field(default=None, description="the text itself, if the person wrote it in the message")
    document: str | None = Field(default=None, description="or the name of a document in the library")
    words: int = Field(default=60, ge=5, le=1000, description="about how many words the summary may have")


def summarize_tool(tasks: Tasks, library: Callable[[], AnyLibrary], floor: float) -> BaseTool:
    """The tool over a home's task models and documents.

    Args:
        tasks: who summarises.
        library: what may be read.
        floor: the least support with which a sentence of a summary stays.
    """

    def summarize(text: str | None = None, document: str | None = None, words: int = 60) -> Result:
        """Summarize a text or a whole document, every page of it read.

        Use it when the person wants a summary, an overview or the main points. Not for a question about one fact in a
        document: search answers that.
        """
        whole = given_text(library, text, document)
        found = summarise(
            whole, tasks.summarizer(), words=words, floor=floor, own_sentences=tasks.own_sentences, tell=tell
        )
        facts = found.to_json()
        return in_words(facts), facts | {"document": whole.name if document else None}

    return as_tool("summarize", SummarizeArguments, summarize)
