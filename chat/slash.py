"""Tools called by hand: `/translate to German: ...`, chosen from the page's menu or typed out.

What stands behind the command is said as one says it to a person; the assistant finds the tool's arguments in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainlit.types import CommandDict

LIBRARY, MODELS, STATUS = "library", "models", "status"
_TYPED = re.compile(r"/([a-z]+)(?![^\s:])[ \t]*:?\s*(.*)\Z", re.DOTALL | re.IGNORECASE)

_LONGEST_REQUEST = 10
"""Words before a colon beyond which they are no request, such as `to German`, but the beginning of the text."""


@dataclass(frozen=True)
class Command:
    """One command of the page.

    `tool` is the assistant's tool that it calls, None for one that the page answers itself; `verb` begins what the
    assistant reads, empty where the person's words stand alone; `example` shows what to write behind it, empty where
    nothing is needed.
    """

    name: str
    icon: str
    does: str
    tool: str | None = None
    verb: str = ""
    example: str = ""


@dataclass(frozen=True)
class Call:
    """A command with the words behind it."""

    command: Command
    words: str

    @property
    def is_complete(self) -> bool:
        """Whether it says what its tool is to work on."""
        return bool(self.words) or not self.command.example

    @property
    def question(self) -> str:
        """What the assistant is asked: a text without a request before it stands behind a colon."""
        verb, words = self.command.verb, self.words
        head, colon, _ = words.partition(":")
        has_request = colon and len(head.split()) <= _LONGEST_REQUEST
        return f"{verb}{' ' if has_request else ': '}{words}" if verb and words else verb or words

    @property
    def hint(self) -> str:
        """How to write it, for a person who wrote the command alone."""
        return f"Write what `/{self.command.name}` is to work on, such as `/{self.command.name} {self.command.example}`"


COMMANDS = (
    Command("search", "search", "Show the passages that fit", "search", "", "irrigation pump"),
    Command("answer", "book-open", "Answer from the documents", "answer", "", "When did the pump fail?"),
    Command("summarize", "scroll-text", "Shorten a text or a document", "summarize", "Summarize", "report.pdf"),
    Command(
        "translate", "languages", "Say it in another language", "translate", "Translate", "to German: Good morning"
    ),
    Command("classify", "tags", "Tell which label fits", "classify", "Classify", "as urgent or not: The pump failed"),
    Command("extract", "quote", "Copy a fact from a text", "extract", "", "Who won: Ann won the cup."),
    Command(
        "entities", "users", "Find the names in a text", "entities", "Find the names in", "“Ada met Ruth in Bonn.”"
    ),
    Command("compare", "diff", "Compare two texts or documents", "compare", "Compare", "draft.md and final.md"),
    Command("documents", "files", "List the documents", "list_documents", "List the documents"),
    Command(LIBRARY, "library", "Open the library beside the chat"),
    Command(MODELS, "boxes", "Which model serves each role, its version and its card"),
    Command(STATUS, "activity", "What this machine is doing, and which model serves what"),
)
_BY_NAME = {command.name: command for command in COMMANDS}


def menu() -> list[CommandDict]:
    """The commands as Chainlit's menu shows them."""
    return [
        {
            "id": command.name,
            "icon": command.icon,
            "description": f"{command.does}{f', e.g. {command.example}' if command.example else ''}",
            "button": False,
            "persistent": False,
            "selected": False,
        }
        for command in COMMANDS
    ]


def called(text: str, chosen: str | None) -> Call | None:
    """The command of a message: the one chosen from the menu, or typed at its beginning; None for a plain message.

    Args:
        text: the person's words, without a command that was chosen.
        chosen: its name.
    """
    if chosen is not None and chosen in _BY_NAME:
        return Call(_BY_NAME[chosen], text.strip())
    typed = _TYPED.match(text.strip())
    command = _BY_NAME.get(typed[1].lower()) if typed else None
    return Call(command, typed[2].strip()) if typed and command else None
