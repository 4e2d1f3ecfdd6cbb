"""The verb about chats on the command line: listed, saved as files, deleted for good.

Imports what it needs when it runs, so that `--help` stays instant.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.assembly import House
    from agent.request import AnyLibrary
    from chat.tables import ChatStore


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register `chats`."""
    chats = verbs.add_parser("chats", parents=[common], help="the chats of the page: list, export, delete")
    actions = chats.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", parents=[common], help="every chat, the one written in last first")
    listed.add_argument("--user", metavar="NAME", help="of this user alone")
    listed.set_defaults(handler=_list, render=_render_list)
    export = actions.add_parser(
        "export", parents=[common], help="a chat with its sources and feedback, as Markdown or with --json"
    )
    export.set_defaults(handler=_export, render=_render_export)
    delete = actions.add_parser("delete", parents=[common], help="delete a chat for good, with the documents in it")
    delete.set_defaults(handler=_delete, render=lambda done: f"The chat {done['id']} was deleted.")
    for one in (export, delete):
        one.add_argument("id", metavar="ID", help="as `hearth chats list` shows it")


def _store(house: House) -> ChatStore:
    from chat.tables import open_store

    return open_store(house.settings.home, house.settings.chats_url)


def _list(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    from chat.threads import Threads

    chats = Threads(_store(house)).everybodys()
    return [chat for chat in chats if options.user in (None, chat["user"])]


def _export(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from chat.errors import NotThere
    from chat.export import exported
    from chat.feedback import Feedback
    from chat.threads import Threads

    store = _store(house)
    threads = Threads(store)
    found = exported(threads, Feedback(store), threads.owner(options.id), options.id)
    if found is None:
        raise NotThere("chat")
    return found


def _delete(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from chat.backstage import UPLOADS
    from chat.elements import Elements
    from chat.identity import Person
    from chat.threads import Threads
    from chat.uploads import forget_thread

    store = _store(house)
    threads, elements = Threads(store), Elements(store)
    person = Person(threads.owner(options.id))
    library: AnyLibrary = house.library()
    memory = house.memory()
    if not person.is_local:
        library, memory = house.library().for_user(person.name), memory.of(person.name)
    forget_thread(library, memory.forget, house.settings.home / UPLOADS, options.id)
    threads.delete(person.name, options.id)
    elements.forget_thread(options.id)
    return {"id": options.id, "user": person.name, "done": "deleted"}


def _render_list(chats: list[dict[str, Any]]) -> str:
    from chat.log import escaped

    lines = [f"{chat['id']}  {chat['created'][:10]}  {chat['user']}  {escaped(chat['name'] or '')}" for chat in chats]
    return "\n".join(lines) or "There are no chats yet."


def _render_export(chat: dict[str, Any]) -> str:
    from chat.export import as_markdown

    return as_markdown(chat).rstrip("\n")
