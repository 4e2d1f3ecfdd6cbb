"""The registry: versions, aliases, promotion and roll-back by hand, what is refused, kills and second processes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification

from models.catalog import find
from models.chat import open_chat_model
from models.engines.lora import AdapterMismatch
from models.errors import BrokenModel, HomeNotWritable, ModelNotFound, UnsafeModel, WrongRole
from models.manifest import intact, read_manifest
from models.registry import SHIPPED, Registry
from models.registry_errors import (
    BadEntryName,
    BaseDiffers,
    NothingToRollBack,
    NotServing,
    RegistryBroken,
    RegistryBusy,
    UnknownRole,
)
from models.registry_facts import Base
from models.registry_store import RegistryStore, State, Transaction
from models.tasks.classifier import TextClassifier
from tests.models.conftest import save_tiny_chat
from tests.models.tiny_adapters import save_adapter
from tests.models.tiny_tasks import save_bert


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def registry(home: Path, tmp_path: Path) -> Registry:
    return Registry(home, shipped=tmp_path / "shipped")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of two labels; treat it as read-only."""
    return save_bert(tmp_path_factory.mktemp("c") / "model", BertForSequenceClassification, labels=["bad", "good"])


def test_an_added_model_is_a_whole_checked_copy_with_facts_and_card(
    registry: Registry, classifier: Path, home: Path
) -> None:
    version = registry.add(classifier, "sentiment", "classify", metrics={"accuracy": 0.9}, licence="MIT")
    assert (version.label, version.aliases, version.shipped) == ("sentiment@1", ("candidate",), False)
    assert version.folder == home / "models" / "sentiment" / "1"
    assert version.facts.labels == ("bad", "good")
    assert version.facts.metrics == {"accuracy": 0.9}
    assert version.facts.parameters == sum(t.numel() for t in load_file(classifier / "model.safetensors").values())
    assert "accuracy: 0.9" in version.card
    manifest = read_manifest(version.folder)
    assert manifest is not None
    assert {"model.safetensors", "entry.json", "README.md"} <= set(manifest.files)
    assert TextClassifier("sentiment@1", home=home).name == "sentiment@1"


def test_versions_count_up_and_references_find_them(registry: Registry, classifier: Path) -> None:
    for card in ("# one", "# two", "# three"):
        registry.add(classifier, "sentiment", "classify", card=card)
    assert [version.label for version in registry.versions("sentiment")] == [
        "sentiment@1",
        "sentiment@2",
        "sentiment@3",
    ]
    assert registry.resolve("sentiment").number == 3
    assert registry.resolve("sentiment@candidate").number == 3
    assert registry.resolve("sentiment@2").card == "# two"
    with pytest.raises(ModelNotFound, match=r"no version sentiment@production.*sentiment@3 \(candidate\)"):
        registry.resolve("sentiment@production")
    registry.promote("sentiment@1")
    assert registry.resolve("sentiment").number == 1  # what serves, before what is newest
    assert registry.resolve("sentiment@production").number == 1
    assert registry.look_up("another") is None


def test_promote_and_roll_back_walk(registry: Registry, classifier: Path) -> None:
    for name in ("a", "a", "b"):
        registry.add(classifier, name, "classify")
    steps = [registry.promote("a@1"), registry.promote("b"), registry.promote("a")]
    assert [(step.before, step.after) for step in steps] == [(None, "a@1"), ("a@1", "b@1"), ("b@1", "a@2")]
    assert not registry.promote("a@2").changed
    back = [registry.rollback("classify"), registry.rollback("b")]
    assert [(step.before, step.after) for step in back] == [("a@2", "b@1"), ("b@1", "a@1")]
    again = registry.promote("b@1")
    assert (again.before, again.after) == ("a@1", "b@1")
    assert [registry.rollback("classify").after for _ in range(2)] == ["a@1", None]
    assert registry.serving("classify") is None
    with pytest.raises(NothingToRollBack):
        registry.rollback("classify")
    history = [(change.action, change.label) for change in registry.history("classify")]
    assert history == [
        ("promote", "a@1"), ("promote", "b@1"), ("promote", "a@2"), ("rollback", "a@2"), ("rollback", "b@1"),
        ("promote", "b@1"), ("rollback", "b@1"), ("rollback", "a@1"),
    ]  # fmt: skip
    assert all(change.at.endswith("+00:00") for change in registry.history("classify"))


