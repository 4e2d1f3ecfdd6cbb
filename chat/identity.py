"""Who asks: the person behind the request or the socket message that is being served.

The guard says it once for each, and everything underneath reads it here; nobody is taken at their word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from chat.errors import NotSignedIn

LOCAL_NAME = "you"
"""The one person of a home without users; no user can have this name."""


@dataclass(frozen=True)
class Person:
    """Somebody who was let in; `name` is also the owner of their threads."""

    name: str
    is_admin: bool = False

    @property
    def is_local(self) -> bool:
        """True for the one person of a home without users, whose documents are the library itself."""
        return self.name == LOCAL_NAME


_present: ContextVar[Person | None] = ContextVar("person", default=None)


def present() -> Person | None:
    """Who asks; None where nobody was let in."""
    return _present.get()


def required() -> Person:
    """Who asks.

    Raises:
        NotSignedIn: nobody was let in.
    """
    person = _present.get()
    if person is None:
        raise NotSignedIn
    return person


@contextmanager
def acting_as(person: Person | None) -> Iterator[None]:
    """Serve what is inside the block, and every task begun in it, for this person."""
    token = _present.set(person)
    try:
        yield
    finally:
        _present.reset(token)
