"""The tools of MCP servers, each a process of this machine that is started once and asked for as long as it lives.

A tool counts as one with an effect unless its server says that it only reads; what it returns is data like any other.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from agent.setting_tables import is_address
from agent.toolbox import EFFECT
from models.errors import MissingExtra

_LOG = logging.getLogger(__name__)
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_READ_ONLY = "readOnlyHint"

Given = TypeVar("Given")


class McpServers:
    """The servers of one home, started at the first look at their tools.

    Args:
        servers: name to command, or to an address on this machine.
        timeout_seconds: the longest that one call may take.
    """

    def __init__(self, servers: Mapping[str, str], timeout_seconds: float) -> None:
        self._servers = servers
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hearth-mcp", daemon=True)
        self._stop = asyncio.Event()
        self._serving: list[Future[None]] = []
        self._tools: list[BaseTool] | None = None
        self._lock = threading.Lock()

    def tools(self) -> list[BaseTool]:
        """Every server's tools, named `server_tool`; a server that does not start is left out with a warning.

        Raises:
            MissingExtra: the package that speaks with them is not installed.
        """
        with self._lock:
            if self._tools is None:
                _check_extra()
                self._thread.start()
                self._tools = [tool for name, server in self._servers.items() for tool in self._started(name, server)]
            return self._tools

    def close(self) -> None:
        """End the servers."""
        with self._lock:
            if not self._thread.is_alive():
                return
            self._loop.call_soon_threadsafe(self._stop.set)
            for serving in self._serving:
                try:
                    serving.result(_STOP_SECONDS)
                except Exception as error:  # a server may end in any way; it is over
                    _LOG.info("an MCP server ended with %r", error)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)

    def _started(self, name: str, server: str) -> Sequence[BaseTool]:
        ready: Future[list[BaseTool]] = Future()
        self._serving.append(self._run(self._serve(name, server, ready)))
        try:
            return [self._blocking(tool) for tool in ready.result(_START_SECONDS)]
        except Exception as error:  # a server is anyone's program: it can fail in any way
            reason = f"no answer in {_START_SECONDS:g} seconds" if isinstance(error, TimeoutError) else repr(error)
            _LOG.warning("the MCP server %s (%s) gives no tools: %s", name, server, reason)
            return []

    def _run(self, work: Coroutine[Any, Any, Given]) -> Future[Given]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _serve(self, name: str, server: str, ready: Future[list[BaseTool]]) -> None:
        """Hold one session open until the end; it has to be opened and closed by the same task."""
        from langchain_mcp_adapters.tools import load_mcp_tools
        from mcp import ClientSession

        try:
            async with AsyncExitStack() as stack:
                streams = await stack.enter_async_context(_connection(server))
                session = await stack.enter_async_context(ClientSession(streams[0], streams[1]))
                await session.initialize()
                ready.set_result(await load_mcp_tools(session, server_name=name, tool_name_prefix=True))
                await self._stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    def _blocking(self, tool: BaseTool) -> BaseTool:
        """The tool for callers that wait, with its effect in its metadata."""

        def call(**arguments: Any) -> tuple[str, Any]:
            asked = {"type": "tool_call", "id": "1", "name": tool.name, "args": arguments}
            answer = self._run(tool.ainvoke(asked))
            try:
                message = answer.result(self._timeout_seconds)
            finally:
                answer.cancel()
            if isinstance(message, ToolMessage) and message.status == "error":
                raise ToolException(str(message.text))
            return str(getattr(message, "text", message)), getattr(message, "artifact", None)

        metadata = tool.metadata or {}
        return StructuredTool(
            name=tool.name,
            description=tool.description or tool.name,
            args_schema=tool.args_schema or {"type": "object", "properties": {}},
            func=call,
            response_format="content_and_artifact",
            handle_tool_error=True,
            metadata={**metadata, EFFECT: metadata.get(_READ_ONLY) is not True},
        )


def _connection(server: str) -> Any:
    if is_address(server):
        from mcp.client.streamable_http import streamablehttp_client

        return streamablehttp_client(server)
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    command, *arguments = shlex.split(server)
    return stdio_client(StdioServerParameters(command=command, args=arguments))


def _check_extra() -> None:
    try:
        import langchain_mcp_adapters.tools  # noqa: F401
    except ImportError as error:
        raise MissingExtra("The setting mcp", "mcp") from error
