"""A push sends an entry's own files and its card to a stand-in for the hub, and refuses what should not leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from transformers import BertForSequenceClassification

import hearth
from models import push as pushing
from models.errors import BrokenModel, ModelNotFound
from models.push import PushFailed, PushRefused, push
from models.registry import Registry
from models.registry_facts import Base
from tests.models.conftest import save_tiny_chat
from tests.models.hub_server import COMMIT, TOKEN, Hub, running_hub
from tests.models.tiny_adapters import save_adapter
from tests.models.tiny_tasks import save_bert

REPO = "ann/sentiment"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, as this process's hub; a token that may write."""
    with running_hub() as found:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", found.url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(pushing, "asked_offline", lambda: False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with one entry, `sentiment`."""
    model = save_bert(tmp_path / "made", BertForSequenceClassification, labels=["bad", "good"])
    Registry(tmp_path / "home").add(model, "sentiment", "classify", licence="Apache-2.0", card="# sentiment\n\nKind.")
    return tmp_path / "home"


def test_the_entrys_files_and_card_arrive_and_nothing_else(hub: Hub, home: Path) -> None:
    folder = home / "models" / "sentiment" / "1"
    (folder / "secret.txt").write_text("not the entry's")
    (folder / "openvino-scores").mkdir()
    (folder / "openvino-scores" / "openvino_model.bin").write_bytes(b"made here")
    pushed = push("sentiment", REPO, home=home)
    assert (pushed.version, pushed.commit) == ("sentiment@1", COMMIT)
    assert hub.repos == {REPO: True}
    sent = hub.files[REPO]
    assert set(sent) == set(pushed.files) == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    }  # fmt: skip
    assert all(content == (folder / name).read_bytes() for name, content in sent.items())
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert huggingface_hub.constants.HF_HUB_OFFLINE


def test_the_verb_reads_the_address_and_the_token_from_the_environment(home: Path) -> None:
    with running_hub() as found:
        environment = {
            **{name: value for name, value in os.environ.items() if "OFFLINE" not in name},
            "HF_ENDPOINT": found.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        words = [sys.executable, "-m", "hearth", "models", "push", "sentiment@1", REPO, "--public", "--json"]
        done = subprocess.run(
            [*words, "--home", str(home)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["url"] == f"{found.url}/{REPO}"
        assert found.repos == {REPO: False}
        refused = subprocess.run(
            [*words, "--home", str(home)],
            env=environment | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert refused.returncode == 1
    assert "HF_HUB_OFFLINE" in refused.stderr
    assert "Traceback" not in refused.stderr


def nothing_sent(hub: Hub) -> bool:
    return hub.requests == [] and hub.files == {}


def test_without_a_token_nothing_is_sent(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PushRefused, match="there is no token: run `hf auth login`"):
        push("sentiment", REPO, home=home)
    assert nothing_sent(hub)


def test_offline_nothing_is_sent(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "asked_offline", lambda: True)
    with pytest.raises(PushRefused, match="stays off the network"):
        push("sentiment", REPO, home=home)
    assert nothing_sent(hub)


@pytest.mark.parametrize("licence", ["research use", "CC-BY-NC-4.0", "non-commercial", None])
def test_a_restricted_licence_wants_a_persons_word(
    hub: Hub, home: Path, licence: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    Registry(home).add(home / "models" / "sentiment" / "1", "mood", "classify", licence=licence)
    with pytest.raises(PushRefused, match="--confirm-licence"):
        push("mood", REPO, home=home)
    assert nothing_sent(hub)
    assert hearth.main(["models", "push", "mood", REPO, "--confirm-licence", "--home", str(home)]) == 0
    assert f"mood@1, 5 files, is at {hub.url}/{REPO}" in capsys.readouterr().out


def test_files_that_name_a_folder_of_this_machine_stay(hub: Hub, home: Path, tmp_path: Path) -> None:
    base = save_tiny_chat(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base=str(base))
    Registry(home).add(adapter, "voice", "chat", base=Base.of(str(base), home), licence="MIT")
    with pytest.raises(PushRefused, match=r"adapter_config\.json names .*base, a folder of this machine"):
        push("voice", REPO, home=home)
    card = f"# mood\n\nMade in {home}/runs."
    Registry(home).add(home / "models" / "sentiment" / "1", "mood", "classify", licence="MIT", card=card)
    with pytest.raises(PushRefused, match=r"README\.md names"):
        push("mood", REPO, home=home)
    assert nothing_sent(hub)


def test_a_name_that_is_no_repository_or_entry(hub: Hub, home: Path) -> None:
    with pytest.raises(PushRefused, match="owner/name"):
        push("sentiment", "sentiment", home=home)
    with pytest.raises(ModelNotFound, match="did you mean sentiment"):
        push("sentimnt", REPO, home=home)
    (home / "models" / "sentiment" / "1" / "config.json").write_text("{}")
    with pytest.raises(BrokenModel):
        push("sentiment", REPO, home=home)
    assert nothing_sent(hub)


@pytest.mark.parametrize("part", ["/commit/", "/blob/", "/repos/create"])
def test_a_hub_that_fails_is_one_sentence_and_the_next_push_arrives(
    hub: Hub, home: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits before it tries again
    hub.fails = part
    with pytest.raises(PushFailed, match="could not be pushed to ann/sentiment") as caught:
        push("sentiment", REPO, home=home)
    assert TOKEN not in str(caught.value)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    hub.fails = "nothing"
    assert push("sentiment", REPO, home=home).commit == COMMIT


def test_a_token_that_may_not_write_is_one_sentence(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(PushFailed, match="what the token may write"):
        push("sentiment", REPO, home=home)
    assert hub.files == {}


def test_a_hub_that_is_not_there_is_one_sentence(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushFailed, match="could not be pushed"):
        push("sentiment", REPO, home=home)
