"""The report of a finished run: scores with intervals, the baseline, the gate's verdict, and how it was made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.checks import DataReport
from training.data import Splits
from training.evaluation import Judgement, judge, judge_folder, weigh
from training.learner import Learner
from training.recipe import Recipe
from training.tasks.base import Row, Task


def write_report(
    folder: Path, recipe: Recipe, task: Task, splits: Splits, found: DataReport, learner: Learner, home: Path
) -> dict[str, Any]:
    """Judges the run's model on the test part (the validation part where there is none) and writes `report.json`."""
    name = "test" if len(splits.test) else "validation" if len(splits.validation) else "train"
    rows: list[Row] = list(getattr(splits, name))
    new = judge_folder(task, folder / "model", home, rows)
    old = _baseline(recipe, task, splits, rows)
    verdict = weigh(task, rows, new, old, recipe.gate)
    learns, every = learner.parameters
    report = {
        "recipe": recipe.name,
        "task": recipe.task,
        "run": folder.name,
        "base": learner.base_name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "judged_on": name,
        "model": new.to_json(),
        "baseline": {"kind": recipe.evaluation.baseline} | old.to_json(),
        "gate": verdict.to_json(),
        "data": found.to_json() | {"fingerprint": splits.fingerprint, "licence": recipe.data.licence},
        "parameters": {"learning": learns, "all": every},
        "training": _course(folder),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    return report


def _baseline(recipe: Recipe, task: Task, splits: Splits, rows: list[Row]) -> Judgement:
    return judge(task, rows, task.simple_predictions(splits.train, rows))


def _course(folder: Path) -> dict[str, Any]:
    """Steps, tokens, seconds and the first and last loss, from `metrics.jsonl`."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    tokens = sum(line["tokens"] for line in steps)
    return {
        "steps": steps[-1]["step"],
        "epochs": steps[-1]["epoch"],
        "tokens": tokens,
        "tokens_per_second": steps[-1]["tokens_per_second"],
        "first_loss": steps[0]["loss"],
        "last_loss": steps[-1]["loss"],
    }
