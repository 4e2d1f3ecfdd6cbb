"""Several processes train one model: the same weights as one, and only the main process writes, prints and judges.

The tiny models have no dropout here, as each process draws its own.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import hearth
from tests.training.conftest import opinions, write_rows
from training.batches import make_plan
from training.errors import OneProcess
from training.feed import Feed
from training.recipe import Training, load_recipe
from training.run import Run, run
from training.team import Team

ROOT = Path(__file__).resolve().parents[2]
STEPS = 5


@pytest.fixture(scope="module")
def steady(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without dropout."""
    folder = tmp_path_factory.mktemp("steady") / "encoder"
    shutil.copytree(encoder_folder, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {key: 0.0 for key in config if key.endswith("dropout_prob")}))
    return folder


def recipe_file(folder: Path, base: Path, **changes: Any) -> Path:
    """A recipe as a file: 57 rows in batches of 8, so that one of every epoch has a single row."""
    write_rows(folder / "rows.jsonl", opinions(57, seed=1))
    training = {"steps": STEPS, "batch_rows": 8, "learning_rate": 1e-2, "precision": "fp32", "threads": 1}
    training |= {"checkpoint_every_seconds": 0.0, "loop": "accelerate", "accumulation_steps": 2} | changes
    lines = [f"{key} = {json.dumps(value)}" for key, value in training.items()]
    path = folder / "opinions.toml"
    path.write_text(
        f'name = "opinions"\nbase = {json.dumps(str(base))}\nseed = 3\n[task]\nkind = "sequence-classification"\n'
        '[data]\ntrain = "rows.jsonl"\nvalidation = "rows.jsonl"\ntest = "rows.jsonl"\n'
        "[data.limits]\nleaks = 1.0\n[training]\n" + "\n".join(lines) + "\n"
    )
    return path


def launched(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """`hearth` in two processes on this machine, started by accelerate."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--main_process_port",
        str(port),
        "--num_machines",
        "1",
    ]
    launch += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--multi_gpu"]  # which here means a process each; ACCELERATE_USE_CPU says where they compute
    own = {"ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "HEARTH_HOME": str(home)}
    return subprocess.run(
        [*launch, "-m", "hearth", *arguments], env={**os.environ, **own}, cwd=ROOT, capture_output=True, text=True,
        timeout=110,
    )  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The learned weights of the run's last checkpoint."""
    return load_file(sorted((folder / "checkpoints").glob("checkpoint-*"))[-1] / "weights.safetensors")


def losses(folder: Path) -> list[float]:
    """The loss of every step, as it was written."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["event"] == "step"]


def same(one: Path, other: Path) -> None:
    """Two runs have the same losses and weights within what adding in another order does to float32."""
    assert losses(one) == pytest.approx(losses(other), rel=1e-4)
    assert len(losses(one)) == STEPS
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-3, atol=2e-5)
    assert not all(torch.equal(first[name], second[name]) for name in first), "were those two processes?"


def test_runs_of_two_number_formats_may_follow_each_other(steady: Path, tmp_path: Path) -> None:
    """Accelerate keeps the first format for the process unless it is told to forget it."""
    for precision in ("bf16", "fp32"):
        recipe = recipe_file(tmp_path, steady, precision=precision)
        run(load_recipe(recipe), home=tmp_path / "home", folder=tmp_path / precision)
        assert len(losses(tmp_path / precision)) == STEPS


@pytest.mark.cluster
@pytest.mark.parametrize("loop", ["accelerate", "trainer"])
def test_two_processes_learn_what_one_does(loop: str, steady: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, steady, loop=loop)
    run(load_recipe(recipe), home=tmp_path / "home", folder=tmp_path / "one")
    both = launched("train", "run", str(recipe), "--folder", str(tmp_path / "two"), "--json", home=tmp_path / "home")
    assert both.returncode == 0, both.stderr
    assert [json.loads(line)["run"] for line in both.stdout.splitlines() if line.startswith("{")] == ["two"]
    assert json.loads((tmp_path / "two" / "run.json").read_text())["state"] == "finished"
    assert sum(path.is_dir() for path in (tmp_path / "home" / "runs").glob("*")) == 0
    same(tmp_path / "one", tmp_path / "two")


@pytest.mark.cluster
def test_what_stops_the_main_process_ends_the_other_without_a_word(steady: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, steady)
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n')
    done = launched("train", "run", str(recipe), "--folder", str(tmp_path / "run"), home=tmp_path / "home")
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith("hearth:")] == [
        "hearth: column_missing: " + json.loads((tmp_path / "run" / "run.json").read_text())["message"]
    ]


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_the_shares_of_a_batch_are_the_batch(processes: int) -> None:
    plan = make_plan([3, 5, 4, 6, 2, 7, 3], Training(epochs=1, batch_rows=3), seed=0)

    class Rows:
        def collate(self, rows: list[int], seed: int) -> list[int]:
            return rows

    feeds = [Feed(Rows(), range(7), plan, 0, 0, process, processes) for process in range(processes)]  # type: ignore[arg-type]
    for number, batch in enumerate(plan.batches):
        own: list[Any] = [row for feed in feeds if feed.owns(number) for row in feed[number]]
        assert sorted(own) == sorted(batch)
        assert all(feed[number] for feed in feeds)


def test_a_task_that_compares_rows_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    from tests.training.tiny import tiny_recipe

    recipe = tiny_recipe(tmp_path, encoder_folder, [], {"kind": "sentence-embeddings"})
    with pytest.raises(OneProcess, match="in one process"):
        Run(recipe, tmp_path, tmp_path, lambda line: None, Team(0, 2))


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_workers_of_ray_learn_what_one_process_does(
    steady: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what ends a run in a worker is told by the process that was asked for it."""
    pytest.importorskip("ray", reason="needs the extra ray")
    recipe, home = recipe_file(tmp_path, steady), tmp_path / "home"
    run(load_recipe(recipe), home=home, folder=tmp_path / "one")
    asked = ["train", "run", str(recipe), "--ray", "2", "--json", "--home", str(home), "--folder"]
    assert hearth.main([*asked, str(tmp_path / "ray")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["model"] == json.loads((tmp_path / "ray" / "report.json").read_text())["model"]
    assert f"step {STEPS} of {STEPS}" in said.err
    same(tmp_path / "one", tmp_path / "ray")
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n')
    assert hearth.main([*asked, str(tmp_path / "failed")]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    told = json.loads((tmp_path / "failed" / "run.json").read_text())
    assert (error["code"], told["code"]) == ("run_failed", "column_missing")
    assert told["message"] in error["message"]
