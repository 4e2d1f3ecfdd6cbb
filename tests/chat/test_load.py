"""Many users at once on the real page and the real assistant: nothing is lost, nothing is crossed, turns come free."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chat.chat_client import ChatClient
from tests.chat.load import Seen, ask, ask_together, cut_short, load_server
from tests.chat.server_process import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")
_USERS, _WAITING = 36, 32
"""More users than may wait for the model's one turn."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with load_server(folder, seconds_a_word=0.005) as running:
        yield running


@pytest.fixture(scope="module")
def cookie(server: ServerProcess) -> str:
    return server.enter()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def clients(server: ServerProcess, cookie: str) -> AsyncIterator[list[ChatClient]]:
    async with AsyncExitStack() as stack:
        opened = [ChatClient(server, cookie) for _ in range(_USERS)]
        for client in opened:
            await stack.enter_async_context(client)
        yield opened


async def test_q07_every_message_gets_its_own_answer_or_is_told_that_the_queue_is_full(
    clients: list[ChatClient], folder: Path
) -> None:
    # A first answer that lasts until all the others have asked, so that the queue fills whatever the machine does.
    first = asyncio.create_task(ask(clients[0], "key-first", 1000))
    await clients[0].until(lambda: clients[0].saw("stream_token"))
    told = asyncio.create_task(ask_together(clients[1:], rounds=1, words=5))
    refused = _USERS - 1 - _WAITING
    await clients[0].until(lambda: sum("(`busy`)" in str(client.texts()) for client in clients) == refused)
    await clients[0].stop()
    asked = await told
    await first
    assert [one.key for one in asked if one.crossed] == []
    assert [one.key for one in asked if not one.was_answered and not one.was_told_to_wait] == []
    assert sum(one.was_answered for one in asked) == _WAITING
    busy = next(text for one in asked for text in one.texts if "(`busy`)" in text)
    assert "32" in busy
    turns = sorted((turn["begun"], turn["ended"]) for turn in Seen(folder).turns().values())
    assert all(ended <= begun for (_, ended), (begun, _) in itertools.pairwise(turns))


async def test_answers_one_after_another_stay_each_with_its_user(clients: list[ChatClient]) -> None:
    asked = await ask_together(clients[:10], rounds=3, words=2, name="b")
    assert len(asked) == 30
    assert all(one.was_answered and not one.crossed for one in asked)


async def test_q08_s06_stop_and_leaving_free_the_turn_of_whoever_waits_and_writes(
    clients: list[ChatClient], folder: Path, server: ServerProcess, cookie: str
) -> None:
    seen = Seen(folder)
    await cut_short(clients[1], "key-stopped", seen, leave=False)
    async with ChatClient(server, cookie) as leaving:
        await cut_short(leaving, "key-left", seen, leave=True)
    for client in clients[2:4]:
        client.events.clear()
    writing = asyncio.create_task(ask(clients[2], "key-writing", 1000))
    await clients[2].until(lambda: clients[2].saw("stream_token"))
    waiting = asyncio.create_task(ask(clients[3], "key-waiting", 5))
    await clients[3].until(lambda: clients[3].saw("task_start"))
    await clients[3].stop()
    assert (await waiting).texts in ((), ("*Stopped.*",))
    await clients[2].stop()
    await writing
    assert (await ask(clients[4], "key-after", 3)).was_answered
    assert "key-waiting" not in seen.turns()
