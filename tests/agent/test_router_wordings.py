"""The router that ships learned the very descriptions that the tools have."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assembly import House
from agent.settings import load_settings
from agent.tools import build_tools
from models.registry import Registry
from models.tasks import ToolRouter
from models.tasks.roles import NO_TOOL
from training.recipe import load_recipe


def test_the_recipes_first_wordings_are_the_tools_descriptions(tmp_path: Path) -> None:
    """`answer` is left out, as messages for it are those for `search`."""
    served = {tool.name: tool.description for tool in build_tools(House(load_settings({"home": str(tmp_path)})))}
    learned = {name: wordings[0] for name, wordings in load_recipe("routing").options["tools"].items()}
    assert learned == {name: served[name] for name in served if name != "answer"}


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("message", "tool"),
    [
        ("give me the gist of this: the meeting was moved to Friday because the hall is being painted", "summarize"),
        ("how do you say good night in Welsh", "translate"),
        ("what does the lease say about pets?", "search"),
        ("thanks, that was quick", None),
        ("which files have I given you so far?", "list_documents"),
    ],
)
def test_the_shipped_router_chooses(message: str, tool: str | None, embedded_home: Path) -> None:
    shipped = Registry(embedded_home).shipped_for("route")
    assert shipped is not None
    router = ToolRouter(shipped.label, home=embedded_home)
    assert router.config[NO_TOOL]
    tools = {name: wordings[0] for name, wordings in load_recipe("routing").options["tools"].items()}
    assert router.route(message, tools)[0].tool == tool