def test_a_roll_back_by_name_wants_the_one_that_serves(registry: Registry, classifier: Path) -> None:
    registry.add(classifier, "a", "classify")
    registry.add(classifier, "b", "classify")
    registry.promote("a")
    with pytest.raises(NotServing, match="a@1"):
        registry.rollback("b")
    assert registry.serving("classify").label == "a@1"  # type: ignore[union-attr]


def test_unknown_names_give_the_nearest(registry: Registry, classifier: Path) -> None:
    with pytest.raises(ModelNotFound, match="empty"):
        registry.promote("sentiment")
    registry.add(classifier, "sentiment", "classify")
    with pytest.raises(ModelNotFound, match="did you mean sentiment"):
        registry.promote("sentimnt")
    with pytest.raises(ModelNotFound, match="did you mean sentiment"):
        registry.rollback("sentimant")
    with pytest.raises(UnknownRole, match="classify"):
        registry.add(classifier, "x", "clasify")


@pytest.mark.parametrize("name", ["Big", "../up", "a b", "", "classify", "all-minilm-l6-v2", "org--name", "converted"])
def test_names_that_cannot_be(registry: Registry, classifier: Path, name: str) -> None:
    with pytest.raises(BadEntryName):
        registry.add(classifier, name, "classify")


def test_m04_code_pickles_and_links_are_refused(
    registry: Registry, classifier: Path, tmp_path: Path, home: Path
) -> None:
    for bad in ("training_args.bin", "modeling.py"):
        folder = Path(shutil.copytree(classifier, tmp_path / bad))
        (folder / bad).write_bytes(b"x")
        with pytest.raises(UnsafeModel, match=bad):
            registry.add(folder, "x", "classify")
    linked = Path(shutil.copytree(classifier, tmp_path / "linked"))
    (linked / "vocab.txt").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeModel, match="link"):
        registry.add(linked, "x", "classify")
    assert registry.versions() == []
    assert not (home / "models" / "x" / "1").exists()


def test_a_conversion_beside_the_weights_is_left_behind(registry: Registry, classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "converted"))
    (folder / "openvino-int8").mkdir()
    (folder / "openvino-int8" / "openvino_model.bin").write_bytes(b"x")
    version = registry.add(folder, "x", "classify")
    assert not (version.folder / "openvino-int8").exists()


