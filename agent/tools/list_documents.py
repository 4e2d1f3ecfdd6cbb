"""The tool `list_documents`: what is in the library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.request import AnyLibrary
    from retrieval.records import DocumentRecord


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
        alike = Counter(record.document for record in records)
        lines = [_line(record, alike[record.document] > 1) for record in records[:_SHOWN]]
        if len(records) > _SHOWN:
            lines.append(f"and {len(records) - _SHOWN} more")
        facts = [{"document": r.document, "document_id": r.document_id, "pages": r.pages} for r in records]
        return "\n".join(lines) or "The library is empty.", facts

    return as_tool("list_documents", ListDocumentsArguments, list_documents)


def _line(record: DocumentRecord, with_id: bool) -> str:
    facts = ([f"{record.pages} pages"] if record.pages else []) + ([f"id {record.document_id}"] if with_id else [])
    return f"{record.document} ({', '.join(facts)})" if facts else record.document
