"""Tools that answer at once by a rule that a test can foresee, in the place of Hearth's own, and some that fail."""

from __future__ import annotations

import time
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from agent.errors import BadInput
from agent.tools.base import Result, as_tool, given_text
from agent.tools.classify import ClassifyArguments
from agent.tools.compare import CompareArguments
from agent.tools.summarize import SummarizeArguments
from agent.tools.translate import TranslateArguments


def stub_tools(library: Any, *more: BaseTool) -> list[BaseTool]:
    """`summarize` gives the first sentence, `translate` marks its text, `classify` knows one word."""

    def read(text: str | None, document: str | None) -> str:
        return given_text(lambda: library, text, document).text

    def summarize(text: str | None = None, document: str | None = None, words: int = 60) -> Result:
        """Summarize."""
        first = read(text, document).split(". ")[0] + "."
        return first, {"summary": first, "words": words}

    def translate(text: str, to: str, source: str | None = None) -> Result:
        """Translate."""
        return f"<{to}> {text}", {"translation": f"<{to}> {text}"}

    def classify(text: str, labels: list[str] | None = None) -> Result:
        """Classify."""
        if not labels:
            raise BadInput("Give labels.")
        best = labels[-1] if "awful" in text else labels[0]
        ranked = [best, *(label for label in labels if label != best)]
        scores = [{"label": label, "score": 0.9 if label == best else 0.1} for label in ranked]
        return "\n".join(f"{item['label']}: {item['score']}" for item in scores), scores

    def compare(
        first: str | None = None,
        second: str | None = None,
        first_document: str | None = None,
        second_document: str | None = None,
    ) -> Result:
        """Compare."""
        same = read(first, first_document) == read(second, second_document)
        return ("the same" if same else "not the same"), {"same": same}

    own = [
        as_tool("summarize", SummarizeArguments, summarize),
        as_tool("translate", TranslateArguments, translate),
        as_tool("classify", ClassifyArguments, classify),
        as_tool("compare", CompareArguments, compare),
    ]
    replaced = {tool.name for tool in more}
    return [*(tool for tool in own if tool.name not in replaced), *more]


def failing(name: str) -> BaseTool:
    """A tool that crashes."""

    def crash(text: str = "", to: str = "", document: str = "", words: int = 0) -> str:
        """Crash."""
        raise ZeroDivisionError("boom")

    return StructuredTool.from_function(crash, name=name)


def hanging(name: str, seconds: float) -> BaseTool:
    """A tool that gives nothing for a long time."""

    def hang(text: str = "", to: str = "", document: str = "", words: int = 0) -> str:
        """Hang."""
        time.sleep(seconds)
        return "late"

    return StructuredTool.from_function(hang, name=name)


def deleting(deleted: list[str]) -> BaseTool:
    """A tool with an effect, which it leaves in the list."""

    def delete_file(name: str) -> str:
        """Delete a file."""
        deleted.append(name)
        return f"{name} is deleted."

    return StructuredTool.from_function(delete_file, metadata={"effect": True})