def test_m03_nan_and_the_wrong_role_are_refused(
    registry: Registry, classifier: Path, tmp_path: Path, home: Path
) -> None:
    broken = Path(shutil.copytree(classifier, tmp_path / "nan"))
    tensors = load_file(broken / "model.safetensors")
    tensors["classifier.bias"] = torch.tensor([float("nan"), 0.0])
    save_file(tensors, str(broken / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=r"classifier\.bias"):
        registry.add(broken, "x", "classify")
    with pytest.raises(WrongRole, match="classify"):
        registry.add(classifier, "x", "entities")
    with pytest.raises(WrongRole):
        registry.add(classifier, "x", "chat")
    assert [path.name for path in (home / "models" / "x").iterdir()] == [".lock"]


def test_m02_files_changed_after_adding_are_noticed(registry: Registry, classifier: Path) -> None:
    version = registry.add(classifier, "sentiment", "classify")
    registry.promote("sentiment")
    (version.folder / "config.json").write_text("{}")
    with pytest.raises(BrokenModel, match="rollback classify"):
        registry.resolve("sentiment@1")
    with pytest.raises(BrokenModel):
        registry.serving("classify")
    assert registry.rollback("sentiment").after is None


def test_m07_an_adapter_for_another_base_is_refused_with_both_names(
    registry: Registry, tiny_chat_folder: Path, tmp_path: Path, home: Path
) -> None:
    base = str(tiny_chat_folder)
    adapter = save_adapter(tmp_path / "adapter", base=base)
    other = save_tiny_chat(tmp_path / "other", seed=1)
    with pytest.raises(BaseDiffers) as found:
        registry.add(adapter, "mine", "chat", base=Base.of(str(other), home))
    assert str(tiny_chat_folder) in str(found.value)
    assert str(other) in str(found.value)
    with pytest.raises(BaseDiffers):  # the base's weights were others when the training began
        registry.add(adapter, "mine", "chat", base=Base(base, "0" * 64))
    for folder, problem in (
        (save_adapter(tmp_path / "wide", base=base, inputs=48), "reads 48 numbers and the base's 32"),
        (save_adapter(tmp_path / "tall", base=base, outputs=64), "gives 64 numbers and the base's 32"),
        (save_adapter(tmp_path / "lost", base=base, layer="w_proj"), "no layer"),
    ):
        with pytest.raises(AdapterMismatch, match=problem):
            registry.add(folder, "mine", "chat")
    version = registry.add(adapter, "mine", "chat")
    assert version.facts.kind == "adapter"
    assert version.facts.base == Base.of(base, home)


def test_a_registered_chat_model_answers_under_its_version(
    registry: Registry, tiny_chat_folder: Path, home: Path
) -> None:
    registry.add(tiny_chat_folder, "mine", "chat")
    model = open_chat_model("mine", home=home, max_new_tokens=3)
    assert model.model == "mine@1"
    assert model.invoke("hello").response_metadata["model_name"] == "mine@1"
    with pytest.raises(WrongRole):
        find("mine", "embed", home)


def test_shipped_entries_are_read_only_versions(
    registry: Registry, classifier: Path, tmp_path: Path, home: Path
) -> None:
    made = Registry(tmp_path / "maker").add(classifier, "judge", "classify", card="# shipped")
    shutil.copytree(made.folder, tmp_path / "shipped" / "judge" / "1")
    shipped = registry.shipped_for("classify")
    assert shipped is not None
    assert (shipped.label, shipped.shipped, shipped.card) == ("judge@1", True, "# shipped")
    own = registry.add(classifier, "judge", "classify")
    assert (own.number, own.shipped) == (2, False)
    assert not (home / "models" / "judge" / "1").exists()
    registry.promote("judge@1")
    assert registry.serving("classify") == registry.resolve("judge@1")


def test_a_kill_between_copy_and_registration_leaves_the_old_state(
    registry: Registry, classifier: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    registry.add(classifier, "sentiment", "classify")

    def killed(self: Transaction, *_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.add(classifier, "sentiment", "classify", card="# lost")
    assert (home / "models" / "sentiment" / "2").is_dir()
    assert [version.label for version in registry.versions()] == ["sentiment@1"]
    assert registry.add(classifier, "sentiment", "classify", card="# kept").card == "# kept"
    assert [version.label for version in registry.versions()] == ["sentiment@1", "sentiment@2"]


def test_a_kill_within_a_promotion_leaves_what_served(
    registry: Registry, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(classifier, "sentiment", "classify")
    registry.promote("sentiment@1")
    registry.add(classifier, "sentiment", "classify")
    change = Transaction.change

    def killed(self: Transaction, *facts: object) -> None:
        change(self, *facts)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "change", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.promote("sentiment@2")
    assert registry.resolve("sentiment@production").number == 1
    assert len(registry.history("classify")) == 1


def test_a_failed_copy_leaves_nothing(
    registry: Registry, classifier: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("models.prepare.write_manifest", full)
        with pytest.raises(HomeNotWritable, match="No space"):
            registry.add(classifier, "sentiment", "classify")
    assert [path.name for path in (home / "models" / "sentiment").iterdir()] == [".lock"]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "newer", "tables"])
def test_k06_a_damaged_registry_is_named_and_never_written(
    registry: Registry, classifier: Path, home: Path, damage: str
) -> None:
    registry.add(classifier, "sentiment", "classify")
    registry.promote("sentiment")
    path = home / "models" / "registry.sqlite"
    whole = path.read_bytes()
    if damage in ("newer", "tables"):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99" if damage == "newer" else "DROP TABLE changes")
        connection.close()
    else:
        path.write_bytes({"empty": b"", "text": b"hello" * 2000, "cut": whole[: len(whole) // 2]}[damage])
    before = path.read_bytes()
    for attempt in (
        lambda: registry.versions(),
        lambda: registry.promote("sentiment"),
        lambda: registry.add(classifier, "sentiment", "classify"),
    ):
        with pytest.raises(RegistryBroken, match="move it away"):
            attempt()
    assert path.read_bytes() == before
    path.unlink()  # what the sentence advises
    assert [version.label for version in registry.versions()] == ["sentiment@1"]
    assert registry.serving("classify") is None
    registry.promote("sentiment")
    assert registry.serving("classify").label == "sentiment@1"  # type: ignore[union-attr]


def test_a_registry_that_another_process_holds_says_so(
    registry: Registry, classifier: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(classifier, "sentiment", "classify")
    monkeypatch.setattr("models.registry_store._WAIT_SECONDS", 0.05)
    other = sqlite3.connect(home / "models" / "registry.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert [version.label for version in registry.versions()] == ["sentiment@1"]  # readers are never refused
    with pytest.raises(RegistryBusy):
        registry.promote("sentiment")
    other.close()
    assert registry.promote("sentiment").changed


_WORK = """
import sys, time
from pathlib import Path
from models import registry_checks
from models.registry import Registry

home, source, name, start = sys.argv[1:]
registry_checks.refuse_not_finite = lambda *_: None  # the only part that would load torch
print("ready", flush=True)
while not Path(start).exists():
    time.sleep(0.001)
registry = Registry(Path(home))
for _ in range(3):
    registry.add(source, "shared", "classify")
    registry.promote("shared")
registry.add(source, name, "classify")
"""


def test_k09_two_processes_add_and_promote_at_once(classifier: Path, home: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORK, str(home), str(classifier), name, str(start)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        )
        for name in ("x", "y")
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    start.touch()
    assert [worker.communicate(timeout=60) and worker.returncode for worker in workers] == [0, 0]
    registry = Registry(home)
    own = [version.label for version in registry.versions() if not version.shipped]
    assert own == [*(f"shared@{n}" for n in range(1, 7)), "x@1", "y@1"]
    stack = registry._store.state().promoted("classify")
    served = [change.number for change in stack]
    assert len(served) == len(registry.history("classify"))
    assert all(before != after for before, after in pairwise(served))


def test_reading_makes_no_file(registry: Registry, home: Path) -> None:
    assert registry.versions() == []
    assert registry.serving("chat") is None
    assert not home.exists()
    assert RegistryStore(home, list).state() == State()


def test_an_entry_carries_its_facts_as_json(registry: Registry, classifier: Path) -> None:
    version = registry.add(classifier, "sentiment", "classify", labels=("no", "yes"), metrics={"f1": 0.5})
    written = json.loads((version.folder / "entry.json").read_text())
    assert written["labels"] == ["no", "yes"]
    assert written["metrics"] == {"f1": 0.5}
    assert written["role"] == "classify"


def test_the_first_entry_of_a_home_that_holds_other_models_already(
    registry: Registry, classifier: Path, home: Path
) -> None:
    (home / "models" / "smollm2-135m-instruct" / "0.1.2").mkdir(parents=True)  # prepared before anything was registered
    assert registry.add(classifier, "sentiment", "classify").label == "sentiment@1"
    assert [version.label for version in registry.versions()] == ["sentiment@1"]


def test_what_ships_is_whole_and_reading_it_changes_no_file() -> None:
    for manifest in SHIPPED.glob("*/*/MANIFEST.json"):
        before = manifest.read_bytes()
        found = read_manifest(manifest.parent)
        assert found is not None
        assert intact(manifest.parent, found)
        assert manifest.read_bytes() == before
        assert {path.name for path in manifest.parent.iterdir()} == {*found.files, "MANIFEST.json"}
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 40 * 10**6
