"""Adapters of a chat model: the same words as the merged model on both engines, one base in memory, misfits refused."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from langchain_core.messages import HumanMessage
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from models import loading
from models.catalog import find
from models.chat import LocalChatModel
from models.chat_adapters import ModelExists, NoAdapter, adapted_choice, merge_adapter
from models.engines.choice import engine_choice
from models.engines.lora import AdapterMismatch
from models.engines.openvino import available
from models.engines.openvino_paged import EngineUnavailable
from models.engines.parity import ParityFailed, torch_logits
from models.errors import BrokenModel, ModelNotFound, UnsafeModel
from models.manifest import intact, read_manifest
from models.memory import make_room, unload_all
from models.prompts import render
from models.pull import pull
from models.registry import Registry
from models.registry_errors import BaseDiffers
from models.registry_facts import Base
from tests.models.tiny_openvino import save_adapter, save_llama

pytestmark = pytest.mark.usefixtures("no_kept_models", "float32")
needs_openvino = pytest.mark.skipif(not available(), reason="openvino and nncf are not installed here")
QUESTION = "Which fox jumps over the lazy dog?"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model; treat it as read-only."""
    return save_llama(tmp_path_factory.mktemp("adapters") / "base")


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.nn.Module]]:
    """Two adapters on it, each with the model that PEFT merges from it; treat them as read-only."""
    folder = tmp_path_factory.mktemp("made")
    options: dict[str, dict[str, Any]] = {"a": {"seed": 1}, "b": {"seed": 2, "r": 2, "target_modules": ["q_proj"]}}
    return {name: (folder / name, save_adapter(base, folder / name, **given)) for name, given in options.items()}


@pytest.fixture
def adapter(made: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path) -> Path:
    """A copy of the first adapter to damage."""
    return Path(shutil.copytree(made["a"][0], tmp_path / "adapter"))


def opened(folder: Path, home: Path, **options: Any) -> LocalChatModel:
    return LocalChatModel(model=str(folder), home=home, max_new_tokens=24, **options)


def greedy(model: torch.nn.Module, chat: LocalChatModel) -> str:
    """transformers' own greedy answer of a model to the question."""
    loaded = chat.load()
    prompt = torch.tensor([render(loaded.tokenizer, [HumanMessage(QUESTION)], model="tiny")])
    with torch.inference_mode():
        out = model.generate(prompt, do_sample=False, max_new_tokens=24)  # type: ignore[operator]
    ids = [token for token in out[0, prompt.shape[1] :].tolist() if token not in loaded.stop_token_ids]
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))


def test_an_adapter_answers_as_the_merged_model(
    made: dict[str, tuple[Path, torch.nn.Module]], base: Path, tmp_path: Path
) -> None:
    plain = opened(base, tmp_path, engine="torch")
    answers = {str(plain.invoke(QUESTION).content)}
    for folder, merged in made.values():
        chat = opened(folder, tmp_path, engine="torch")
        assert chat.invoke(QUESTION).content == greedy(merged, chat)
        answers.add(str(chat.invoke(QUESTION).content))
    assert len(answers) == 3, "the adapters do something"
    assert chat.max_input_tokens == plain.max_input_tokens
    assert chat.get_num_tokens(QUESTION) == plain.get_num_tokens(QUESTION)


def test_several_adapters_share_one_base_and_answer_at_once(
    made: dict[str, tuple[Path, torch.nn.Module]], base: Path, tmp_path: Path
) -> None:
    folders = [base, made["a"][0], made["b"][0]]
    chats = [opened(folder, tmp_path, engine="torch") for folder in folders]
    assert len({id(chat.load().model) for chat in chats}) == 1
    alone = [chat.invoke(QUESTION).content for chat in chats]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda chat: chat.invoke(QUESTION).content, chats * 2))
    assert found == alone * 2
    assert not any(module._forward_hooks for module in chats[0].load().model.modules())


def test_a_registered_adapter_opens_by_name(
    made: dict[str, tuple[Path, torch.nn.Module]], base: Path, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    registry.add(base, "tiny", "chat")
    adapter = shutil.copytree(made["a"][0], tmp_path / "run")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "tiny"}))
    registry.add(adapter, "helper", "chat", base=Base.of("tiny", tmp_path))
    chat = LocalChatModel(model="helper@candidate", home=tmp_path, max_new_tokens=24, engine="torch")
    assert chat.invoke(QUESTION).content == greedy(made["a"][1], chat)


