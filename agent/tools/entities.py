"""The tool `entities`: the people, places, organisations and other names in a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from models.tasks import Tasks


class EntitiesArguments(BaseModel):
    """What `entities` is called with."""

    text: str = Field(description="the text to look through")


def entities_tool(tasks: Tasks) -> BaseTool:
    """The tool over a home's task models."""

    def entities(text: str) -> Result:
        """List the names in a text: people, places, organisations and the like, each with its kind.

        Use it when the person asks which people, places, companies or names a given text mentions.
        """
        found = tasks.entities()(text)
        lines = [f"{entity.text} ({entity.label})" for entity in found]
        return "\n".join(lines) or "The text names nothing.", [entity.to_json() for entity in found]

    return as_tool("entities", EntitiesArguments, entities)
