"""LangChain tools over the assistant's tasks and documents, usable in anyone's agent; one tool a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.tools import BaseTool

    from agent.assembly import House
    from agent.request import AnyLibrary

ROLES: dict[str, str] = {
    "search": "embed",
    "classify": "classify",
    "translate": "translate",
    "summarize": "summarize",
    "extract": "extract",
    "entities": "entities",
    "compare": "embed",
}
"""The role whose model does a tool's work; labels of one's own turn `classify` into `zero-shot`."""
NAMES = (
    *("search", "answer", "classify", "translate", "summarize", "extract", "entities", "compare"),
    "list_documents",
)


def build_tools(house: House, library: Callable[[], AnyLibrary] | None = None) -> list[BaseTool]:
    """Every tool of a house, in the order of `NAMES`, then those of `[tasks]`; models load at the first call.

    A tool whose task needs a model that is not configured is there all the same and says what to fetch.

    Args:
        house: whose models serve.
        library: what the tools may read, such as one user's part; None is the house's whole library.
    """
    from agent.assistant import Assistant
    from agent.tools.answer import answer_tool
    from agent.tools.classify import classify_tool
    from agent.tools.compare import compare_tool
    from agent.tools.entities import entities_tool
    from agent.tools.extract import extract_tool
    from agent.tools.list_documents import list_documents_tool
    from agent.tools.pipelines import pipeline_tools
    from agent.tools.search import search_tool
    from agent.tools.summarize import summarize_tool
    from agent.tools.translate import translate_tool
    from models.tasks import Tasks

    tasks = Tasks.of(house)
    library = library or house.library
    read = library
    return [
        search_tool(read),
        answer_tool(
            lambda: Assistant(house.chat_model(), read(), house.settings, judge=house.judge, reader=house.reader)
        ),
        classify_tool(tasks),
        translate_tool(tasks),
        summarize_tool(tasks, library, house.settings.support_floor),
        extract_tool(tasks, library),
        entities_tool(tasks),
        compare_tool(tasks, library),
        list_documents_tool(library),
        *pipeline_tools(house),
    ]
