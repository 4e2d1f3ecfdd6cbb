"""The resume campaign: stopped, killed and failing runs end with the weights of the run that nothing happened to.

Fifty interruption points, kills at random moments and at every file operation of a save, full and failing disks, and
checkpoints damaged in every way (T05, T06, T07, G9). Same machine, versions and thread count; a kill is no power loss.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.strace import needs_strace
from tests.training.kills import Saves, State, killed_until_done, tried
from tests.training.test_run import KINDS, stopped_after
from training.checkpoint import newest_checkpoint
from training.errors import Interrupted, NoCheckpoint
from training.recipe import Recipe
from training.run import resume, run

Make = Callable[..., Recipe]
pytestmark = pytest.mark.usefixtures("no_kept_models", "light")
LEARNED = ("plain", "accumulated", "lora")
EVERY_STEP = {"training__checkpoint_every_seconds": 1e-9}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, as the faults are in the operations and not in the disk."""
    usable = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="hearth-resume-", dir=usable if usable.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reports without pictures, and collections of garbage that leave the libraries out: half of a tiny run's time."""
    monkeypatch.setattr("training.report.draw_course", lambda *_: [])
    monkeypatch.setattr("training.report.draw_labels", lambda *_: [])
    gc.freeze()
    yield
    gc.unfreeze()


def tell(began: float, campaign: str, **facts: object) -> None:
    """Prints what was found, for the log."""
    print(json.dumps({"campaign": campaign, **facts, "seconds": round(time.monotonic() - began, 1)}))


def learned(folder: Path) -> dict[str, str]:
    """The hashes of the last checkpoint's weights and moments and of the served model's, and every step's loss."""
    newest = newest_checkpoint(folder / "checkpoints")
    assert newest is not None
    files = [
        newest / "weights.safetensors",
        newest / "optimizer.safetensors",
        *(folder / "model").glob("*.safetensors"),
    ]
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    course = [[line["step"], line["loss"], line["gradient_norm"]] for line in lines if line["event"] == "step"]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files} | {"course": json.dumps(course)}


def left_over(folder: Path) -> list[str]:
    """Files that no run needs any more."""
    return [path.name for path in (folder / "checkpoints").iterdir() if path.name.startswith(".")]


def judged(state: State, home: Path, whole: dict[str, str], between: range) -> str | None:
    """What is wrong once the run has been resumed; None where it ends as the uninterrupted one did."""
    newest = newest_checkpoint(state.folder / "checkpoints")
    if newest is None or int(newest.name[-7:]) not in between:
        return f"goes on from {newest}"
    resume(state.folder, home=home)
    found, left = learned(state.folder), left_over(state.folder)
    shutil.rmtree(state.folder)
    if left:
        return f"leaves {left}"
    return None if found == whole else f"ends with other {[key for key in whole if found.get(key) != whole[key]]}"


