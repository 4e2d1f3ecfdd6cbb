"""Whose a collection is, told by its name: anybody's, one user's or one thread's.

A plain name is shared; `user:ann` is Ann's, `user:ann/taxes` a subject of hers, and `user:ann/thread:7` holds the files
of one of her threads. Collections of users and threads are searched and listed only when they are asked for by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.errors import BadUser

USER_PREFIX, THREAD_PREFIX = "user:", "thread:"
PRIVATE_PREFIXES = (USER_PREFIX, THREAD_PREFIX)


def own_collection(user: str, subject: str | None = None) -> str:
    """The collection of a user, or of one subject of theirs; a name that is such a collection already stays.

    Raises:
        BadUser: the name is empty.
    """
    own = USER_PREFIX + _escaped(user)
    if subject is None or subject == own or subject.startswith(f"{own}/"):
        return subject or own
    return f"{own}/{subject}"


def thread_collection(thread: str, user: str | None = None) -> str:
    """The collection that holds a thread's own files; with a user, one that is theirs alone."""
    name = THREAD_PREFIX + thread
    return name if user is None else own_collection(user, name)


def is_own(collection: str, user: str) -> bool:
    """Whether a collection is this user's, threads' included."""
    own = own_collection(user)
    return collection == own or collection.startswith(f"{own}/")


def is_shared(collection: str) -> bool:
    """Whether a collection is neither a user's nor a thread's."""
    return not collection.startswith(PRIVATE_PREFIXES)


def owner_of(collection: str) -> str | None:
    """The user whose collection this is; None where it is shared, or a thread's without a user."""
    if not collection.startswith(USER_PREFIX):
        return None
    name = collection.removeprefix(USER_PREFIX).partition("/")[0]
    return name.replace("%2F", "/").replace("%25", "%")


def thread_of(collection: str) -> str | None:
    """The thread whose files a collection holds; None where it holds no thread's."""
    rest = collection.partition("/")[2] if collection.startswith(USER_PREFIX) else collection
    return rest.removeprefix(THREAD_PREFIX) if rest.startswith(THREAD_PREFIX) else None


def library_of(user: str, collections: Sequence[str]) -> list[str]:
    """Those of the collections that are a user's library: their own ones that are no thread's."""
    return [name for name in collections if is_own(name, user) and thread_of(name) is None]


def _escaped(user: str) -> str:
    """A user's name without a slash, so that no name reaches into another's collections."""
    if not user.strip():
        raise BadUser(user)
    return user.replace("%", "%25").replace("/", "%2F")
