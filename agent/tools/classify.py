"""The tool `classify`: which of several labels fits a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from agent.tools.base import Result, as_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from models.tasks import Tasks


class ClassifyArguments(BaseModel):
    """What `classify` is called with."""

    text: str = Field(description="the text to label")
    labels: list[str] | None = Field(
        default=None, description="two or more labels to choose among; leave out to use the trained classifier's own"
    )


def classify_tool(tasks: Tasks) -> BaseTool:
    """The tool over a home's task models."""

    def classify(text: str, labels: list[str] | None = None) -> Result:
        """Tell which label fits a text, such as its topic, sentiment or intent, with a probability for each label.

        Use it when the person asks to classify, label, categorise or sort a text. Not for questions about facts.
        """
        trained = tasks.classifier() if labels is None else tasks.classifier_of(labels)
        found = trained(text) if trained is not None else tasks.zero_shot().many([text], labels or [])[0]
        lines = [f"{item.label}: {item.score:.2f}" for item in found.labels]
        return "\n".join(lines), found.to_json()

    return as_tool("classify", ClassifyArguments, classify)
