"""Model folders that must be refused before they are used: unsafe, broken, too large, mismatched."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import files, loading, prompts, template_guard
from models.chat import open_chat_model
from models.errors import BrokenModel, DoesNotFit, TemplateFailed, UnsafeModel
from models.files import cache_bytes_per_token, read_weights
from models.loading import load_chat
from models.memory import loaded_keys, unload_all


@pytest.fixture
def folder(tiny_chat_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny chat model to damage."""
    return Path(shutil.copytree(tiny_chat_folder, tmp_path / "model"))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_m03_a_truncated_file_is_named_with_both_sizes(folder: Path) -> None:
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BrokenModel, match=rf"{size - 100} bytes where its header promises {size}"):
        load_chat(folder, name="tiny")


@pytest.mark.parametrize("start", [(2**40).to_bytes(8, "little"), (200_000_000).to_bytes(8, "little"), b"", b"abc"])
def test_m03_a_header_that_claims_too_much_is_refused_unread(folder: Path, start: bytes) -> None:
    (folder / "model.safetensors").write_bytes(start)
    with pytest.raises(BrokenModel, match="claims"):
        load_chat(folder, name="tiny")


def test_m03_a_header_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"{{{{")
    with pytest.raises(BrokenModel, match="header"):
        load_chat(folder, name="tiny")


def test_m03_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BrokenModel, match=r"1 of 2 weight files are missing, first b\.safetensors"):
        load_chat(folder, name="tiny")


def test_m03_a_shard_outside_the_folder_is_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "../other.safetensors"}}))
    with pytest.raises(UnsafeModel, match="outside"):
        load_chat(folder, name="tiny")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_m03_nan_weights_are_found_before_the_first_answer(folder: Path, bad: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = bad
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=r"up_proj\.weight hold NaN or infinity"):
        load_chat(folder, name="tiny")


def test_m03_absent_weights_are_not_filled_with_random_numbers(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=r"1 of the model's weights are not in it, first .*up_proj"):
        load_chat(folder, name="tiny")


def test_m03_the_tokenizer_of_a_larger_model_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:100].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", lambda config: config.update(vocab_size=100))
    with pytest.raises(BrokenModel, match=r"tokenizer knows \d+ tokens and its weights 100"):
        load_chat(folder, name="tiny")


def test_m04_pickled_weights_are_refused_unopened(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UnsafeModel, match=r"pytorch_model\.bin") as found:
        load_chat(folder, name="tiny")
    assert found.value.code == "unsafe_model"


@pytest.mark.parametrize(
    ("file", "extra"),
    [
        ("config.json", {"auto_map": {"AutoModel": "code.Model"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "code.Model"}}}),
        ("config.json", {"vision_config": [{"trust_remote_code": True}]}),
        ("config.json", {"_attn_implementation_internal": "someone/kernel"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}),
    ],
)
def test_m04_settings_that_could_run_code_are_refused(folder: Path, file: str, extra: dict[str, Any]) -> None:
    edit(folder / file, lambda value: value.update(extra))
    with pytest.raises(UnsafeModel, match=file.replace(".", r"\.")):
        load_chat(folder, name="tiny")


def test_labels_may_look_like_anything(folder: Path) -> None:
    edit(folder / "config.json", lambda value: value.update(label2id={"_internal": 0, "auto_map": 1}))
    assert load_chat(folder, name="tiny").window == 512


