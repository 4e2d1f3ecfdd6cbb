"""LangChain tools over the assistant's tasks and documents, usable in anyone's agent; one tool a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.assembly import House

NAMES = ("classify", "translate", "summarize", "extract", "entities", "compare", "list_documents")


def build_tools(house: House) -> list[BaseTool]:
    """Every tool of a house, in the order of `NAMES`, then those of `[tasks]`; models load at the first call.

    A tool whose task needs a model that is not configured is there all the same and says what to fetch.
    """
    from agent.tools.classify import classify_tool
    from agent.tools.compare import compare_tool
    from agent.tools.entities import entities_tool
    from agent.tools.extract import extract_tool
    from agent.tools.list_documents import list_documents_tool
    from agent.tools.pipelines import pipeline_tools
    from agent.tools.summarize import summarize_tool
    from agent.tools.translate import translate_tool
    from models.tasks import Tasks

    tasks = Tasks.of(house)
    return [
        classify_tool(tasks),
        translate_tool(tasks),
        summarize_tool(tasks, house.library),
        extract_tool(tasks, house.library),
        entities_tool(tasks),
        compare_tool(tasks, house.library),
        list_documents_tool(house.library),
        *pipeline_tools(house),
    ]
