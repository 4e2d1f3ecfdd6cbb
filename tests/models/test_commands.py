"""The `models` verbs and the pulling of a hub model, the hub being a folder on this disk."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import huggingface_hub
import pytest
from safetensors.torch import load_file, save_file

from hearth import main
from models import commands
from models.chat import open_chat_model
from models.errors import BrokenModel, HubFailed, ModelNotFound, ModelNotLocal, UnsafeModel
from models.profiles import PROFILE_NAMES, all_profiles
from models.roles import ROLES

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def verb(tmp_path: Path) -> Callable[..., Any]:
    """Runs `models ...` and gives the value; what a person reads must be text without a traceback."""

    def run(*words: str) -> Any:
        parser = argparse.ArgumentParser()
        commands.add_verbs(parser.add_subparsers(), argparse.ArgumentParser(add_help=False))
        args = parser.parse_args(["models", *words])
        value = args.handler(args, SimpleNamespace(home=tmp_path / "home"))
        assert json.loads(json.dumps(value)) == value
        assert isinstance(args.render(value), str)
        return value

    return run


@pytest.fixture
def hub(tiny_chat_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A hub with one model, `org/tiny`, in a folder that a test may change."""
    folder = Path(shutil.copytree(tiny_chat_folder, tmp_path / "hub"))

    def snapshot(self: object, repo: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> str:
        assert os.environ["HF_HUB_OFFLINE"] == "0"
        shutil.copytree(folder, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    def info(self: object, repo: str, *, revision: str | None) -> SimpleNamespace:
        if repo != "org/tiny":
            raise httpx.ConnectError("no route")
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(huggingface_hub.HfApi, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    return folder


def test_the_list_says_which_embedded_models_are_ready(verb: Callable[..., Any]) -> None:
    listed = verb("list")
    assert [(fact["name"], fact["role"], fact["ready"]) for fact in listed["models"]] == [
        ("smollm2-135m-instruct", "chat", False),
        ("all-minilm-l6-v2", "embed", False),
    ]
    assert [one["role"] for one in listed["roles"]] == list(ROLES)
    assert [one["name"] for one in listed["profiles"]] == ["tiny", "small", "base", "gpu"]
    assert listed["profile"]["name"] in PROFILE_NAMES
    small = listed["profiles"][1]["roles"]["chat"]
    assert small["model"] == "Qwen/Qwen3-0.6B"
    assert small["licence"] == "Apache-2.0"
    assert not small["pulled"]
    assert all(version["shipped"] for version in listed["versions"])


def test_show_counts_a_folders_parameters(verb: Callable[..., Any], tiny_chat_folder: Path) -> None:
    shown = verb("show", str(tiny_chat_folder))
    assert shown["architecture"] == "LlamaForCausalLM"
    assert shown["parameters"] * 4 < shown["size_bytes"] < shown["parameters"] * 4 + 10_000
    with pytest.raises(ModelNotFound, match="smollm2-135m-instruct"):
        verb("show", "smollm2")


def test_a_pulled_model_answers_offline_and_is_listed(verb: Callable[..., Any], hub: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(ModelNotLocal):
        open_chat_model("org/tiny", home=home).load()
    pulled = verb("pull", "org/tiny@main")
    assert pulled == {"pulled": {"org/tiny@main": str(home / "models" / "org--tiny" / COMMIT)}, "failed": []}
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    shutil.rmtree(hub)
    for name in ("org/tiny", "org/tiny@main", f"org/tiny@{COMMIT}"):
        answer = open_chat_model(name, home=home, max_new_tokens=3).invoke("hello")
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] == 3
    with pytest.raises(ModelNotLocal):
        open_chat_model("org/tiny@other", home=home).load()
    assert [fact["name"] for fact in verb("list")["models"]][2:] == [f"org/tiny@{COMMIT}"]


def test_m04_an_unsafe_model_is_not_kept(verb: Callable[..., Any], hub: Path, tmp_path: Path) -> None:
    (hub / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "code.Model"}}))
    with pytest.raises(UnsafeModel):
        verb("pull", "org/tiny")
    assert [p.name for p in (tmp_path / "home" / "models" / "org--tiny").iterdir()] == [".lock"]


def test_m03_a_model_with_nan_is_not_kept(verb: Callable[..., Any], hub: Path, tmp_path: Path) -> None:
    tensors = load_file(hub / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, str(hub / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=r"model\.norm\.weight"):
        verb("pull", "org/tiny")
    assert [p.name for p in (tmp_path / "home" / "models" / "org--tiny").iterdir()] == [".lock"]


def test_m01_a_hub_that_does_not_answer_is_one_sentence(verb: Callable[..., Any], hub: Path) -> None:
    with pytest.raises(HubFailed, match="no route") as found:
        verb("pull", "org/elsewhere")
    assert found.value.code == "hub_failed"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_only_hub_models_are_pulled(verb: Callable[..., Any]) -> None:
    with pytest.raises(ModelNotFound, match="on this machine already"):
        verb("pull", "smollm2-135m-instruct")


def test_a_whole_profile_is_pulled_and_what_fails_is_named(
    tiny_chat_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def snapshot(self: object, repo: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> str:
        shutil.copytree(tiny_chat_folder, local_dir, dirs_exist_ok=True)
        return str(local_dir)

    def info(self: object, repo: str, *, revision: str | None) -> SimpleNamespace:
        if repo == "dslim/distilbert-NER":
            raise httpx.ConnectError("no route")
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(huggingface_hub.HfApi, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    arguments = ["models", "pull", "--profile", "small", "--json", "--home", str(tmp_path / "home")]
    assert main(arguments) == 1
    value = json.loads(capsys.readouterr().out)
    names = {model.name for model in all_profiles()["small"].models}
    assert set(value["pulled"]) == names - {"dslim/distilbert-NER"}
    assert [(one["model"], one["code"]) for one in value["failed"]] == [("dslim/distilbert-NER", "hub_failed")]
    with pytest.raises(SystemExit):
        main(["models", "pull", "--home", str(tmp_path / "home")])
    assert "a NAME is missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["models", "pull", "--profile", "smal", "--home", str(tmp_path / "home")])
    assert "did you mean 'small'" in capsys.readouterr().err