@pytest.fixture(scope="module")
def converted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the base is converted; treat it as read-only."""
    home = tmp_path_factory.mktemp("home")
    LocalChatModel(model=str(base), home=home).convert()
    return home


@pytest.fixture
def home(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "home"))


@needs_openvino
def test_the_three_ways_give_the_same_model(
    made: dict[str, tuple[Path, torch.nn.Module]], home: Path, tmp_path: Path
) -> None:
    """Torch with the adapter, OpenVINO with the adapter, and the merged model on its own."""
    folder, peft = made["a"]
    chat = opened(folder, home)
    chat.convert()
    loaded = chat.load()
    ids = render(loaded.tokenizer, [HumanMessage(QUESTION)], model="tiny")
    merged = merge_adapter(find(str(folder), "chat"), tmp_path / "merged", home=home)
    whole = LlamaForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    wanted = torch_logits(peft)(ids)
    np.testing.assert_allclose(loaded.engine.logits(ids), wanted, atol=1e-3)
    np.testing.assert_allclose(torch_logits(whole)(ids), wanted, atol=1e-3)
    engine: Any = adapted_choice(chat.source.adapter, chat.folder, home, "a").engine("openvino")
    assert engine is not None
    assert np.corrcoef(engine.logits(ids).ravel(), wanted.ravel())[0, 1] > 0.995


@needs_openvino
def test_where_openvino_answers_torchs_weights_stay_on_the_disk(
    made: dict[str, tuple[Path, torch.nn.Module]], base: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(made["a"][0], home).convert()
    unload_all()

    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("torch loads weights")

    monkeypatch.setattr("models.loading._load_model", load)
    for folder in (base, made["a"][0]):
        chat = opened(folder, home)
        chat.warm()
        assert chat.invoke(QUESTION).usage_metadata["output_tokens"] > 0  # type: ignore[index]
        assert chat.invoke(QUESTION, response_format={"type": "choice", "choice": ["yes"]}).content == "yes"
        with pytest.raises(AssertionError, match="torch loads"):
            opened(folder, home, engine="torch").invoke(QUESTION)


@needs_openvino
def test_torch_serves_until_the_adapter_passed_its_check(
    made: dict[str, tuple[Path, torch.nn.Module]], home: Path
) -> None:
    chat = opened(made["a"][0], home)
    loaded = chat.load()
    choice = adapted_choice(chat.source.adapter, chat.folder, home, chat.model)
    assert choice.engine() is None
    with pytest.raises(EngineUnavailable, match="is not checked there"):
        choice.engine("openvino")
    report = choice.check(loaded)
    assert report.tokens > 100
    assert report.problems() == []
    served = choice.engine()
    assert served is not None
    assert served.name == "openvino"
    assert choice.engine("torch") is None
    assert len(str(chat.invoke(QUESTION).content)) > 0


@needs_openvino
def test_an_adapter_that_differs_there_stays_on_torch(
    made: dict[str, tuple[Path, torch.nn.Module]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = opened(made["a"][0], home)
    loaded = chat.load()
    choice = adapted_choice(chat.source.adapter, chat.folder, home, chat.model)
    with monkeypatch.context() as patch:
        patch.setattr(type(loaded.engine), "logits", lambda self, ids: np.random.default_rng(0).random((len(ids), 400)))
        with pytest.raises(ParityFailed):
            choice.check(loaded)
    assert choice.engine() is None
    with pytest.raises(EngineUnavailable, match="will not serve"):
        choice.engine("openvino")
    assert chat.invoke(QUESTION).content == greedy(made["a"][1], chat)


def test_the_merged_folder_is_a_whole_model(
    made: dict[str, tuple[Path, torch.nn.Module]], base: Path, tmp_path: Path
) -> None:
    folder, peft = made["b"]
    target = merge_adapter(find(str(folder), "chat"), tmp_path / "merged", home=tmp_path)
    ours, theirs = load_file(target / "model.safetensors"), peft.state_dict()
    assert ours.keys() <= theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)
    manifest = read_manifest(target)
    assert manifest is not None
    assert intact(target, manifest)
    chat = opened(target, tmp_path, engine="torch")
    assert chat.invoke(QUESTION).content == greedy(peft, chat)
    with pytest.raises(ModelExists):
        merge_adapter(find(str(folder), "chat"), target, home=tmp_path)
    with pytest.raises(NoAdapter):
        merge_adapter(find(str(base), "chat"), tmp_path / "other", home=tmp_path)
    assert not (tmp_path / "other").exists()


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be loaded."""
    monkeypatch.setattr(loading, "_load_model", lambda *_, **__: pytest.fail("it was loaded"))


