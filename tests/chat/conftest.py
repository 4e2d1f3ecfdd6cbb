"""One real server over the scripted assistant for each module of tests, and an open page at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess, scripted_server

LIMIT = 2 * 2**20
"""The most bytes that the server takes in one file."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with scripted_server(tmp_path_factory.mktemp("page"), LIMIT) as running:
        yield running


@pytest.fixture(scope="module")
def cookie(server: ServerProcess) -> str:
    return server.enter()


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: ServerProcess, cookie: str) -> AsyncIterator[ChatClient]:
    async with ChatClient(server, cookie) as opened:
        yield opened
