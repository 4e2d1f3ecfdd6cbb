"""What this chat's questions may use, as the person chose it: kept with the session, said with every question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import chainlit as cl
from chainlit.context import context

from chat.backstage import LibraryLike

_SESSION_KEY = "scope"


@dataclass(frozen=True)
class Scope:
    """The documents (by id; none of them means all) and the collection (None is the usual one) that may answer."""

    documents: tuple[str, ...] = ()
    collection: str | None = None

    def options(self) -> dict[str, Any]:
        """The scope as the assistant's options."""
        limits: dict[str, Any] = {}
        if self.documents:
            limits["documents"] = list(self.documents)
        if self.collection:
            limits["collection"] = self.collection
        return limits


def scope() -> Scope:
    """This session's scope."""
    return cl.user_session.get(_SESSION_KEY) or Scope()


def set_scope(chosen: Scope) -> None:
    """Make it this session's scope."""
    cl.user_session.set(_SESSION_KEY, chosen)


def searched_here(library: LibraryLike, default: str) -> list[str]:
    """The collections that a question in this chat may use."""
    from agent.request import Request, searched

    request = Request("", thread=context.session.thread_id, collection=scope().collection)
    return searched(library, request, default)  # type: ignore[arg-type]
