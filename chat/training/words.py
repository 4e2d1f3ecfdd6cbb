"""What the page says about a training, as Markdown: the check, how far a run is, its report, two models side by side.

Texts of the person's rows and of models pass through `chat.inert` here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chat.inert import code, plain
from chat.training.process import Standing
from chat.training.progress import Metrics
from models.trial import Trial

_MOST_LABELS = 12
_MOST_WORST = 5
_LONGEST_CELL = 200
_STARTING = "Reading the rows and loading the model …"
_JUDGING = "Trained; now the model is judged on rows that it has not seen …"


def checked(found: Mapping[str, Any]) -> str:
    """What `hearth train check` found, as a table."""
    data, tokens = found["data"], found["tokens"]
    rows = data["rows"]
    faults = {"repeated": data["repeated"], "contradicting": data["contradictions"]}
    faults |= {f"of the {part} part among those to learn from": count for part, count in data["leaks"].items()}
    faults |= {"that look like they hold a secret": data["secrets"]}
    cut = f"; {found['longer_than_window']:,} are cut at {found['window_tokens']:,}"
    lines = [
        ("rows", f"{rows['train']:,} to learn from, {rows['validation']:,} to choose by, {rows['test']:,} to judge by"),
        ("labels", _labels(found["labels"])),
        ("length", f"half of the rows up to {tokens['p50']:,} tokens, the longest {tokens['p100']:,}{cut}"),
        ("faults", _counts({f"{count:,} {what}": count for what, count in faults.items()})),
        ("left out", _counts({f"{count:,} ({plain(why)})": count for why, count in data["dropped"].items()})),
        ("work", f"{found['steps']:,} steps, {_minutes(found['estimated_minutes'])}, {_memory(found)}"),
    ]
    return table(("looked at", "found"), [line for line in lines if line[1]])


def so_far(name: str, metrics: Metrics) -> str:
    """Where a running training stands."""
    head = f"**Training {code(name)}**\n\n"
    step, judged = metrics.step, metrics.judged
    if step is None:
        return head + _STARTING
    if step["step"] >= step["steps"]:
        return head + _JUDGING
    parts = [
        f"step {step['step']:,} of {step['steps']:,}",
        f"loss {step['loss']:.4f}",
        f"rate {step['learning_rate']:.2e}",
        f"{step['tokens_per_second']:,.0f} tokens/s",
        f"{_left(step['seconds_left'])} left",
    ]
    if judged is not None and metrics.best is not None:
        parts.append(f"judged {judged['score']:.4f}, best {metrics.best:.4f}")
    return head + " · ".join(parts)


def ended(name: str, standing: Standing, report: Mapping[str, Any]) -> str:
    """How a run ended: its report, or why it has none."""
    if standing.state == "finished":
        return f"**{code(name)} is trained**\n\n{reported(report)}"
    word = "was stopped" if standing.state == "stopped" else "failed"
    return f"**{code(name)} {word}**\n\n{plain(standing.sentence)} ({code(standing.code)})"


def reported(report: Mapping[str, Any]) -> str:
    """A report in words, with the worst examples."""
    model, old, gate = report["model"], report["baseline"], report["gate"]
    low, high = model["interval"]
    less, more = gate["interval"]
    verdict = (
        "**The gate is open.**" if gate["open"] else f"**The gate is closed:** {plain('; '.join(gate['reasons']))}."
    )
    lines = [
        f"{plain(model['metric'])} **{model['score']:.4f}** (95 % {low:.4f} to {high:.4f}) on {model['rows']:,} rows "
        f"of the {report['judged_on']} part; {plain(old['by'])}: {old['score']:.4f}; difference "
        f"{gate['difference']:+.4f} (95 % {less:+.4f} to {more:+.4f}). {verdict}"
    ]
    if worst := report.get("worst"):
        lines += ["Worst examples:", table(("row", "the model says"), [_example(one) for one in worst[:_MOST_WORST]])]
    return "\n\n".join(lines)


def scores(report: Mapping[str, Any]) -> str:
    """Every metric of a report beside the baseline's, and the counts of its data."""
    metrics, old = report["model"]["metrics"], report["baseline"]
    rows = [
        (plain(name), f"{value:.4f}", f"{old['metrics'][name]:.4f}" if name in old["metrics"] else "")
        for name, value in metrics.items()
        if isinstance(value, (int, float))
    ]
    return table(("metric", "this model", plain(old["by"])), rows)


def side_by_side(text: str, trials: Sequence[Trial]) -> str:
    """What several models gave for one text."""
    rows = [
        (plain(one.model), _cell(one.gave if one.ok else one.reason), f"{one.milliseconds:.0f}" if one.ok else "")
        for one in trials
    ]
    return f"> {_cell(text)}\n\n" + table(("model", "gives", "ms"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are safe already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _example(one: Mapping[str, Any]) -> tuple[str, str]:
    said = one["said"]
    short = {key: value for key, value in said.items() if key != "scores"} if isinstance(said, Mapping) else said
    return _cell(json.dumps(one["row"], ensure_ascii=False)), _cell(json.dumps(short, ensure_ascii=False))


def _cell(text: str) -> str:
    line = " ".join(text.split())
    return plain(line[:_LONGEST_CELL]) + ("…" if len(line) > _LONGEST_CELL else "")


def _labels(counts: Mapping[str, int]) -> str:
    shown = [f"{_cell(name)} {count:,}" for name, count in list(counts.items())[:_MOST_LABELS]]
    rest = len(counts) - len(shown)
    return ", ".join([*shown, *([f"and {rest:,} more"] if rest > 0 else [])])


def _counts(counts: Mapping[str, int]) -> str:
    """Those that are not 0."""
    return ", ".join(words for words, count in counts.items() if count) or "none"


def _minutes(minutes: float) -> str:
    return "less than a minute" if minutes < 1 else f"about {_left(minutes * 60)}"


def _left(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"


def _memory(found: Mapping[str, Any]) -> str:
    return f"{found['estimated_memory_bytes'] / 1024**3:.1f} GiB of memory"
