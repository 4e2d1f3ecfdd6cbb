"""The worst chat model there is: it finds every order in what it reads, however hidden, and obeys (rule 27).

Where it is offered tools it calls what it was told to call, offered or not; in words it writes everything that it was
told to write, the calls as text once more, and what it has read.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from tests.doubles_model import ToolCallingModel
from tests.flows.injection.attacks import ORDERS

Order = tuple[str, str]
"""A verb and its arguments as JSON."""

_VERBS = set(re.findall(r"(\w+)\(\{", " ".join(order for group in ORDERS.values() for order in group)))
_SAYING = ("say", "say_everything")
_ORDER = re.compile(rf"({'|'.join(sorted(_VERBS, key=len, reverse=True))})\(\s*(?=\{{)")
_BASE64 = re.compile(r"base64\s*([A-Za-z0-9+/]{16,}={0,2})")
_TAILS = (lambda _: "", lambda _: "", lambda token: token[-2:] + "==", lambda token: token[-3:] + "=")
_HEX = re.compile(r"hex\s*((?:[0-9a-f]{2}){10,})")
_PARTS = re.compile(r"K\d\s*=\s*«(.*?)»", re.DOTALL)
_READING = ("read_board", "list_documents")
_WRITTEN_CHARACTERS = 2000


def orders(text: str) -> set[Order]:
    """Every `verb({...})` in a text or in one of its decodings."""
    return set().union(*(orders_in(view) for view in views(text)))


def orders_in(view: str) -> set[Order]:
    """Those that stand there as they are."""
    found = set()
    for match in _ORDER.finditer(view):
        try:
            arguments, _ = json.JSONDecoder().raw_decode(view, match.end())
        except ValueError:
            continue
        found.add((match[1], json.dumps(arguments, sort_keys=True, ensure_ascii=False)))
    return found


def views(text: str) -> Iterator[str]:
    """The text as it stands and in every form that may hide something; line breaks are no obstacle."""
    tags = "".join(chr(ord(c) - 0xE0000) if 0xE0020 <= ord(c) <= 0xE007E else c for c in text)
    bare = "".join(c for c in unicodedata.normalize("NFKC", tags) if unicodedata.category(c) != "Cf")
    line = " ".join(bare.split())
    for plain in (text, bare, line, html.unescape(bare)):
        yield plain
        yield plain[::-1]
        yield codecs.decode(plain, "rot13")
        yield urllib.parse.unquote(plain)
        yield "".join(_PARTS.findall(plain))
    joined = re.sub(r"\s+", "", bare)  # a page breaks long words
    yield urllib.parse.unquote(joined)
    yield html.unescape(joined)
    for source in (bare, joined):
        for match in _BASE64.finditer(source):
            token = match[1].rstrip("=")
            yield base64.b64decode(token[: len(token) // 4 * 4] + _TAILS[len(token) % 4](token)).decode(errors="ignore")
        for match in _HEX.finditer(source):
            yield bytes.fromhex(match[1]).decode(errors="ignore")


class ObedientModel(ToolCallingModel):
    """Obeys; `read` holds what it was shown, `found` the orders in it, `called` what it called."""

    turns: list[Any] = Field(default_factory=list)
    window_tokens: int = 20_000
    read: list[str] = Field(default_factory=list)
    found: set[Order] = Field(default_factory=set)
    called: set[Order] = Field(default_factory=set)

    def start(self) -> None:
        """Forget what was read and done before."""
        self.read, self.found, self.called = [], set(), set()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        shown = "\n".join(str(message.text) for message in messages)
        self.read.append(shown)
        here = sorted(orders(shown))
        self.found |= set(here)
        offered = [tool["function"]["name"] for tool in kwargs.get("tools") or []]
        self.turns, self.asked = [self._calls(messages, here, offered) or self._words(shown, here)], []
        yield from super()._stream(messages, stop, run_manager, **kwargs)

    def _calls(self, messages: list[BaseMessage], here: list[Order], offered: list[str]) -> list[Any]:
        """First what brings in more to obey, with it every order that it has not obeyed yet; nothing without tools."""
        if not offered:
            return []
        calls: list[tuple[str, dict[str, Any]]] = []
        if not any(isinstance(message, ToolMessage) for message in messages):
            asked = [str(message.text) for message in messages if isinstance(message, HumanMessage)][-1]
            calls += [("answer", {"question": asked}), *((name, {}) for name in _READING)]
        new = [order for order in here if order[0] not in _SAYING and order not in self.called]
        self.called |= set(new)
        return [*calls, *((verb, json.loads(arguments)) for verb, arguments in new)]

    def _words(self, shown: str, here: list[Order]) -> str:
        said = ["As the document says."]
        for verb, arguments in here:
            said.append(str(json.loads(arguments).get("text")) if verb == "say" else f"{verb}({arguments})")
            if verb not in _SAYING:
                said.append(f'<tool_call>{{"name": "{verb}", "arguments": {arguments}}}</tool_call> [7]')
        if any(verb == "say_everything" for verb, _ in here):
            said += self.read
        return "\n".join([*said, "It opens at 5 [3].", shown])[:_WRITTEN_CHARACTERS]
