"""The page under load: fifty users at once, turns cut short, the event loop, memory, and a long thread in a browser.

The real page and assistant over a model that writes words at a set pace (`tests/chat/serve_load.py`). Memory is looked
at after sessions that each came, asked and left, past as many that warm the process up. The browser opens the page and
a thread of 500 messages ten times each; usable is when the writing line takes a key.

Run `python -m tests.benchmarks.bench_chat [--users N] [--cuts N] [--sessions N] [--no-browser] [--report FILE]`; the
whole takes about six minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil

from chat.store import Store
from chat.threads import Threads
from tests.chat.chat_client import ChatClient
from tests.chat.load import Seen, ask, ask_together, cut_short, load_server
from tests.chat.server_process import ServerProcess

_SECONDS_A_WORD = 0.005
_WARMING = 100
_MESSAGES = 500
_OPENINGS = 10
_AT_ONCE = 10

Row = tuple[str, str, str]
"""What, measured, wanted."""


async def crowd(server: ServerProcess, cookie: str, folder: Path, users: int) -> list[Row]:
    """Every user asks four times, all at once."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ChatClient(server, cookie)) for _ in range(users)]
        began = time.monotonic()
        asked = await ask_together(clients, rounds=4, words=20)
        took = time.monotonic() - began
    answered = sum(one.was_answered for one in asked)
    told = sum(one.was_told_to_wait for one in asked)
    crossed = sum(bool(one.crossed) for one in asked)
    late = sorted(Seen(folder).lateness_ms(began))
    p99 = late[int(0.99 * len(late))]
    return [
        (f"{users} users, {len(asked)} messages, {took:.0f} s", f"{answered} answered, {told} told to wait", ""),
        ("messages lost", str(len(asked) - answered - told), "0"),
        ("messages crossed", str(crossed), "0"),
        ("event loop late, 99th percentile and most", f"{p99:.0f} ms, {late[-1]:.0f} ms", "under 50 ms"),
    ]


async def cuts(server: ServerProcess, cookie: str, folder: Path, count: int) -> list[Row]:
    """Answers stopped and pages closed, each while its answer is written."""
    seen, rows = Seen(folder), []
    for leave, name in ((False, "Stop"), (True, "leaving")):
        took = []
        for number in range(count // 2):
            async with ChatClient(server, cookie) as client:
                took.append(
                    await cut_short(client, f"key-{'left' if leave else 'stopped'}-{number}", seen, leave=leave)
                )
        in_time = sum(ms <= 500 for ms in took)
        figures = f"{in_time} of {len(took)}, median {statistics.median(took):.0f} ms, most {max(took):.0f} ms"
        rows.append((f"turn free within 500 ms of {name}", figures, "all"))
    return rows


async def sessions(server: ServerProcess, cookie: str, count: int) -> list[Row]:
    """Sessions that come, ask and leave; memory of the server before and after."""
    process = psutil.Process(server.process.pid)

    async def one(number: int, name: str) -> None:
        async with ChatClient(server, cookie) as client:
            assert (await ask(client, f"key-{name}-{number}", 3)).was_answered

    async def several(total: int, name: str) -> None:
        for first in range(0, total, _AT_ONCE):
            await asyncio.gather(*(one(number, name) for number in range(first, min(total, first + _AT_ONCE))))

    await several(_WARMING, "warm")
    before = process.memory_info().rss
    await several(count, "one")
    after = process.memory_info().rss
    change = f"{before / 1e6:.1f} MB to {after / 1e6:.1f} MB, {after / before - 1:+.1%}"
    return [(f"memory over {count} sessions", change, "within 5 %")]


def fill_thread(home: Path, messages: int) -> str:
    """A thread of that many messages, half of them answers with a list, a table and code; gives its id."""
    store, thread = Store(home), str(uuid.uuid4())
    threads = Threads(store)
    for number in range(messages):
        asked = number % 2 == 0
        text = f"Question {number}?" if asked else _ANSWER.format(number=number)
        at = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        step: Any = {"id": str(uuid.uuid4()), "threadId": thread, "createdAt": at, "start": at, "end": at}
        step |= {"name": "User" if asked else "Hearth", "type": "user_message" if asked else "assistant_message"}
        threads.save_step("you", step | {"output": text, "input": "", "streaming": False, "isError": False})
    threads.update("you", thread, name="Five hundred messages")
    store.close()
    return thread


_ANSWER = """Answer {number}: the lower field was cut late, and **nine tonnes** were brought in.

| field | tonnes |
|---|---|
| north | {number} |

```python
harvest = {number}
```"""


def browse(server: ServerProcess, thread: str) -> list[Row]:
    """The empty page and the long thread, opened anew each time, in milliseconds."""
    import shutil

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
        page.goto(server.links()[-1])
        page.wait_for_selector("#chat-input")
        usable, opened = [], []
        for _ in range(_OPENINGS):
            began = time.monotonic()
            page.goto(server.url)
            page.click("#chat-input")
            page.keyboard.type("x")
            page.wait_for_selector("#chat-submit:enabled")
            usable.append((time.monotonic() - began) * 1000)
            began = time.monotonic()
            page.click(f'a[href="/thread/{thread}"]')
            page.wait_for_selector(f"text=Answer {_MESSAGES - 1}:")
            opened.append((time.monotonic() - began) * 1000)
        browser.close()
    return [
        ("page usable", _times(usable), "under 2 s"),
        (f"a thread of {_MESSAGES} messages opened from the side bar", _times(opened), "under 1 s"),
    ]


def _times(milliseconds: Sequence[float]) -> str:
    return f"median {statistics.median(milliseconds):.0f} ms, most {max(milliseconds):.0f} ms"


def measure(users: int, cut: int, count: int, *, in_browser: bool) -> list[Row]:
    """Every figure, over one server."""
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as made:
        folder = Path(made)
        (folder / "home").mkdir()
        thread = fill_thread(folder / "home", _MESSAGES) if in_browser else ""
        with load_server(folder, _SECONDS_A_WORD) as server:

            async def over_the_wire() -> list[Row]:
                cookie = server.enter()
                rows = await sessions(server, cookie, count)
                rows += await crowd(server, cookie, folder, users)
                return rows + await cuts(server, cookie, folder, cut)

            shown = browse(server, thread) if in_browser else []
            server.links(at_least=2 if in_browser else 1)
            return asyncio.run(over_the_wire()) + shown


def main() -> None:
    """Prints the table, and keeps it where a file is named."""
    parser = argparse.ArgumentParser(description="the page under load")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--no-browser", dest="browser", action="store_false")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where to keep the table, as Markdown")
    options = parser.parse_args()
    rows = measure(options.users, options.cuts, options.sessions, in_browser=options.browser)
    table = "\n".join(f"| {' | '.join(row)} |" for row in [("what", "measured", "wanted"), ("---",) * 3, *rows])
    print(table)
    if options.report:
        options.report.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
