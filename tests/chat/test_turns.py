"""One answer at a time for a session, and its end (Q07, Q08)."""

from __future__ import annotations

import asyncio

import pytest

from chat.turns import StillAnswering, Turns


async def _answer(turns: Turns, session: str, message: str, seconds: float = 10) -> None:
    async with turns.turn(session, message):
        await asyncio.sleep(seconds)


async def _started(turns: Turns, count: int) -> None:
    while turns.running() != count:
        await asyncio.sleep(0)


async def test_q07_twenty_messages_at_once_give_one_answer() -> None:
    turns = Turns()
    tasks = [asyncio.create_task(_answer(turns, "s", f"m{number}", 0.05)) for number in range(20)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, StillAnswering) for result in results) == 19
    assert results[0] is None
    assert turns.running() == 0


async def test_sessions_do_not_wait_for_each_other() -> None:
    turns = Turns()
    tasks = [asyncio.create_task(_answer(turns, f"s{number}", "m")) for number in range(5)]
    await _started(turns, 5)
    assert turns.cancel("s3")
    await asyncio.wait({tasks[3]}, timeout=1)
    assert turns.running() == 4
    turns.cancel_all()
    await asyncio.wait(tasks)


async def test_q08_stop_twice_and_after_the_end_is_harmless() -> None:
    turns = Turns()
    task = asyncio.create_task(_answer(turns, "s", "m"))
    await _started(turns, 1)
    assert turns.cancel("s")
    turns.cancel("s")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not turns.cancel("s")
    assert not turns.cancel("never seen")
    await _answer(turns, "s", "next", 0)


async def test_q09_an_edited_message_takes_the_place_of_the_running_one() -> None:
    turns = Turns()
    await _answer(turns, "s", "first", 0)
    running = asyncio.create_task(_answer(turns, "s", "second"))
    await _started(turns, 1)
    await _answer(turns, "s", "first", 0)
    assert running.cancelled()
    assert turns.running() == 0


async def test_c11_leaving_ends_the_answer_and_forgets_the_session() -> None:
    turns = Turns()
    task = asyncio.create_task(_answer(turns, "s", "m"))
    await _started(turns, 1)
    turns.forget("s")
    await asyncio.wait({task})
    assert task.cancelled()
    assert turns.running() == 0
