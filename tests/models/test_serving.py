"""Which model serves a role: setting, registry, what is pulled of the profile, what comes with Hearth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import BertForSequenceClassification

from agent.assembly import House
from agent.settings import Settings
from models.machine import Machine
from models.manifest import write_manifest
from models.registry import Registry
from models.registry_errors import RegistryBroken, UnknownRole
from models.roles import ROLES
from models.serving import Roles, setting_of
from models.tasks.open import Tasks
from models.tasks.reranker import Reranker
from tests.models.tiny_tasks import save_bert

GB = 10**9
LAPTOP = Machine(memory_bytes=16 * GB, free_memory_bytes=8 * GB, cores=4, disk_free_bytes=200 * GB)
DESK = replace(LAPTOP, cores=16)


def roles(home: Path, machine: Machine = LAPTOP, profile: str = "auto", **configured: str) -> Roles:
    return Roles(home, configured=configured, profile=profile, machine=lambda: machine)


def pretend_pulled(home: Path, name: str, source: Path) -> None:
    """Lays a folder where `hearth models pull` would have put it."""
    target = home / "models" / name.replace("/", "--") / "c0ffee"
    shutil.copytree(source, target)
    write_manifest(target, name=name, version="c0ffee", made_from={"hub": name, "revision": "main"})


def test_each_origin_wins_over_the_next(tmp_path: Path, tiny_chat_folder: Path) -> None:
    home = tmp_path / "home"
    first = roles(home).serving("chat")
    assert (first.name, first.origin) == ("assistant@1", "shipped")
    pretend_pulled(home, "Qwen/Qwen3-0.6B", tiny_chat_folder)
    pulled = roles(home).serving("chat")
    assert (pulled.name, pulled.origin) == ("Qwen/Qwen3-0.6B", "profile")
    assert "profile small" in pulled.reason
    Registry(home).add(tiny_chat_folder, "mine", "chat")
    assert roles(home).serving("chat") == pulled  # a candidate does not serve
    Registry(home).promote("mine")
    promoted = roles(home).serving("chat")
    assert (promoted.name, promoted.origin) == ("mine@1", "registry")
    named = roles(home, chat="smollm2-135m-instruct").serving("chat")
    assert (named.name, named.origin) == ("smollm2-135m-instruct", "setting")
    assert "chat_model" in named.reason
    Registry(home).rollback("chat")
    assert roles(home).serving("chat") == pulled


def test_a_profile_serves_only_what_is_pulled_and_the_smaller_one_stands_in(
    tmp_path: Path, tiny_chat_folder: Path
) -> None:
    pretend_pulled(tmp_path, "Qwen/Qwen3-0.6B", tiny_chat_folder)
    found = {serving.role: serving for serving in roles(tmp_path, DESK).all()}
    assert found["chat"].name == "Qwen/Qwen3-0.6B"
    assert found["chat"].mend == "hearth models pull Qwen/Qwen3-4B-Instruct-2507"
    assert found["summarize"].name == "Qwen/Qwen3-0.6B"
    assert found["embed"].origin == "embedded"
    assert roles(tmp_path, DESK, profile="tiny").serving("chat").origin == "shipped"
    weak = replace(LAPTOP, cores=1)
    assert roles(tmp_path, weak).serving("chat").origin == "shipped"
    damaged = next((tmp_path / "models").glob("Qwen--*/c0ffee/model.safetensors"))
    damaged.write_bytes(b"")
    assert roles(tmp_path, DESK).serving("chat").origin == "shipped"


def test_every_role_says_what_serves_it_or_why_nothing_does(tmp_path: Path) -> None:
    found = roles(tmp_path).all()
    assert [serving.role for serving in found] == list(ROLES)
    assert all(serving.reason for serving in found)
    nothing = {serving.role for serving in found if serving.origin == "nothing"}
    assert nothing == {"classify", "entities", "vision", "speech", "fill-mask", "table-answer"}
    assert all(serving.mend for serving in found if serving.role in nothing)
    with pytest.raises(UnknownRole, match="translate"):
        roles(tmp_path).serving("translation")


def test_a_damaged_registry_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "registry.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(RegistryBroken):
        roles(tmp_path).serving("chat")
    assert "registry" in roles(tmp_path).all()[0].reason


def test_the_settings_of_a_house_are_asked_by_role(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, rerank_model="my/reranker", tasks={"image-text-to-text": "my/eyes"})
    asked = Roles.of(SimpleNamespace(home=tmp_path, settings=settings))
    assert asked.serving("rerank").name == "my/reranker"
    assert asked.serving("vision").name == "my/eyes"
    assert asked.task_models(settings.tasks) == {"image-text-to-text": "my/eyes"}
    assert {role for role in ROLES if hasattr(settings, setting_of(role))} == set(ROLES) - {
        "vision", "speech",
    }  # fmt: skip


def test_tasks_are_kept_and_a_promotion_is_taken_up(tmp_path: Path, float32: None) -> None:
    folder = save_bert(tmp_path / "model", BertForSequenceClassification, labels=["no"], window=48)
    tasks = Tasks(tmp_path, chat=pytest.fail, embeddings=lambda: SimpleNamespace(model="none"), roles=roles(tmp_path))
    assert tasks.ranker().name == "reranker@1"  # type: ignore[union-attr]  # the one that comes with Hearth
    Registry(tmp_path).add(folder, "sorter", "rerank")
    Registry(tmp_path).promote("sorter")
    first = tasks.ranker()
    assert isinstance(first, Reranker)
    assert first.name == "sorter@1"
    assert tasks.ranker() is first
    Registry(tmp_path).add(folder, "sorter", "rerank")
    Registry(tmp_path).promote("sorter")
    assert tasks.ranker().name == "sorter@2"  # type: ignore[union-attr]


def test_a_house_opens_what_serves_and_reranks_with_it(
    tmp_path: Path, tiny_encoder_folder: Path, float32: None
) -> None:
    folder = save_bert(tmp_path / "model", BertForSequenceClassification, labels=["no"], window=48)
    home = tmp_path / "home"
    Registry(home).add(tiny_encoder_folder, "vectors", "embed")
    Registry(home).promote("vectors")
    Registry(home).add(folder, "judge", "rerank")
    Registry(home).promote("judge")
    with House(Settings(home=home, collection="c")) as house:
        assert house.embeddings().model == "vectors@1"  # type: ignore[attr-defined]
        (tmp_path / "a.txt").write_text("the river runs past old towns", encoding="utf-8")
        house.library().add([tmp_path / "a.txt"], collection="c")
        (hit,) = house.library().search("the river", collections=["c"])
        assert hit.page_content == "the river runs past old towns"
        assert house.tasks().reranker() is house.tasks().reranker()


def test_the_answer_names_the_version(tmp_path: Path, tiny_chat_folder: Path) -> None:
    from agent.answering import model_name

    home = tmp_path / "home"
    Registry(home).add(tiny_chat_folder, "mine", "chat")
    Registry(home).promote("mine")
    with House(Settings(home=home)) as house:
        assert model_name(house.chat_model()) == "mine@1"