def test_m05_a_model_larger_than_memory_is_refused_before_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "available_memory_bytes", lambda: 100 * 1024**2)
    monkeypatch.setattr(loading, "_load_model", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(DoesNotFit) as found:
        load_chat(folder, name="tiny")
    assert found.value.available_bytes == 100 * 1024**2
    assert found.value.needed_bytes > 150 * 1024**2
    assert "0.10 GiB are free" in str(found.value)


def test_sizes_come_from_the_headers(folder: Path) -> None:
    weights = read_weights(folder)
    tensors = load_file(folder / "model.safetensors")
    assert weights.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert weights.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    # two layers, keys and values, two heads of eight numbers of two bytes
    assert cache_bytes_per_token(json.loads((folder / "config.json").read_text())) == 2 * 2 * 2 * 8 * 2


@pytest.mark.parametrize("context", [0, -1, 10**9, "many", None, True])
def test_m06_an_impossible_context_length_is_refused(folder: Path, context: object) -> None:
    edit(folder / "config.json", lambda value: value.update(max_position_embeddings=context))
    with pytest.raises(BrokenModel, match="context of"):
        load_chat(folder, name="tiny")


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": {"rope_type": "nonsense", "rope_theta": 1e4}},
        {"rope_scaling": {"type": "yarn"}},
        {"rope_parameters": "x"},
        {"rope_parameters": {"rope_type": "default", "rope_theta": -1}},
        {"num_attention_heads": 0},
        {"hidden_size": -3},
        {"hidden_act": "nonsense"},
        {"model_type": "nonsense"},
        {"vocab_size": 10**9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_m06_settings_that_make_no_sense_are_one_sentence(folder: Path, change: dict[str, Any]) -> None:
    edit(folder / "config.json", lambda value: value.update(change))
    with pytest.raises(BrokenModel) as found:
        load_chat(folder, name="tiny")
    assert "\n" not in str(found.value)
    assert not [key for key in loaded_keys() if key[:2] == ("chat", folder)]


def test_m05_more_layers_than_memory_are_refused_before_loading(folder: Path) -> None:
    edit(folder / "config.json", lambda value: value.update(num_hidden_layers=10**9))
    with pytest.raises(DoesNotFit):
        load_chat(folder, name="tiny")


def test_m06_a_config_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{" * 100_000)
    with pytest.raises(BrokenModel, match=r"config\.json"):
        load_chat(folder, name="tiny")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}{{ [].append.__globals__ }}", "unsafe|Security|undefined"),
        ("{% import 'os' as os %}", "loader|import"),
        ("{{ raise_exception('only user turns') }}", "only user turns"),
        ("{% for x in range(999999999) %}a{% endfor %}", "Range too big"),
        ("{{ unfinished", "unexpected|TemplateSyntaxError"),
    ],
)
def test_m06_a_template_that_fails_is_one_sentence(folder: Path, tmp_path: Path, template: str, reason: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(TemplateFailed, match=reason) as found:
        open_chat_model(str(folder), home=tmp_path).invoke("hello")
    assert found.value.code == "template_failed"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
        "{% macro again() %}{% for a in range(99999) %}{{ again() }}{% endfor %}{% endmacro %}{{ again() }}",
        "{% set grown = namespace(text='0123456789' * 1000) %}"
        "{% for a in range(60) %}{% set grown.text = grown.text ~ grown.text %}{% endfor %}",
    ],
    ids=["nested loops", "a macro that calls itself", "a text that doubles"],
)
def test_m06_a_template_without_an_end_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    """The same thread goes on afterwards, and another conversation is answered."""
    limits = {"seconds": 0.5, "memory_bytes": 200 * 1024**2}
    monkeypatch.setattr(prompts, "bounded", lambda: template_guard.bounded(**limits))
    good = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template)
    began = time.monotonic()
    with pytest.raises(TemplateFailed) as found:
        open_chat_model(str(folder), home=tmp_path).invoke("hello")
    assert time.monotonic() - began < 10
    assert found.value.code == "template_failed"
    unload_all()
    (folder / "chat_template.jinja").write_text(good)
    assert open_chat_model(str(folder), home=tmp_path, max_new_tokens=2).invoke("hello").usage_metadata


def endless(seconds: float) -> None:
    with template_guard.bounded(seconds):
        while True:
            pass


def test_the_template_guard_leaves_what_ends_in_time_alone() -> None:
    for _ in range(200):
        with template_guard.bounded(seconds=0.05):
            time.sleep(0)
    began = time.monotonic()
    with pytest.raises(template_guard.TemplateEndless):
        endless(seconds=0.2)
    assert time.monotonic() - began < 5
    total = sum(range(2_000_000))  # nothing arrives late
    assert total == 1999999000000


def test_m06_a_model_without_a_template_says_so(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(TemplateFailed, match="has none"):
        open_chat_model(str(folder), home=tmp_path).invoke("hello")


def test_nothing_is_left_half_loaded(folder: Path) -> None:
    good = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(good[:-1])
    with pytest.raises(BrokenModel):
        load_chat(folder, name="tiny")
    (folder / "model.safetensors").write_bytes(good)
    assert isinstance(load_chat(folder, name="tiny").model, torch.nn.Module)


def test_g13_no_module_of_the_room_unpickles() -> None:
    sources = [path.read_text() for path in Path(files.__file__).parent.rglob("*.py")]
    assert not [text for text in sources if "torch.load(" in text or "import pickle" in text]
