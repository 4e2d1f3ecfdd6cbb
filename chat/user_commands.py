"""The verbs about people: who may use this home, and what they thought of answers.

Imports what it needs when it runs, so that `--help` stays instant.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.assembly import House
    from chat.people import People
    from chat.tables import ChatStore

_KINDS = ("reviews", "chat", "dpo", "kto", "classify", "ranking")


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register `users` and `feedback`."""
    users = verbs.add_parser(
        "users", parents=[common], help="who may use this home; with users, the page asks who it is"
    )
    actions = users.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", parents=[common], help="everybody").set_defaults(handler=_list, render=_render_users)
    add = actions.add_parser("add", parents=[common], help="a new user; the password is asked for, or read from a pipe")
    add.add_argument("name", metavar="NAME", help="letters, digits and . _ - @ +")
    add.add_argument("--admin", action="store_true", help="may also train and promote in the page")
    add.add_argument("--no-password", action="store_true", help="let in by the trusted proxy or a provider alone")
    add.set_defaults(handler=_add, render=_render_done)
    for action, handler, text in (
        ("password", _password, "a new password, which signs the user out everywhere"),
        ("disable", _disable, "put a user out now, with all they have kept for when they come back"),
        ("enable", _enable, "let a disabled user in again"),
        ("remove", _remove, "delete a user for good, with their chats and documents"),
    ):
        one = actions.add_parser(action, parents=[common], help=text)
        one.add_argument("name", metavar="NAME", help="as `hearth users list` shows it")
        one.set_defaults(handler=handler, render=_render_done)

    feedback = verbs.add_parser("feedback", parents=[common], help="answers that were marked or corrected in the page")
    what = feedback.add_subparsers(dest="action", metavar="ACTION", required=True)
    reviews = what.add_parser("list", parents=[common], help="the review list, the latest first")
    reviews.set_defaults(handler=_reviews, render=_render_reviews)
    export = what.add_parser("export", parents=[common], help="the same as JSON lines, to read or to train on")
    kinds = "reviews is everything, the others are rows for a recipe of that kind (ranking: embeddings, rerankers)"
    export.add_argument("--for", dest="kind", choices=_KINDS, default="reviews", help=kinds)
    export.set_defaults(handler=_export, render=_render_lines)


def _people(house: House) -> People:
    from chat.people import People

    return People(_store(house))


def _store(house: House) -> ChatStore:
    from chat.tables import open_store

    return open_store(house.settings.home, house.settings.chats_url)


def _list(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    return [user.to_json() for user in _people(house).users()]


def _add(options: argparse.Namespace, house: House) -> dict[str, Any]:
    password = None if options.no_password else _new_password()
    return _people(house).add(options.name, password, is_admin=options.admin).to_json() | {"done": "added"}


def _password(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return {"name": _people(house).set_password(options.name, _new_password()), "done": "given a new password"}


def _disable(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return {"name": _people(house).enable(options.name, enabled=False), "done": "disabled"}


def _enable(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return {"name": _people(house).enable(options.name), "done": "enabled"}


def _remove(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from chat.backstage import UPLOADS
    from chat.elements import Elements
    from chat.uploads import forget_user

    people = _people(house)
    name = people.known(options.name)
    documents = forget_user(house.library().for_user(name), house.settings.home / UPLOADS)
    house.memory().of(name).forget()
    people.remove(name)
    Elements(_store(house)).sweep()
    return {"name": name, "documents": documents, "done": "removed"}


def _reviews(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    from chat.feedback import Feedback

    return Feedback(_store(house)).reviews()


def _export(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    from chat.review_rows import rows

    reviews = _reviews(options, house)
    return reviews if options.kind == "reviews" else rows(options.kind, reviews)


def _new_password() -> str:
    """A password typed twice at a terminal, or the first line of a pipe; empty where the two differ."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    first = getpass("Password: ")
    return first if getpass("The same again: ") == first else ""


def _render_users(users: list[dict[str, Any]]) -> str:
    if not users:
        return "There are no users: the page belongs to whoever opens the link that `hearth chat` prints."
    return "\n".join(map(_user, users))


def _user(user: dict[str, Any]) -> str:
    kind, state = "admin" if user["is_admin"] else "user", "" if user["is_enabled"] else "disabled"
    return f"{user['name']:24} {kind:6} {state}".rstrip()


def _render_done(value: dict[str, Any]) -> str:
    return f"{value['name']} was {value['done']}."


def _render_reviews(reviews: list[dict[str, Any]]) -> str:
    return "\n\n".join(map(_review, reviews)) or "No answer was marked or corrected yet."


def _review(review: dict[str, Any]) -> str:
    mark = {True: "good", False: "bad", None: "corrected"}[review["good"]]
    lines = [f"{review['at']}  {review['user']}  {mark}  {review.get('model') or ''}".rstrip()]
    lines += [f"  asked: {_line(review['question'])}", f"  answer: {_line(review['answer'])}"]
    lines += [f"  comment: {_line(review['comment'])}"] if review["comment"] else []
    lines += [f"  {one['kind']}: {_line(one['wrong'])} -> {_line(one['right'])}" for one in review["corrections"]]
    return "\n".join(lines)


def _line(text: str | None) -> str:
    from chat.log import escaped

    return escaped(" ".join((text or "-").split()))[:200]


def _render_lines(rows: list[dict[str, Any]]) -> str:
    import json

    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
