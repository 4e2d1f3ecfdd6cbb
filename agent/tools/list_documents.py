"""The tool `list_documents`: what is in the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.request import AnyLibrary


_SHOWN = 50


class ListDocumentsArguments(BaseModel):
    """What `list_documents` is called with."""

    collection: str | None = Field(default=None, description="only the documents of this collection")


def list_documents_tool(library: Callable[[], AnyLibrary]) -> BaseTool:
    """The tool over a home's library."""

    def list_documents(collection: str | None = None) -> Result:
        """List the documents in the person's library, with their pages.

        Use it when the person asks which documents or files there are. Not for questions about what they say.
        """
        records = library().documents([collection] if collection else None)
        lines = [f"{r.document} ({r.pages} pages)" if r.pages else r.document for r in records[:_SHOWN]]
        if len(records) > _SHOWN:
            lines.append(f"and {len(records) - _SHOWN} more")
        facts = [{"document": r.document, "document_id": r.document_id, "pages": r.pages} for r in records]
        return "\n".join(lines) or "The library is empty.", facts

    return as_tool("list_documents", ListDocumentsArguments, list_documents)
