"""MCP servers: a tiny one over its standard input and output, started, asked, told apart by effect, and ended."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.assistant import Assistant
from agent.errors import BadSetting
from agent.events import Proposed
from agent.mcp_servers import McpServers
from agent.setting_tables import parse_mcp
from agent.settings import Settings, load_settings
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.doubles_model import ToolCallingModel

SERVER = '''
from pathlib import Path
import sys
from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations

server = FastMCP("shop")

@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def price(item: str) -> str:
    """The price of an item."""
    if item == "moon":
        raise ValueError("not for sale")
    return f"{item}: 3 euros"

@server.tool()
def buy(item: str) -> str:
    """Buy an item."""
    Path(sys.argv[1]).write_text(item)
    return f"bought {item}"

server.run()
'''


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "bought.txt"


@pytest.fixture(scope="module")
def servers(bought: Path) -> Iterator[McpServers]:
    script = bought.with_name("server.py")
    script.write_text(SERVER, encoding="utf-8")
    servers = McpServers({"shop": f"{sys.executable} {script} {bought}", "gone": "/no/such/program"}, 20)
    yield servers
    servers.close()
    assert not [child for child in psutil.Process().children() if str(script) in " ".join(child.cmdline())]


def test_tools_are_named_by_their_server_and_told_apart_by_effect(
    servers: McpServers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tools = {tool.name: tool for tool in servers.tools()}
    assert set(tools) == {"shop_price", "shop_buy"}
    assert (tools["shop_price"].metadata or {})["effect"] is False
    assert (tools["shop_buy"].metadata or {})["effect"] is True
    assert tools["shop_price"].invoke({"item": "bread"}) == "bread: 3 euros"
    assert "not for sale" in tools["shop_price"].invoke({"item": "moon"})
    assert "the MCP server gone (/no/such/program) gives no tools" in caplog.text


def test_p01_what_is_not_only_reading_waits_for_a_word(servers: McpServers, bought: Path, tmp_path: Path) -> None:
    turns = [[("shop_price", {"item": "bread"})], [("shop_buy", {"item": "bread"})], "It costs 3 euros."]
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        settings = Settings(home=tmp_path, strategy="loop")
        house = Assistant(ToolCallingModel(turns=turns), library, settings, tools=lambda _: servers.tools())
        events = list(house.stream("buy bread"))
        [proposed] = [event for event in events if isinstance(event, Proposed)]
        assert not bought.exists()
        assert house.confirm(proposed.id).text == "bought bread"
    assert bought.read_text() == "bread"


def test_the_setting_takes_commands_and_addresses_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text('[mcp]\nfiles = "server --root /srv"\n', encoding="utf-8")
    assert dict(load_settings({"home": tmp_path}, {}).mcp) == {"files": "server --root /srv"}
    assert dict(parse_mcp("a=b -c,d=http://127.0.0.1:9/mcp", "x")) == {"a": "b -c", "d": "http://127.0.0.1:9/mcp"}
    for wrong in ({"a": "https://example.com/mcp"}, {"a b": "server"}, {"a": "server 'open"}, {"a": 3}):
        with pytest.raises(BadSetting):
            parse_mcp(wrong, "x")
