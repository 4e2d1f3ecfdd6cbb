"""No version serves whose adapter, merged and converted forms differ, or that is shown other tokens than it learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification, BertModel

from models import chat_adapters
from models.engines.openvino import available
from models.engines.openvino_convert import _made_from, convert, converted_folder, is_ready
from models.exports import whole
from models.loading import load_tokenizer
from models.manifest import MANIFEST, write_manifest
from models.memory import loaded_keys, unload_all
from models.probes import FILE, probe_problems, write_probes
from models.registry import Registry
from models.registry_errors import PromotionRefused
from models.registry_facts import Base
from tests.models.conftest import save_tiny_encoder
from tests.models.tiny_adapters import save_task_adapter
from tests.models.tiny_openvino import save_adapter, save_llama
from tests.models.tiny_tasks import save_bert

pytestmark = pytest.mark.usefixtures("no_kept_models", "float32")
needs_openvino = pytest.mark.skipif(not available(), reason="openvino and nncf are not installed here")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path, shipped=tmp_path / "shipped")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny base and an adapter on it; treat them as read-only."""
    folder = tmp_path_factory.mktemp("chat")
    base = save_llama(folder / "base")
    save_adapter(base, folder / "adapter")
    return base, folder / "adapter"


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with a head on a tiny encoder; treat it as read-only."""
    folder = tmp_path_factory.mktemp("judge")
    base = save_bert(folder / "base", BertModel)
    return save_task_adapter(folder / "adapter", base, BertForSequenceClassification, num_labels=2)


def refused(registry: Registry, name: str, role: str, words: str) -> None:
    with pytest.raises(PromotionRefused, match=words):
        registry.promote(name)
    assert registry.serving(role) is None
    assert registry.history(role) == []


def with_base(registry: Registry, chat: tuple[Path, Path], home: Path, name: str = "voice") -> None:
    registry.add(chat[1], name, "chat", base=Base.of(str(chat[0]), home))


def test_an_adapter_whose_merged_form_agrees_is_promoted(
    registry: Registry, chat: tuple[Path, Path], judge: Path, tmp_path: Path
) -> None:
    with_base(registry, chat, tmp_path)
    registry.add(judge, "judge", "classify")
    assert registry.promote("voice").after == "voice@1"
    assert registry.promote("judge").after == "judge@1"
    assert not list((tmp_path / "models").glob(".tmp*"))
    assert not [key for key in loaded_keys() if any(".tmp" in str(part) for part in key)]


def test_an_adapter_that_merges_into_another_model_is_refused_with_the_numbers(
    registry: Registry, chat: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = chat_adapters.write_merged_chat

    def tampered(base: Path, adapter: Path, target: Path) -> None:
        write(base, adapter, target)
        tensors = load_file(target / "model.safetensors")
        tensors["model.layers.1.mlp.up_proj.weight"] *= 3
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})

    with_base(registry, chat, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(chat_adapters, "write_merged_chat", tampered)
        refused(registry, "voice", "chat", r"merged, .*log-likelihoods differ by \d\.\d+ where at most 0\.2")
    assert registry.promote("voice").changed


def test_a_merged_form_with_another_template_is_refused(
    registry: Registry, chat: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = chat_adapters.write_merged_chat

    def tampered(base: Path, adapter: Path, target: Path) -> None:
        write(base, adapter, target)
        (target / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")

    with_base(registry, chat, tmp_path)
    monkeypatch.setattr(chat_adapters, "write_merged_chat", tampered)
    refused(registry, "voice", "chat", "merged, its tokenizer or chat template gives other tokens")


def test_a_task_adapter_that_merges_wrongly_is_refused(
    registry: Registry, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_adapter(folder: Path, base: Path, auto_class: str, dtype: Any) -> Any:
        return BertForSequenceClassification.from_pretrained(base, num_labels=2, dtype=dtype)

    registry.add(judge, "judge", "classify")
    monkeypatch.setattr(whole, "put_together", without_adapter)
    refused(registry, "judge", "classify", r"merged, a probability differs by 0\.\d+ where at most 0\.005")


@needs_openvino
def test_a_converted_form_of_another_model_is_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    version = registry.add(save_tiny_encoder(tmp_path / "encoder"), "vectors", "embed")
    tensors = load_file(tmp_path / "encoder" / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] = tensors["embeddings.word_embeddings.weight"].flip(0)
    save_file(tensors, tmp_path / "encoder" / "model.safetensors", metadata={"format": "pt"})
    target = converted_folder(version.folder, tmp_path, "vectors")
    shutil.copytree(convert(tmp_path / "encoder", tmp_path, name="other", form="vectors"), target)
    (target / MANIFEST).unlink()
    write_manifest(target, name="vectors", version="1", made_from=_made_from(version.folder, "vectors"))
    assert is_ready(version.folder, tmp_path, "vectors")
    refused(registry, "vectors", "embed", r"converted, the least cosine .* is -?\d\.\d+ where at least 0\.998")
    shutil.rmtree(target)
    assert registry.promote("vectors").changed


def test_tokens_that_training_did_not_see_are_refused(
    registry: Registry, chat: tuple[Path, Path], tmp_path: Path
) -> None:
    trained = tmp_path / "trained"
    whole.copy_files(chat[0], trained)
    write_probes(trained, load_tokenizer(trained))
    registry.add(trained, "mine", "chat")
    assert registry.promote("mine").changed
    unload_all()
    template = (trained / "chat_template.jinja").read_text()
    (trained / "chat_template.jinja").write_text("Be brief." + template)
    registry.add(trained, "yours", "chat")
    with pytest.raises(
        PromotionRefused, match=r"6 of 6 probe texts other tokens than it learned from \(\d+ and \d+ tok"
    ):
        registry.promote("yours")
    assert registry.serving("chat").label == "mine@1"  # type: ignore[union-attr]


def test_an_adapters_tokens_are_those_of_its_base(registry: Registry, judge: Path, tmp_path: Path) -> None:
    trained = Path(shutil.copytree(judge, tmp_path / "trained"))
    base = json.loads((trained / "adapter_config.json").read_text())["base_model_name_or_path"]
    write_probes(trained, load_tokenizer(Path(base)))
    assert probe_problems(trained, load_tokenizer(Path(base))) == []
    kept = json.loads((trained / FILE).read_text())
    kept["tokens"][2][3] += 1
    (trained / FILE).write_text(json.dumps(kept))
    registry.add(trained, "judge", "classify")
    refused(registry, "judge", "classify", "1 of 6 probe texts .* the first difference at 3")


def test_what_serves_already_is_not_checked_again(
    registry: Registry, chat: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_base(registry, chat, tmp_path)
    registry.promote("voice")
    monkeypatch.setattr("models.promotion.check_before_promotion", lambda *_: pytest.fail("checked"))
    assert not registry.promote("voice").changed
