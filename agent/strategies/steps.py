"""Carries out a plan, step after step, and puts what the tools gave into one answer."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.answering import Clock
from agent.events import Answer, Event, Source
from agent.planning import Plan, Step, short_title
from agent.toolbox import Outcome, Toolbox

_LONGEST_SHOWN = 400
_CODE = re.compile(r"^[a-z]+(?:_[a-z]+)*: ")
"""A known error's code, which is for programs."""


@dataclass
class Done:
    """What came of a plan: the results that a person is shown, and what did not work.

    `go_on` says that nothing came of it for a reason that the person can do nothing about.
    """

    results: list[tuple[Step, Outcome]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    proposed: str | None = None
    go_on: bool = False
    stopped: bool = False

    def add(self, step: Step, outcome: Outcome) -> None:
        """Keep what a step gave: its result in the place of the one that it worked on, or the note of its failure."""
        self.stopped = self.stopped or outcome.stopped
        if outcome.error:
            self.notes.append(note(step, outcome))
            self.go_on = not (self.results or outcome.expected or outcome.stopped)
        elif step.continues:
            self.results[-1] = (step, outcome)
        else:
            self.results.append((step, outcome))
            self.go_on = False


def carry_out(plan: Plan, toolbox: Toolbox, cancel: threading.Event) -> Generator[Event, None, Done]:
    """Call the tools of a plan in order; a step that fails is named, and the others go on without it."""
    done = Done()
    failed: Outcome | None = None
    for step in plan.steps:
        if step.continues and failed is not None:
            continue
        if toolbox.has_effect(step.tool):
            proposed = toolbox.proposals.add(step.tool, step.arguments)
            done.proposed = proposed.id
            yield proposed
            return done
        previous = done.results[-1][1].plain if step.continues else ""
        outcome = yield from toolbox.call(step, previous, cancel)
        failed = outcome if outcome.error else None
        done.add(step, outcome)
        if outcome.stopped:
            break
    return done


def note(step: Step, outcome: Outcome) -> str:
    """Which tool did not work, and why, in one sentence."""
    about = f" for “{short_title(step.title)}”" if step.title else ""
    reason = _CODE.sub("", str(outcome.error)).rstrip(".")
    return f"The tool {step.tool} did not work{about}: {reason}."


def answer_of(plan: Plan, done: Done, model: str, clock: Clock) -> Answer:
    """The answer that a carried-out plan gives."""
    last = plan.steps[-1]
    if done.proposed is not None:
        text = f"{last.tool} would change something, so it waits for your word: {_call_in_words(plan.steps[-1])}"
        data: Any = {"proposal": done.proposed}
    else:
        text = _text(plan, done.results)
        data = _data(done.results)
    return Answer(
        "\n\n".join(filter(None, [text, *done.notes])),
        sources=sources_of(done.results),
        tool=last.tool,
        model=model,
        timings=clock.timings(),
        cut_off=done.stopped,
        data=data,
    )


def _text(plan: Plan, results: Sequence[tuple[Step, Outcome]]) -> str:
    if len(results) > 1 and all(step.tool == "classify" for step, _ in results):
        return _classified(plan.wanted, results)
    if len(results) == 1 and not results[0][0].title:
        return results[0][1].text
    return "\n\n".join(f"{short_title(step.title)}:\n{outcome.text}" for step, outcome in results)


def _classified(wanted: str | None, results: Sequence[tuple[Step, Outcome]]) -> str:
    """One line a text with its label; before them, where one label was asked for, which texts have it."""
    best = [_best(outcome.data) for _, outcome in results]
    numbers = range(1, len(results) + 1)
    lines = [
        f"{number}. {label} ({score:.2f}): {short_title(step.title)}"
        for number, (label, score), (step, _) in zip(numbers, best, results, strict=True)
    ]
    if wanted is None:
        return "\n".join(lines)
    chosen = [str(number) for number, (label, _) in zip(numbers, best, strict=True) if label.lower() == wanted.lower()]
    return "\n".join([f"{wanted.capitalize()}: {', '.join(chosen) or 'none'} of {len(results)}.", "", *lines])


def _best(data: Any) -> tuple[str, float]:
    top = data[0] if isinstance(data, list) and data else {}
    return str(top.get("label", "?")), float(top.get("score", 0.0))


def _data(results: Sequence[tuple[Step, Outcome]]) -> Any:
    if len(results) == 1 and not results[0][0].title:
        return results[0][1].data
    return [{"of": step.title, "tool": step.tool, "data": outcome.data} for step, outcome in results] or None


def sources_of(results: Sequence[tuple[Step, Outcome]]) -> tuple[Source, ...]:
    """The sources that the tools' data names under `sources`, numbered in order, each place once."""
    found: dict[tuple[Any, ...], Source] = {}
    for _, outcome in results:
        named = outcome.data.get("sources", ()) if isinstance(outcome.data, dict) else ()
        for facts in named:
            key = (facts["document_id"], facts["start"], facts["end"])
            found.setdefault(key, Source(**{**facts, "number": len(found) + 1}))
    return tuple(found.values())


def _call_in_words(step: Step) -> str:
    given = ", ".join(f"{name} = {value!r}" for name, value in step.shown.items())
    return given if len(given) <= _LONGEST_SHOWN else given[: _LONGEST_SHOWN - 1] + "…"
