"""From a finished run into the registry: the gate, the card, and the class that serves afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from hearth import main
from models.registry import Registry
from models.registry_errors import BaseDiffers
from models.tasks.classifier import TextClassifier
from tests.training.conftest import opinions
from training.errors import Changed, GateClosed, RunNotFound
from training.evaluation import judge, weigh
from training.plots import calibration_error
from training.publish import publish
from training.recipe import Gate, Recipe
from training.run import resume, run
from training.tasks import open_task

Make = Callable[..., Recipe]
LEARNS = {"training__steps": 120, "training__learning_rate": 3e-3}
pytestmark = pytest.mark.usefixtures("float32", "no_kept_models")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_becomes_a_candidate_and_then_serves(method: str, opinion_recipe: Make, tmp_path: Path) -> None:
    recipe = opinion_recipe(**LEARNS, method__kind=method, publish__name="opinions", publish__licence="CC0-1.0")
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    published = publish(tmp_path / "run", home=tmp_path)
    assert (published["name"], published["role"]) == ("opinions@1", "classify")
    assert json.loads((tmp_path / "run" / "published.json").read_text()) == published
    assert all(one["said"]["label"] != one["row"]["label"][0] for one in report["worst"])
    registry = Registry(tmp_path)
    version = registry.resolve("opinions")
    assert version.aliases == ("candidate",)
    card = (version.folder / "README.md").read_text()
    assert f"accuracy {report['model']['score']:.4f}" in card
    assert "license: cc0-1.0\n" in card
    assert "base_model: encoder" in card
    assert str(tmp_path) not in "".join(
        path.read_text() for path in version.folder.glob("*") if path.suffix in (".json", ".md") and method == "full"
    )
    registry.promote("opinions")
    served = TextClassifier("opinions", home=tmp_path)
    rows = opinions(120)
    right = sum(
        one.label == row["label"] for one, row in zip(served.many([r["text"] for r in rows]), rows, strict=True)
    )
    assert right / len(rows) > 0.85


def test_a_closed_gate_keeps_the_model_out_unless_forced(opinion_recipe: Make, tmp_path: Path) -> None:
    run(opinion_recipe(training__steps=1, gate__minimum=0.99), home=tmp_path, folder=tmp_path / "run")
    with pytest.raises(GateClosed, match=r"gate\.minimum asks for 0\.99"):
        publish(tmp_path / "run", home=tmp_path)
    version = publish(tmp_path / "run", home=tmp_path, force=True)
    assert "Published all the same" in (Path(version["folder"]) / "README.md").read_text()
    with pytest.raises(RunNotFound):
        publish(tmp_path / "nowhere", home=tmp_path)


def test_m07_an_adapter_belongs_to_the_base_as_it_was_when_the_training_began(
    opinion_recipe: Make, encoder_folder: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(encoder_folder, tmp_path / "base"))
    recipe = replace(opinion_recipe(method__kind="lora", training__steps=2), base=str(base))
    run(recipe, home=tmp_path, folder=tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "base.json").read_text())
    assert kept["weights_sha256"] == hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    tensors = load_file(base / "model.safetensors")
    tensors["encoder.layer.0.output.dense.bias"] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseDiffers, match=kept["weights_sha256"][:12]):
        publish(tmp_path / "run", home=tmp_path, force=True)
    with pytest.raises(Changed, match="the base"):
        resume(tmp_path / "run", home=tmp_path)
    assert all(version.shipped for version in Registry(tmp_path).versions())


def said(labels: str) -> list[dict[str, Any]]:
    return [{"label": {"g": "good", "b": "bad"}[label], "scores": {}} for label in labels]


def test_the_gate_reads_the_difference_and_its_interval(opinion_recipe: Make) -> None:
    task = open_task(opinion_recipe())
    rows = [{"label": ["good"]}] * 200
    new, old = judge(task, rows, said("g" * 180 + "b" * 20)), judge(task, rows, said("g" * 100 + "b" * 100))
    assert (new.score, old.score) == (0.9, 0.5)
    verdict = weigh(task, rows, new, old, Gate(minimum=0.85, better_by=0.1, beyond_chance=True))
    assert verdict.open
    # the 80 rows that differ of 200: a standard error of sqrt(0.4 * 0.6 / 200) = 0.035
    assert verdict.interval == pytest.approx((0.4 - 1.96 * 0.0346, 0.4 + 1.96 * 0.0346), abs=0.012)
    closed = weigh(task, rows, new, judge(task, rows, said("g" * 178 + "b" * 22)), Gate(beyond_chance=True))
    assert not closed.open
    assert "may be chance" in closed.reasons[0]
    worse = weigh(task, rows, old, new, Gate())
    assert worse.reasons == ("accuracy is -0.4000 from the baseline's 0.9000, not +0.0",)


def test_the_interval_of_a_score_is_that_of_a_share(opinion_recipe: Make) -> None:
    found = judge(open_task(opinion_recipe()), [{"label": ["good"]}] * 400, said("g" * 320 + "b" * 80))
    assert found.interval == pytest.approx((0.8 - 1.96 * 0.02, 0.8 + 1.96 * 0.02), abs=0.006)


def test_calibration_error_by_hand() -> None:
    # two bins: four rows at 0.95 of which three are right, one row at 0.55 that is wrong
    error = calibration_error([0.95] * 4 + [0.55], [True, True, True, False, False])
    assert error == pytest.approx(4 / 5 * 0.20 + 1 / 5 * 0.55)


def test_the_verbs_from_check_to_publish(
    opinion_recipe: Make, tmp_path: Path, encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opinion_recipe()
    path = tmp_path / "opinions.toml"
    path.write_text(
        f'base = "{encoder_folder}"\n[task]\nkind = "sequence-classification"\n[data]\ntrain = "rows.jsonl"\n'
        '[training]\nsteps = 3\nprecision = "fp32"\n[gate]\nbetter_by = -1.0\n'
    )

    def hearth(*words: str) -> Any:
        assert main([*words, "--home", str(tmp_path / "home"), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = hearth("train", "check", str(path), "--set", "training.batch_rows=4")
    assert found["recipe"]["training"]["batch_rows"] == 4
    assert sum(found["labels"].values()) == found["data"]["rows"]["train"]
    assert found["steps"] == 3
    assert len(found["examples"]) == 3
    assert found["estimated_memory_bytes"] > 0
    report = hearth("train", "run", str(path))
    assert hearth("train", "list")["runs"] == [
        {
            "run": report["run"],
            "state": "finished",
            "metric": "accuracy",
            "score": report["model"]["score"],
            "gate_open": True,
        }
    ]
    assert hearth("train", "evaluate", "last")["score"] == report["model"]["score"]
    assert hearth("train", "publish", "last")["name"] == "opinions@1"
    assert hearth("train", "evaluate", "last", "--model", "opinions@1")["score"] == report["model"]["score"]


def test_a_failing_verb_is_one_sentence_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_text('[task]\nkind = "sequence-classification"\n[data]\ntrain = "absent.csv"\n')
    assert main(["train", "run", str(tmp_path / "r.toml"), "--home", str(tmp_path)]) == 1
    assert "data_not_found" in capsys.readouterr().err
    assert main(["train", "resume", "absent", "--home", str(tmp_path)]) == 1
    assert main(["train", "check", "ssst2", "--home", str(tmp_path)]) == 1
    assert "sst2" in capsys.readouterr().err
