"""What a terminal shows of an answer beside its text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.assistant import Assistant
from agent.events import Answer, Answered, Timings
from agent.request import Request
from agent.terminal import answer_on_terminal


def test_a_trace_tells_the_milliseconds_of_the_stages_that_ran(capsys: pytest.CaptureFixture[str]) -> None:
    def stream(question: str, **given: Any) -> Any:
        yield Answered(Answer("Yes.", timings=Timings(None, 40.4, 310.6, 900.0)))

    assistant = cast(Assistant, SimpleNamespace(chat_model=None, stream=stream))
    answer_on_terminal(assistant, Request("?"), quiet=False, trace=True)
    printed = capsys.readouterr()
    assert printed.err == "   search 40 ms, first word after 311 ms, all 900 ms\n"
    assert printed.out == ""
