"""The settings that are tables: the models of `[tasks]` and the servers of `[mcp]`, from the file or a line of text."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from agent.errors import BadSetting, UnknownSetting

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def parse_tasks(raw: Any, origin: str) -> Mapping[str, str]:
    """`[tasks]` of the file, or `task=model,task=model` of the environment.

    Raises:
        BadSetting: it is no table of names.
        UnknownSetting: there is no such task.
    """
    from models.pipelines.table import PIPELINE_TASKS

    table = _table("tasks", raw, origin, "a table of task = model name")
    for task in table:
        if task not in PIPELINE_TASKS:
            nearest = difflib.get_close_matches(task, PIPELINE_TASKS, n=2, cutoff=0.4)
            raise UnknownSetting(f"tasks.{task}", origin, nearest)
    return table


def parse_mcp(raw: Any, origin: str) -> Mapping[str, str]:
    """`[mcp]` of the file, or `name=command,name=command` of the environment.

    A server is a command that speaks over its standard input and output, or an address on this machine.

    Raises:
        BadSetting: a server is neither.
    """
    table = _table("mcp", raw, origin, 'a table of name = "command with arguments"')
    for name, server in table.items():
        if not name.isidentifier() or not _command_or_loopback(server):
            expected = "a plain name with a command, or with an http address on this machine"
            raise BadSetting(f"mcp.{name}", server, origin, expected)
    return table


PARSERS = {"tasks": parse_tasks, "mcp": parse_mcp}


def is_address(server: str) -> bool:
    """Whether an MCP server is named by its address and not by a command."""
    return server.startswith(("http://", "https://"))


def _table(name: str, raw: Any, origin: str, expected: str) -> Mapping[str, str]:
    if isinstance(raw, str):
        pairs = [pair.partition("=") for pair in raw.split(",") if pair.strip()]
        raw = {key.strip(): value.strip() for key, _, value in pairs}
    if not isinstance(raw, Mapping) or not all(isinstance(value, str) for value in raw.values()):
        raise BadSetting(name, raw, origin, expected)
    return MappingProxyType({key: value for key, value in raw.items() if value})


def _command_or_loopback(server: str) -> bool:
    try:
        if is_address(server):
            parts = urlsplit(server)
            return parts.hostname in _LOOPBACK and not parts.password
        return bool(shlex.split(server))
    except ValueError:
        return False
