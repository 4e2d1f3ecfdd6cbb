"""The library's panel over the wire: what it lists, takes out, reads again, and how it limits questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _ask(client: ChatClient, what: str, **more: Any) -> dict[str, Any]:
    """The panel's next state after it asked for something."""
    before = len(client.data("window_message"))
    await client.tell({"hearth": "library", "ask": what, **more})
    await client.until(lambda: len(client.data("window_message")) > before)
    state: dict[str, Any] = client.data("window_message")[-1]
    assert state["hearth"] == "library-state"
    return state


async def _drop(client: ChatClient, name: str, text: bytes) -> str:
    """Drop a file into the chat; the id of its document."""
    uploaded = await client.upload(name, text)
    client.events.clear()
    await client.say("", [uploaded.json()["id"]])
    await client.answered()
    return next(str(action["payload"]["document"]) for action in client.data("action"))


async def test_the_panel_lists_this_chats_documents_and_not_anothers(
    client: ChatClient, server: ServerProcess, cookie: str
) -> None:
    await _drop(client, "mine.txt", b"Mine.")
    (row,) = (await _ask(client, "show"))["rows"]
    assert row["name"] == "mine.txt"
    assert row["place"] == "this chat"
    assert row["passages"] == 3
    assert row["pages"] is None
    assert row["isReady"]
    async with ChatClient(server, cookie) as stranger:
        state = await _ask(stranger, "remove", document=row["id"])
        assert state["rows"] == []
        assert state["note"] == "This document is not in the library any more."
    assert len((await _ask(client, "show"))["rows"]) == 1


async def test_questions_are_limited_to_what_is_ticked_until_it_is_removed(client: ChatClient) -> None:
    first, second = await _drop(client, "one.txt", b"One."), await _drop(client, "two.txt", b"Two.")
    await _ask(client, "choose", documents=[second, "unknown"])
    assert await _options(client) == {"documents": [second]}
    state = await _ask(client, "remove", document=second)
    assert state["note"] == "two.txt was removed."
    assert [row["id"] for row in state["rows"]] == [first]
    assert await _options(client) == {}


async def test_a_removed_documents_own_copy_is_deleted(client: ChatClient, server: ServerProcess) -> None:
    uploads = server.log.parent / "home" / "uploads"
    before = set(_files(uploads))
    document = await _drop(client, "secret.txt", b"To be forgotten.")
    assert len(set(_files(uploads)) - before) == 1
    await _ask(client, "remove", document=document)
    assert set(_files(uploads)) == before


async def test_a_document_is_read_again_or_the_panel_says_why_not(client: ChatClient, server: ServerProcess) -> None:
    document = await _drop(client, "again.txt", b"Read me.")
    assert (await _ask(client, "read", document=document))["note"] == "again.txt has not changed since it was read."
    (file,) = (file for file in _files(server.log.parent / "home" / "uploads") if file.read_bytes() == b"Read me.")
    file.unlink()
    assert "no longer where it was" in (await _ask(client, "read", document=document))["note"]


async def test_the_command_opens_it(client: ChatClient) -> None:
    await client.say("/library")
    await client.answered()
    assert client.data("window_message")[-1]["isOpened"]
    assert client.texts() == ["The library is open. Tick documents there to limit your next questions to them."]


@pytest.mark.parametrize("message", [None, 7, "library", [], {}, {"hearth": "other"}, {"hearth": "library-state"}])
async def test_other_windows_words_are_not_answered(client: ChatClient, message: Any) -> None:
    await client.tell(message)
    await client.say("nothing")
    await client.answered()
    assert [said for said in client.data("window_message") if said["hearth"] != "thread"] == []


@pytest.mark.parametrize(
    "asked",
    [
        {"ask": "remove"},
        {"ask": "remove", "document": ["x"]},
        {"ask": "choose", "documents": "abc"},
        {"ask": "choose", "documents": [{}, None, 3]},
        {"ask": "collection", "collection": {"a": 1}},
        {"ask": ["show"]},
    ],
)
async def test_a_malformed_wish_changes_nothing(client: ChatClient, asked: dict[str, Any]) -> None:
    state = await _ask(client, asked.pop("ask"), **asked)
    assert state["collection"] == ""
    assert await _options(client) == {}


async def _options(client: ChatClient) -> dict[str, Any]:
    """What the page says with a question, beside its thread."""
    client.events.clear()
    await client.say("echo")
    await client.answered()
    value: dict[str, Any] = json.loads(client.texts()[-1].removeprefix("echo "))
    return value


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
