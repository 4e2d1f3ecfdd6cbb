"""The report of a finished run: scores with intervals, the baseline, the gate's verdict, and how it was made.

`report.json` is for programs, `report.html` with its pictures inside for people; `predictions.jsonl` has every row.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.baselines import baseline
from training.checks import DataReport
from training.data import LINE, SOURCE, Splits
from training.evaluation import Judgement, judge_folder, weigh
from training.learner import Learner
from training.plots import draw_course, draw_labels
from training.recipe import Recipe
from training.report_page import page
from training.tasks.base import Row, Task

_WORST = 20


def write_report(
    folder: Path, recipe: Recipe, task: Task, splits: Splits, found: DataReport, learner: Learner, home: Path
) -> dict[str, Any]:
    """Judges the run's model on the test part, the validation part where there is none, and writes the files."""
    name, rows = judged_rows(splits)
    judged = getattr(splits, name).fingerprint
    new = judge_folder(task, folder / "model", home, rows)
    old, said_by = baseline(recipe, task, splits, rows, home)
    learns, every = learner.parameters
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    report = {
        "recipe": recipe.name,
        "task": recipe.task,
        "run": folder.name,
        "base": learner.base_name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "judged_on": name,
        "signature": task.signature(),
        "model": new.to_json(),
        "baseline": {"by": said_by} | old.to_json(),
        "gate": weigh(task, rows, new, old, recipe.gate).to_json(),
        "data": found.to_json() | {"fingerprint": splits.fingerprint, "judged": judged, "licence": recipe.data.licence},
        "parameters": {"learning": learns, "all": every},
        "training": _course(lines),
        "worst": worst(task, rows, new),
    }
    _write_predictions(folder / "predictions.jsonl", rows, new)
    pictures = draw_course(lines, new.metric, folder / "plots") + draw_labels(
        task.single_labels(rows), new.predictions, folder / "plots"
    )
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    html = page(report, recipe.resolved(), pictures)
    (folder / "report.html").write_text(html, encoding="utf-8")
    return report


def judged_rows(splits: Splits) -> tuple[str, list[Row]]:
    """The rows a run is judged on, and the name of their part."""
    name = next((part for part in ("test", "validation") if len(getattr(splits, part))), "train")
    return name, list(getattr(splits, name))


def worst(task: Task, rows: list[Row], judgement: Judgement) -> list[dict[str, Any]]:
    """The rows with the lowest scores, the surest mistakes first where the model says how sure it is."""
    scores = task.row_scores(rows, judgement.predictions)
    if scores is None:
        return []
    sure = [max(one["scores"].values()) if one.get("scores") else 0.0 for one in judgement.predictions]
    sign = 1 if task.higher_is_better else -1
    order = sorted(range(len(rows)), key=lambda index: (sign * scores[index], -sure[index]))
    return [
        {"row": _own(rows[index]), "said": judgement.predictions[index], "score": scores[index]}
        for index in order[:_WORST]
        if sign * scores[index] < sign * 1.0
    ]


def _own(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in (SOURCE, LINE)}


def _write_predictions(path: Path, rows: list[Row], judgement: Judgement) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row, said in zip(rows, judgement.predictions, strict=True):
            stream.write(json.dumps({"row": _own(row), "said": said}, ensure_ascii=False) + "\n")


def _course(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Steps, tokens, rate and the first and last loss of a run."""
    steps = [line for line in lines if line["event"] == "step"]
    return {
        "steps": steps[-1]["step"],
        "epochs": steps[-1]["epoch"],
        "tokens": sum(line["tokens"] for line in steps),
        "tokens_per_second": steps[-1]["tokens_per_second"],
        "first_loss": steps[0]["loss"],
        "last_loss": steps[-1]["loss"],
        "evaluations": [
            {"step": line["step"], "score": line["score"]} for line in lines if line["event"] == "evaluation"
        ],
    }