def edit_config(adapter: Path, **values: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.usefixtures("unloaded")
def test_m07_a_base_that_is_not_here_is_named_with_the_adapter(adapter: Path, tmp_path: Path) -> None:
    edit_config(adapter, base_model_name_or_path="org/other-base")
    with pytest.raises(ModelNotFound, match="was made for org/other-base") as found:
        opened(adapter, tmp_path).load()
    assert str(adapter) in str(found.value)


@pytest.mark.usefixtures("unloaded")
def test_m07_an_adapter_for_another_base_is_refused_with_what_does_not_fit(adapter: Path, tmp_path: Path) -> None:
    from tests.models.conftest import save_tiny_chat

    edit_config(adapter, base_model_name_or_path=str(save_tiny_chat(tmp_path / "narrower")))
    with pytest.raises(AdapterMismatch, match="and the base's 32"):
        opened(adapter, tmp_path).load()


@pytest.mark.usefixtures("unloaded")
def test_m07_a_base_with_other_weights_is_refused_with_both_hashes(adapter: Path, base: Path, tmp_path: Path) -> None:
    own = shutil.copytree(base, tmp_path / "own-base")
    edit_config(adapter, base_model_name_or_path=str(own))
    registry = Registry(tmp_path)
    registry.add(adapter, "helper", "chat")
    tensors = load_file(own / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseDiffers, match="own-base"):
        LocalChatModel(model="helper@candidate", home=tmp_path).load()


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("change", ["rank", "nan", "truncated", "kind", "missing layer"])
def test_m07_a_damaged_or_foreign_adapter_is_refused_unloaded(adapter: Path, tmp_path: Path, change: str) -> None:
    weights = adapter / "adapter_model.safetensors"
    tensors = load_file(weights)
    first = next(name for name in tensors if "q_proj.lora_A" in name)
    if change == "rank":
        edit_config(adapter, r=3)
    elif change == "kind":
        edit_config(adapter, peft_type="IA3")
    elif change == "nan":
        tensors[first][0, 0] = float("nan")
        save_file(tensors, weights)
    elif change == "truncated":
        weights.write_bytes(weights.read_bytes()[:-10])
    else:
        save_file({name.replace("layers.1.", "layers.9."): tensor for name, tensor in tensors.items()}, weights)
    with pytest.raises((AdapterMismatch, BrokenModel)) as found:
        opened(adapter, tmp_path).load()
    assert str(adapter) in str(found.value)


@needs_openvino
def test_an_idle_openvino_engine_is_closed_and_opened_again(base: Path, home: Path) -> None:
    chat = opened(base, home)
    choice = engine_choice(chat.folder, home, chat.model, "cpu")
    assert choice.engine("openvino") is not None
    first = chat.invoke(QUESTION).content
    stream = chat.stream(QUESTION)
    text = str(next(stream).content)
    make_room(1, lambda: 0)
    assert text + "".join(str(chunk.content) for chunk in stream) == first
    del stream
    threads = [thread for thread in threading.enumerate() if thread.name == "hearth-openvino"]
    assert threads
    make_room(1, lambda: 0)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert chat.invoke(QUESTION).content == first


def test_an_adapter_pulled_from_the_hub_answers_on_its_base(
    made: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, peft = made["a"]

    def snapshot(self: object, repo: str, *, local_dir: Path, **_: object) -> str:
        return str(shutil.copytree(folder, local_dir, dirs_exist_ok=True))

    monkeypatch.setattr(huggingface_hub.HfApi, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha="c" * 40))
    pull(find("org/helper", None), tmp_path)
    chat = LocalChatModel(model="org/helper", home=tmp_path, max_new_tokens=24, engine="torch")
    assert chat.invoke(QUESTION).content == greedy(peft, chat)


def test_m04_a_pickled_adapter_is_not_kept(
    made: dict[str, tuple[Path, torch.nn.Module]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(self: object, repo: str, *, local_dir: Path, **_: object) -> str:
        return str(shutil.copy(made["a"][0] / "adapter_config.json", local_dir))

    monkeypatch.setattr(huggingface_hub.HfApi, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha="c" * 40))
    with pytest.raises(UnsafeModel, match="adapter_model"):
        pull(find("org/helper", None), tmp_path)
    assert [path.name for path in (tmp_path / "models" / "org--helper").iterdir()] == [".lock"]
