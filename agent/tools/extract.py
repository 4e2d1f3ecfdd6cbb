"""The tool `extract`: the very words of a text or document that answer a question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool, given_text

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.request import AnyLibrary
    from models.tasks import Tasks


class ExtractArguments(BaseModel):
    """What `extract` is called with."""

    question: str = Field(description="the question")
    text: str | None = Field(default=None, description="the text itself, if the person wrote it in the message")
    document: str | None = Field(default=None, description="or the name of a document in the library")


def extract_tool(tasks: Tasks, library: Callable[[], AnyLibrary]) -> BaseTool:
    """The tool over a home's task models and documents."""

    def extract(question: str, text: str | None = None, document: str | None = None) -> Result:
        """Copy out the words of one given text or document that answer a question, with their place.

        Use it when the person names the text or document and wants the exact words. To look through all documents, use
        search instead.
        """
        whole = given_text(library, text, document)
        found = tasks.extractor()(question, whole.text)
        return found.answer or "The text does not answer the question.", found.to_json() | {
            "document": whole.name if document else None
        }

    return as_tool("extract", ExtractArguments, extract)
