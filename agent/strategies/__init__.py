"""The two ways to use tools: a router that picks one and a plan that is carried out, or the model itself in a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import BadInput

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

AUTO, ROUTER, LOOP = "auto", "router", "loop"
STRATEGIES = (AUTO, ROUTER, LOOP)


def strategy_for(model: BaseChatModel, wanted: str) -> str:
    """`router` or `loop`: what is wanted, else what the profile says of the chat model that serves.

    A model on another machine, or one that a larger profile names, can call tools well; a model that no profile names
    is taken for a small one.

    Raises:
        BadInput: there is no such strategy.
    """
    if wanted not in STRATEGIES:
        raise BadInput(f"There is no strategy {wanted!r}; choose one of: {', '.join(STRATEGIES)}.")
    if wanted != AUTO:
        return wanted
    if getattr(model, "endpoint", None) is not None:
        return LOOP
    from models.profiles import all_profiles

    name = str(getattr(model, "model", ""))
    named = [
        profile for profile in all_profiles().values() if (chat := profile.roles.get("chat")) and chat.name == name
    ]
    return named[0].strategy if named else ROUTER