def saves_of(kind: str, make: Make, memory: Path, **wanted: Any) -> Counter[str]:
    """Tries the saves of one run, resumes what each left and reports; gives the kills and resumes."""
    began = time.monotonic()
    saves = Saves(memory, **wanted)
    recipe = make(training__steps=6, training__evaluate_every_steps=2, **EVERY_STEP, **KINDS[kind])
    with tried(saves):
        run(recipe, home=memory, folder=memory / kind)
    whole, seen, wrong = learned(memory / kind), Counter[str](), []
    for state in saves.states:
        seen["killed" if state.killed else "failed" if state.status else "done"] += 1
        seen["resumed"] += 1
        if problem := judged(state, memory, whole, range(state.step - 1, state.step + 1)):
            wrong.append(f"{kind}, step {state.step}, {state.what}: {problem}")
    tell(began, f"saves of {kind} runs", points=saves.points, **seen, violations=len(wrong))
    assert not wrong, wrong[:10]
    return seen


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", LEARNED)
def test_t05_a_run_stopped_at_any_of_fifty_steps_ends_bit_for_bit_the_same(
    kind: str, opinion_recipe: Make, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, recipe, exact = time.monotonic(), opinion_recipe(training__steps=51, **KINDS[kind]), 0
    assert json.loads(Path(str(recipe.base), "config.json").read_text())["hidden_dropout_prob"] > 0
    run(recipe, home=memory, folder=memory / "whole")
    whole = learned(memory / "whole")
    for step in range(1, 51):
        folder = memory / f"stopped-{step}"
        with stopped_after(step, monkeypatch), pytest.raises(Interrupted, match=f"after step {step};"):
            run(recipe, home=memory, folder=folder)
        resume(folder, home=memory)
        exact += learned(folder) == whole
        shutil.rmtree(folder)
    seconds = round(time.monotonic() - began, 1)
    print(
        json.dumps({"campaign": f"{kind} runs stopped at each step", "points": 50, "exact": exact, "seconds": seconds})
    )
    assert exact == 50


@pytest.mark.campaign
@needs_strace
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", LEARNED)
def test_t06_a_kill_at_every_operation_and_at_random_moments_of_a_save(
    kind: str, opinion_recipe: Make, memory: Path
) -> None:
    seen = saves_of(kind, opinion_recipe, memory, steps={3}, faults=["kill"], moments=40)
    assert seen["killed"] >= 70


@pytest.mark.campaign
@needs_strace
@pytest.mark.timeout(1800)
def test_t06_a_full_and_a_failing_disk_at_every_operation_of_a_save(opinion_recipe: Make, memory: Path) -> None:
    seen = saves_of("plain", opinion_recipe, memory, steps={5}, faults=["full", "io"])
    assert seen["failed"] >= 40


@pytest.mark.faults
@needs_strace
def test_t06_some_kills_and_failures_of_a_save(opinion_recipe: Make, memory: Path) -> None:
    faults = ["kill", "full", "io"]
    seen = saves_of("lora", opinion_recipe, memory, steps={2}, faults=faults, every=17, moments=4)
    assert min(seen["killed"], seen["failed"]) >= 2


@pytest.mark.faults
def test_t05_a_run_killed_again_and_again_ends_the_same(opinion_recipe: Make, memory: Path) -> None:
    assert killed_again_and_again(opinion_recipe, memory, chains=1) >= 1


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_t05_runs_killed_again_and_again_end_the_same(opinion_recipe: Make, memory: Path) -> None:
    assert killed_again_and_again(opinion_recipe, memory, chains=9) >= 20


def killed_again_and_again(make: Make, memory: Path, chains: int) -> int:
    """Kills whole runs and their resumptions at random moments; gives the kills."""
    began, kills = time.monotonic(), 0
    for number in range(chains):
        kind, chance = LEARNED[number % len(LEARNED)], random.Random(number)
        recipe = make(training__evaluate_every_steps=3, **EVERY_STEP, **KINDS[kind])
        whole = memory / kind
        if not whole.exists():
            run(recipe, home=memory, folder=whole)
        kills += killed_until_done(recipe, memory, memory / f"killed-{number}", chance, seconds=0.4)
        assert learned(memory / f"killed-{number}") == learned(whole), f"chain {number}, {kind}"
    tell(began, "runs killed until one ends", chains=chains, kills=kills)
    return kills


PARTS = ("weights.safetensors", "optimizer.safetensors", "chance.safetensors", "state.json", "MANIFEST.json")


def _flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "one byte short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "one byte long": lambda path: path.write_bytes(path.read_bytes() + b" "),
    "one bit": _flip,
    "the one before's": lambda path: shutil.copy(path.parent.with_name("checkpoint-0000003") / path.name, path),
    "a folder": _folder_instead,
    "no text": lambda path: path.write_bytes(b"\xff\xfe" * 40),
    "other JSON": lambda path: path.write_bytes(
        b'{"format": 1, "name": "", "version": "", "made_from": {}, "files": []}'
    ),
}


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_t07_every_damage_to_every_file_falls_back_with_a_sentence(
    opinion_recipe: Make, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, recipe, cases = time.monotonic(), opinion_recipe(**EVERY_STEP), 0
    run(recipe, home=memory, folder=memory / "whole")
    with stopped_after(4, monkeypatch), pytest.raises(Interrupted):
        run(recipe, home=memory, folder=memory / "stopped")
    for part in PARTS:
        for name, damage in DAMAGES.items():
            if (part, name) == ("MANIFEST.json", "one byte long"):
                continue  # white space, which changes nothing
            folder = memory / "damaged"
            shutil.copytree(memory / "stopped", folder)
            damage(folder / "checkpoints" / "checkpoint-0000004" / part)
            told: list[dict[str, Any]] = []
            resume(folder, home=memory, show=told.append)
            said = [line["message"] for line in told if "message" in line]
            assert said[0].startswith("The checkpoint checkpoint-0000004 is damaged ("), (part, name, said)
            assert said[1:] == ["Goes on from checkpoint-0000003."], (part, name)
            assert learned(folder) == learned(memory / "whole"), (part, name)
            shutil.rmtree(folder)
            cases += 1
    tell(began, "damaged checkpoints", cases=cases, fell_back=cases)


def test_t07_a_manifest_with_any_byte_changed_is_refused_or_says_the_same(
    opinion_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_after(2, monkeypatch), pytest.raises(Interrupted):
        run(opinion_recipe(**EVERY_STEP), home=tmp_path, folder=tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    path = checkpoints / "checkpoint-0000002" / "MANIFEST.json"
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        newest = newest_checkpoint(checkpoints)
        assert newest is not None
        if newest.name == "checkpoint-0000002":  # then nothing that matters was changed
            names = json.loads(path.read_bytes())["files"]
            assert {one: facts["sha256"] for one, facts in names.items()} == {
                one: facts["sha256"] for one, facts in json.loads(data)["files"].items()
            }
    for damaged in checkpoints.glob("checkpoint-*/state.json"):
        damaged.unlink()
    with pytest.raises(NoCheckpoint, match="no whole checkpoint"):
        resume(tmp_path / "run", home=tmp_path)
