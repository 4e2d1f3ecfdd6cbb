"""How a function becomes a tool: its docstring is the prompt, it gives a text and data, and its errors are words."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.tools import StructuredTool, ToolException

from agent.documents import WholeText, read_from_library
from agent.errors import AgentError, BadInput
from models.errors import ModelError
from retrieval.errors import RetrievalError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agent.request import AnyLibrary


Result = tuple[str, Any]
"""What a model reads, and the result as data."""


def as_tool(name: str, arguments: type[BaseModel], function: Callable[..., Result]) -> StructuredTool:
    """A tool named by a verb; a known error becomes the tool's answer, `code: sentence`, and ends no conversation."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Result:
        try:
            return function(*args, **kwargs)
        except (AgentError, ModelError, RetrievalError) as error:
            raise ToolException(f"{error.code}: {error}") from error

    return StructuredTool.from_function(
        func=guarded,
        name=name,
        description=inspect.cleandoc(function.__doc__ or ""),
        args_schema=arguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def given_text(library: Callable[[], AnyLibrary], text: str | None, document: str | None) -> WholeText:
    """The text of a call that takes either a text or a document of the library.

    Raises:
        BadInput: neither or both were given.
        RetrievalError: no such document.
    """
    if bool(text) == bool(document):
        raise BadInput("Give either a text or the name of a document in the library, not both and not neither.")
    return read_from_library(library(), document) if document else WholeText("text", text or "")
