"""The chat's verbs on the command line.

Imports what it needs when it runs, so that `--help` stays instant.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from chat import thread_commands, user_commands

if TYPE_CHECKING:
    from agent.assembly import House


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register `chat`, `chats`, `users` and `feedback`."""
    chat = verbs.add_parser("chat", parents=[common], help="open the chat page in the browser")
    chat.add_argument("--host", dest="set_host", metavar="ADDRESS", help="a loopback address (default: 127.0.0.1)")
    chat.add_argument("--port", dest="set_port", type=int, metavar="N", help="where to listen (default: 8000)")
    chat.add_argument("--headless", action="store_true", help="print the link but do not open a browser")
    chat.set_defaults(handler=_chat, render=lambda value: "")
    thread_commands.add_verbs(verbs, common)
    user_commands.add_verbs(verbs, common)


def _chat(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from chat.serve import run

    run(house, headless=options.headless)
    return {}
