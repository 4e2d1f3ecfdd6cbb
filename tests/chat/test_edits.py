"""An edited message, and what can still be done in a chat that was left and opened again (Q09, C6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _kept(client: ChatClient) -> dict[str, Any]:
    thread: dict[str, Any] = (await client.http.get(f"/project/thread/{await client.thread()}")).json()
    return thread


async def test_q09_an_edit_takes_what_came_after_from_everywhere(client: ChatClient) -> None:
    first = await client.say("How big was the harvest? nothing canary")
    await client.answered()
    uploaded = (await client.upload("late.txt", b"late canary")).json()["id"]
    client.events[:] = [event for event in client.events if event[1] == "first_interaction"]
    second = await client.say("nothing about the canary", [uploaded])
    await client.answered()
    before = await _kept(client)
    answers = [step["id"] for step in before["steps"] if step["type"] == "assistant_message"]
    assert len(before["elements"]) == 1

    client.events[:] = [event for event in client.events if event[1] == "first_interaction"]
    await client.edit(first, "echo taken back")
    await client.until(lambda: any(text.startswith("echo taken back {") for text in client.texts()))
    await client.until(lambda: client.saw("task_end"))
    thread, gone = json.loads(client.texts()[-1].removeprefix("echo taken back "))["taken_back"][-1]
    assert thread == await client.thread()
    assert gone[0] == first
    assert {second, *answers} < set(gone)
    after = await _kept(client)
    said = [step["output"] for step in after["steps"] if step["type"].endswith("message")]
    assert said[0] == "echo taken back"
    assert len(said) == 2
    assert after["elements"] == []
    assert not any(step["type"] == "tool" for step in after["steps"])
    assert after["name"] == "echo taken back"
    assert "canary" not in json.dumps(after)


async def test_a_chat_that_a_person_named_keeps_its_name_when_its_first_message_is_edited(client: ChatClient) -> None:
    first = await client.say("nothing yet")
    await client.answered()
    named = await client.http.put("/project/thread", json={"threadId": await client.thread(), "name": "Barley"})
    assert named.is_success
    await client.edit(first, "echo again")
    await client.until(lambda: any(text.startswith("echo again {") for text in client.texts()))
    assert (await _kept(client))["name"] == "Barley"


async def test_c6_only_what_a_person_wrote_can_be_edited(client: ChatClient) -> None:
    await client.say("nothing")
    await client.answered()
    before = await _kept(client)
    [answer] = [step["id"] for step in before["steps"] if step["type"] == "assistant_message"]
    await client.edit(answer, "forged")
    await client.edit("no such message", "forged")
    client.events[:] = [event for event in client.events if event[1] == "first_interaction"]
    await client.say("nothing more")
    await client.answered()
    assert "forged" not in json.dumps(await _kept(client))


async def test_a_document_can_be_kept_after_the_chat_was_left(
    client: ChatClient, server: ServerProcess, cookie: str
) -> None:
    files = [(await client.upload(f"{name}.txt", name.encode())).json()["id"] for name in ("barley", "hay", "")]
    await client.say("nothing", files)
    await client.answered()
    press = next(action for action in client.data("action") if action["label"] == "Keep hay.txt in library")
    await client.press(press)
    thread = await client.thread()
    await client.leave()
    async with ChatClient(server, cookie, thread) as again:
        await again.until(lambda: any(action["label"].startswith("Keep") for action in again.data("action")))
        await again.until(lambda: again.saw("resume_thread"))
        kept = {action["label"]: action for action in again.data("action")}
        assert "Keep hay.txt in library" not in kept
        assert (await again.press(kept["Keep barley.txt in library"])).status_code == 200
        notice = kept["Keep barley.txt in library"]["forId"]
        wanted = ("✓ `barley.txt` kept in the library", "✓ `hay.txt` kept in the library", "✗ ")
        await again.until(lambda: notice in again.messages())
        await again.until(lambda: all(words in again.messages()[notice]["output"] for words in wanted))
    async with ChatClient(server, cookie, thread) as last:
        [resumed] = last.data("resume_thread")
        shown = next(step["output"] for step in resumed["steps"] if step["id"] == notice)
        assert "`barley.txt` kept in the library" in shown


async def test_a_proposal_waits_no_more_once_the_chat_was_left(
    client: ChatClient, server: ServerProcess, cookie: str
) -> None:
    await client.say("propose")
    await client.answered()
    thread = await client.thread()
    await client.leave()
    for _ in range(2):
        async with ChatClient(server, cookie, thread) as again:
            [resumed] = again.data("resume_thread")
            [card] = [step["output"] for step in resumed["steps"] if "would change something:" in step["output"]]
            assert "Nothing happens until" not in card
            assert card.endswith("Ask again if you still want it.*")
