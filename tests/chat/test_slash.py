"""Commands: what the assistant is asked, by which tool, and that its own rules find every argument without a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.arguments import Asked, DocumentId, known, open_members
from agent.tools import NAMES
from chat.slash import COMMANDS, called, menu
from retrieval.records import DocumentRecord
from tests.chat.chat_client import ChatClient

_RECORDS = [
    DocumentRecord(name, name, "default", None, None, 3, 1, name, "2026-01-01")
    for name in ("report.pdf", "draft.md", "final.md")
]

_REPORT = DocumentId(_RECORDS[0])


def test_every_tool_of_the_assistant_has_its_command() -> None:
    assert sorted(command.tool for command in COMMANDS if command.tool) == sorted(NAMES)
    assert [row["id"] for row in menu()] == [command.name for command in COMMANDS]


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.tool], ids=lambda command: command.name)
def test_the_example_of_a_command_needs_no_model(command: Any) -> None:
    call = called(f"/{command.name} {command.example}", None)
    assert call is not None
    asked = Asked(call.question, _RECORDS)
    assert open_members(command.tool, known(command.tool, asked), asked) == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/translate to German: Good day", {"text": "Good day", "to": "German"}),
        ("/translate from English to French: the cat", {"text": "the cat", "to": "French", "source": "English"}),
        ("/classify I loved it", {"text": "I loved it"}),
        ("/Classify: happy or sad: I loved it", {"text": "I loved it", "labels": ["happy", "sad"]}),
        ("/summarize in 30 words: A farm. It has sheep.", {"text": "A farm. It has sheep.", "words": 30}),
        ("/summarize The farm. It has sheep.", {"text": "The farm. It has sheep."}),
        ("/compare one text / another one", {"first": "one text", "second": "another one"}),
        ("/extract the date from report.pdf", {"question": "the date from report.pdf", "document": _REPORT}),
    ],
)
def test_what_stands_behind_a_command_becomes_arguments(text: str, found: dict[str, Any]) -> None:
    call = called(text, None)
    assert call is not None
    assert known(call.command.tool, Asked(call.question, _RECORDS)) == found


@pytest.mark.parametrize("text", ["/etc/hosts is missing", "/unknown x", "see /search", "and/or", "/", "/searching x"])
def test_other_slashes_are_plain_words(text: str) -> None:
    assert called(text, None) is None


@pytest.mark.asyncio(loop_scope="module")
async def test_commands_on_the_wire(client: ChatClient) -> None:
    await client.say("to German: echo", command="translate")
    await client.answered()
    question, _, options = client.texts()[-1].partition(" {")
    assert question == "Translate to German: echo"
    assert json.loads("{" + options)["tool"] == "translate"

    client.events.clear()
    await client.say("/search echo")
    await client.answered()
    assert client.texts()[-1].startswith("echo {")
    assert '"tool": "search"' in client.texts()[-1]

    client.events.clear()
    await client.say("", command="summarize")
    await client.answered()
    assert client.texts() == ["Write what `/summarize` is to work on, such as `/summarize report.pdf`"]

    client.events.clear()
    await client.say("plain echo")
    await client.answered()
    assert client.texts()[-1] == "plain echo {}"
