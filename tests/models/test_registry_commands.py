"""`models add`, `show`, `try`, `promote` and `rollback` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForSequenceClassification

from hearth import main
from models.roles import ROLES
from tests.models.tiny_adapters import save_adapter
from tests.models.tiny_tasks import save_bert


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None) -> Any:
    """Runs `hearth models ...` and gives its exit status, JSON and the text that a person sees."""

    def run(*words: str) -> Any:
        home = ["--home", str(tmp_path / "home")]
        capsys.readouterr()
        status = main(["models", *words, *home, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return save_bert(tmp_path / "model", BertForSequenceClassification, labels=["bad", "good"])


def test_a_model_goes_from_added_to_serving_and_back(run: Any, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# Sentiment\n\nFor reviews.\n")
    card = ["--card", str(tmp_path / "card.md"), "--licence", "MIT"]
    status, added = run("add", str(classifier), "--name", "sentiment", "--role", "classify", *card)
    assert (status, added["version"], added["aliases"]) == (0, "sentiment@1", ["candidate"])
    status, shown = run("show", "sentiment")
    assert shown["card"] == "# Sentiment\n\nFor reviews.\n"
    assert (shown["licence"], shown["labels"], shown["history"]) == ("MIT", ["bad", "good"], [])
    status, switched = run("promote", "sentiment")
    assert (status, switched["before"], switched["after"]) == (0, None, "sentiment@1")
    assert switched["serving"]["model"] == "sentiment@1"
    status, listed = run("list")
    assert [one["version"] for one in listed["versions"] if not one["shipped"]] == ["sentiment@1"]
    assert [one["model"] for one in listed["roles"] if one["role"] == "classify"] == ["sentiment@1"]
    status, back = run("rollback", "classify")
    assert (status, back["before"], back["after"], back["serving"]["origin"]) == (0, "sentiment@1", None, "nothing")
    status, shown = run("show", "sentiment@1")
    assert [(change["action"], change["version"]) for change in shown["history"]] == [
        ("promote", "sentiment@1"),
        ("rollback", "sentiment@1"),
    ]


def test_a_setting_that_hides_a_promotion_is_said(run: Any, classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_CLASSIFY_MODEL", str(classifier))
    run("add", str(classifier), "--name", "sentiment", "--role", "classify")
    _, switched = run("promote", "sentiment")
    assert (switched["after"], switched["serving"]["origin"]) == ("sentiment@1", "setting")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("promote", "nobody"), "model_not_found"),
        (("rollback", "classify"), "nothing_to_roll_back"),
        (("add", "nowhere", "--name", "x", "--role", "classify"), "model_not_found"),
        (("add", "MODEL", "--name", "x", "--role", "clasify"), "unknown_role"),
        (("add", "MODEL", "--name", "chat", "--role", "classify"), "bad_entry_name"),
        (("add", "MODEL", "--name", "x", "--role", "translate"), "wrong_role"),
        (("try", "nobody-of-this-name"), "model_not_found"),
    ],
)
def test_named_failures(run: Any, classifier: Path, words: tuple[str, ...], code: str) -> None:
    status, value = run(*(str(classifier) if word == "MODEL" else word for word in words))
    assert (status, value["error"]["code"]) == (1, code)


def test_an_adapter_takes_its_base_by_name(run: Any, tiny_chat_folder: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", base="")
    status, value = run("add", str(adapter), "--name", "mine", "--role", "chat")
    assert (status, value["error"]["code"]) == (1, "broken_model")
    status, value = run("add", str(adapter), "--name", "mine", "--role", "chat", "--base", str(tiny_chat_folder))
    assert (status, value["kind"], value["base"]["name"]) == (0, "adapter", str(tiny_chat_folder))


def test_old_and_new_are_tried_side_by_side(run: Any, classifier: Path, tmp_path: Path) -> None:
    other = save_bert(tmp_path / "other", BertForSequenceClassification, labels=["bad", "good"], seed=3)
    run("add", str(classifier), "--name", "sentiment", "--role", "classify")
    status, trials = run("try", "sentiment", "the river runs", "--against", str(other))
    assert status == 0
    assert [(trial["model"], trial["role"], trial["ok"]) for trial in trials] == [
        ("sentiment", "classify", True),
        (str(other), "classify", True),
    ]
    assert all(trial["gave"].split()[0] in ("bad", "good") and trial["milliseconds"] > 0 for trial in trials)


def test_every_role_is_tried_or_says_why_not(
    run: Any,
    classifier: Path,
    tiny_chat_folder: Path,
    tiny_encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEARTH_CHAT_MODEL", str(tiny_chat_folder))
    monkeypatch.setenv("HEARTH_EMBED_MODEL", str(tiny_encoder_folder))
    monkeypatch.setenv("HEARTH_FEATURES_MODEL", str(tiny_encoder_folder))
    monkeypatch.setenv("HEARTH_CLASSIFY_MODEL", str(classifier))
    monkeypatch.setenv("HEARTH_ENTITIES_MODEL", str(tmp_path / "gone"))
    status, trials = run("try")
    assert status == 0
    assert [trial["role"] for trial in trials] == list(ROLES)
    ok = {trial["role"] for trial in trials if trial["ok"]}
    assert ok == {
        "chat",
        "embed",
        "rerank",
        "classify",
        "zero-shot",
        "translate",
        "summarize",
        "extract",
        "features",
        "route",
        "support",
    }
    for trial in trials:
        assert bool(trial["gave"]) == trial["ok"] or trial["role"] == "chat"
        assert trial["ok"] or trial["reason"]
    failed = {trial["role"]: trial for trial in trials if not trial["ok"]}
    assert "gone" in failed["entities"]["reason"]


def test_a_person_reads_sentences(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None
) -> None:
    home = ["--home", str(tmp_path / "home")]
    said = []
    for words in (
        ("add", str(classifier), "--name", "sentiment", "--role", "classify"),
        ("promote", "sentiment"),
        ("promote", "sentiment@1"),
        ("list",),
        ("show", "sentiment"),
        ("try", "sentiment", "the river runs"),
        ("rollback", "sentiment"),
    ):
        assert main(["models", *words, *home]) == 0
        said.append(capsys.readouterr().out)
    assert "hearth models promote sentiment@1" in said[0]
    assert said[1].startswith("classify: sentiment@1 serves (promoted in the registry).")
    assert "promoted already" in said[2]
    assert "sentiment@1" in said[3]
    assert "# sentiment" in said[4]
    assert " ms  " in said[5]
    assert "Before: sentiment@1" in said[6]


@pytest.mark.real_model
def test_the_embedded_models_try_their_roles(embedded_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "try", "--json"]) == 0
    found = {trial["role"]: trial for trial in json.loads(capsys.readouterr().out)}
    assert "Ida Holm" in found["chat"]["gave"]
    assert found["embed"]["gave"].startswith("384 numbers")
    assert "lighthouse" in found["rerank"]["gave"].split(";")[0]
    assert found["zero-shot"]["gave"].startswith("cooking")
    assert "Ida Holm" in found["extract"]["gave"]
    assert found["summarize"]["ok"]
    assert found["features"]["gave"] == "13 tokens of 384 numbers"
    assert found["translate"]["mend"]
