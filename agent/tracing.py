"""What an answer did, step by step, for whoever wants to look: JSON lines in the data home, or OpenTelemetry's spans.

Off unless the setting `trace` says otherwise. The lines hold questions and answers and stay on this machine; the spans
hold names, counts and times alone, and go where the running program has set OpenTelemetry up to send them.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.events import Answered, Event, Token, ToolFinished, ToolStarted
from agent.settings import Settings
from models.errors import MissingExtra

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_LOG = logging.getLogger(__name__)
LINES, SPANS = "lines", "spans"
FOLDER = "traces"


def traced(events: Iterator[Event], question: str, settings: Settings) -> Iterator[Event]:
    """The same events, kept as the setting `trace` says; an error that ends them is kept and goes on its way."""
    ways: dict[str, Callable[[Iterator[Event], str, Path], Iterator[Event]]] = {LINES: _in_lines, SPANS: _in_spans}
    way = ways.get(settings.trace)
    return way(events, question, settings.home) if way else events


def _in_lines(events: Iterator[Event], question: str, home: Path) -> Iterator[Event]:
    """One line an event in `traces/DAY.jsonl`: `{answer_id, time, ms, kind, ...}`; tokens stand in the answer alone."""
    answer_id, began = uuid.uuid4().hex, time.perf_counter()

    def keep(kind: str, facts: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        row = {"answer_id": answer_id, "time": now.isoformat(timespec="milliseconds"), "ms": milliseconds, "kind": kind}
        _append(home / FOLDER / f"{now:%Y-%m-%d}.jsonl", row | facts)

    keep("asked", {"question": question})
    try:
        for event in events:
            if not isinstance(event, Token):
                keep(event.kind, {name: value for name, value in asdict(event).items() if name != "kind"})
            yield event
    except Exception as error:
        keep("failed", {"code": getattr(error, "code", "unexpected"), "message": str(error)})
        raise


def _append(path: Path, row: dict[str, Any]) -> None:
    """Adds a line that other processes' lines cannot cut in two; a full disk costs the line and not the answer."""
    line = json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with closing(os.fdopen(file, "ab", buffering=0)) as lines:
            lines.write(line)
    except OSError as error:
        _LOG.warning("a line of the trace is not kept: %s", error)


def _in_spans(events: Iterator[Event], question: str, home: Path) -> Iterator[Event]:
    """A span for the answer and one for each tool, named and described by the conventions for generating models.

    Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise MissingExtra("The setting trace = spans", "otel") from error
    tracer = trace.get_tracer("hearth")
    tools: dict[str, Span] = {}
    with tracer.start_as_current_span("invoke_agent hearth") as whole:
        whole.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "hearth"})
        parent = trace.set_span_in_context(whole)
        try:
            for event in events:
                match event:
                    case ToolStarted():
                        span = tracer.start_span(f"execute_tool {event.name}", context=parent)
                        span.set_attributes({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": event.name})
                        tools[event.id] = span
                    case ToolFinished():
                        if event.error is not None:
                            tools[event.id].set_status(trace.StatusCode.ERROR)
                        tools.pop(event.id).end()
                    case Answered():
                        _describe(whole, event)
                yield event
        finally:
            for span in tools.values():
                span.end()


def _describe(span: Span, event: Answered) -> None:
    answer = event.answer
    counts = {"gen_ai.usage.input_tokens": answer.prompt_tokens, "gen_ai.usage.output_tokens": answer.new_tokens}
    facts = {"hearth.sources": len(answer.sources), "hearth.abstained": answer.abstained}
    times = {f"hearth.{name}": value for name, value in asdict(answer.timings).items() if value is not None}
    span.set_attributes(
        {"gen_ai.request.model": answer.model, "hearth.tool": answer.tool or ""} | counts | facts | times
    )
