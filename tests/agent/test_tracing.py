"""What is kept of an answer's steps: nothing by default, lines in the home, or spans without a word of the contents."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent.events import Answer, Answered, Event, Timings, Token, ToolFinished, ToolStarted
from agent.settings import Settings
from agent.tracing import FOLDER, traced
from models.errors import Busy

EVENTS: list[Event] = [
    ToolStarted("1", "search", {"query": "tower"}),
    ToolFinished("1", "search", "2 passages", 12.5),
    ToolStarted("2", "translate", {}),
    ToolFinished("2", "translate", "", 3.0, error="it did not work"),
    Token("In "),
    Token("1889."),
    Answered(Answer("In 1889 [1].", model="small", tool="search", prompt_tokens=7, new_tokens=2, timings=Timings(5.0))),
]


def kept(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in (home / FOLDER).glob("*.jsonl") for line in path.read_text().splitlines()]


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    assert list(traced(iter(EVENTS), "When?", Settings(home=tmp_path))) == EVENTS
    assert list(tmp_path.iterdir()) == []


def test_lines_hold_every_step_in_order_with_its_time(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, trace="lines")
    assert list(traced(iter(EVENTS), "When?", settings)) == EVENTS
    rows = kept(tmp_path)
    assert [row["kind"] for row in rows] == ["asked", *["tool_started", "tool_finished"] * 2, "answered"]
    assert rows[0]["question"] == "When?"
    assert rows[2]["milliseconds"] == 12.5
    assert rows[-1]["answer"]["text"] == "In 1889 [1]."
    assert len({row["answer_id"] for row in rows}) == 1
    assert [row["ms"] for row in rows] == sorted(row["ms"] for row in rows)
    (file,) = (tmp_path / FOLDER).iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_error_is_kept_and_goes_on_its_way(tmp_path: Path) -> None:
    def failing() -> Iterator[Event]:
        yield EVENTS[0]
        raise Busy(3, 2)

    with pytest.raises(Busy):
        list(traced(failing(), "When?", Settings(home=tmp_path, trace="lines")))
    assert (kept(tmp_path)[-1]["kind"], kept(tmp_path)[-1]["code"]) == ("failed", Busy.code)


def test_a_full_disk_costs_the_lines_and_not_the_answer(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    assert list(traced(iter(EVENTS), "When?", Settings(home=tmp_path, trace="lines"))) == EVENTS


def test_spans_have_names_counts_and_times_and_no_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    secret = replace(Settings(home=tmp_path), trace="spans")
    assert list(traced(iter(EVENTS), "When was the secret tower built?", secret)) == EVENTS
    search, translate, whole = exporter.get_finished_spans()
    assert [span.name for span in (search, translate, whole)] == [
        "execute_tool search", "execute_tool translate", "invoke_agent hearth",
    ]  # fmt: skip
    assert search.parent is not None
    assert whole.context is not None
    assert search.parent.span_id == translate.parent.span_id == whole.context.span_id  # type: ignore[union-attr]
    assert (search.status.is_ok, translate.status.is_ok) == (True, False)
    facts = dict(whole.attributes or {})
    assert facts["gen_ai.usage.input_tokens"] == 7
    assert facts["hearth.route_ms"] == 5.0
    assert "secret" not in str([span.to_json() for span in exporter.get_finished_spans()])
    assert not (tmp_path / FOLDER).exists()
