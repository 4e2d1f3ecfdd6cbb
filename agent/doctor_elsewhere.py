"""What `hearth doctor` says of models on other machines: where a person's words go, and whether the key is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agent.assembly import House
from agent.checks import Check
from agent.errors import AgentError
from models.errors import ModelError


def examine_elsewhere(house: House) -> Iterator[Check]:
    """A check for each model that the settings name on another machine; nothing is sent to it."""
    parts: tuple[tuple[str, Callable[[], Any], str], ...] = (
        ("chat model", house.chat_model, "questions and passages"),
        ("embed model", house.embeddings, "documents and questions"),
    )
    for name, open_model, what in parts:
        try:
            endpoint = getattr(open_model(), "endpoint", None)
        except (AgentError, ModelError) as error:
            yield Check(f"{name} elsewhere", False, str(error), "hearth settings")
        else:
            if endpoint is not None:
                yield Check(f"{name} elsewhere", True, f"{what} are sent to {endpoint.host}, as the settings say")
