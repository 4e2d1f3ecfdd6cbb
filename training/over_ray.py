"""A run whose processes are Ray Train's workers, on a Ray cluster of this machine that ends with the run.

Each worker does what a process of `accelerate launch` does: the first keeps the run, the others help it.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.errors import RunExists, RunFailed
from training.recipe import Recipe
from training.team import joined, stay_on_loopback

_PATIENCE_SECONDS = 24 * 3600
_LOOK_SECONDS = 1.0


def run_on_ray(
    recipe: Recipe, workers: int, *, home: Path, folder: Path, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """What `run` does, in so many worker processes with a processor each; gives the report.

    Raises:
        MissingRay, ClusterNotStarted: Ray is not here, or does not start.
        RunExists: the folder holds a run. RunFailed: what ended this one, in its own words.
    """
    from retrieval.cluster.running import LOCAL, running

    if (folder / "run.json").exists():
        raise RunExists(folder)
    stay_on_loopback()
    order = {"recipe": recipe, "home": str(home), "folder": str(folder)}
    with running(LOCAL, workers), _shown(folder / "metrics.jsonl", show), tempfile.TemporaryDirectory() as results:
        said = _fit(order, workers, results)
    facts = _read(folder / "run.json")
    if facts.get("state") != "finished":
        raise RunFailed(folder, facts.get("message") or said or "a worker was ended from outside")
    return _read(folder / "report.json")


def _fit(order: dict[str, Any], workers: int, results: str) -> str:
    """Run the workers to their end; gives what Ray says where they do not come to one."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.CRITICAL)
    trainer = TorchTrainer(
        _work,
        train_loop_config=order,
        torch_config=TorchConfig(backend="gloo", timeout_s=_PATIENCE_SECONDS),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=False),
        run_config=RunConfig(storage_path=results),
    )
    try:
        trainer.fit()
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return ""


def _work(order: dict[str, Any]) -> None:
    """One worker, from its beginning to its end; what ends a run early is written into its `run.json`."""
    from training.follower import follow
    from training.run import run

    team = joined()
    home = Path(order["home"])
    if not team.is_main:
        follow(team, home=home)
        return
    try:
        with team.leading():
            run(order["recipe"], home=home, folder=Path(order["folder"]), team=team)
    except Exception as error:
        if not hasattr(error, "code"):  # every room's errors have one, and a sentence
            raise


@contextmanager
def _shown(metrics: Path, show: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Shows the lines that the main worker adds to its metrics, as they come."""
    over = threading.Event()

    def follow_lines() -> None:
        shown = 0
        while True:
            last = over.wait(_LOOK_SECONDS)
            text = metrics.read_text(encoding="utf-8") if metrics.exists() else ""
            whole = text[: text.rfind("\n") + 1].splitlines()
            for line in whole[shown:]:
                show(json.loads(line))
            shown = len(whole)
            if last:
                return

    thread = threading.Thread(target=follow_lines, name="hearth-metrics")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value
