"""The tool `translate`: a text in another language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from models.tasks import Tasks


class TranslateArguments(BaseModel):
    """What `translate` is called with."""

    text: str = Field(description="the text to translate")
    to: str = Field(description="the target language, its name or code, such as German or de")
    source: str | None = Field(default=None, description="the text's own language, only if the person says it")


def translate_tool(tasks: Tasks) -> BaseTool:
    """The tool over a home's task models."""

    def translate(text: str, to: str, source: str | None = None) -> Result:
        """Translate a text into another language.

        Use it when the person asks how something is said in another language or wants a text translated. Not for
        questions that merely mention a language or a country.
        """
        found = tasks.translator()(text, to=to, source=source)
        return found.advice or found.translation, found.to_json()

    return as_tool("translate", TranslateArguments, translate)
