"""Adapters of tasks on one converted encoder: torch's outputs, one copy of the weights, and torch where in doubt."""

from __future__ import annotations

import json
import mmap
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino", reason="openvino is not installed here")
pytest.importorskip("nncf", reason="nncf is not installed here")

import torch
from safetensors.torch import load_file, save_file
from transformers import BertForQuestionAnswering, BertForSequenceClassification, BertModel

from hearth import main
from models.adapted import put_together
from models.engines import choice
from models.engines.adapted_encoder import convert_adapted
from models.engines.adapter_note import AdapterNote
from models.engines.lora import AdapterMismatch, LoraLayer, layers_of
from models.engines.mapped import give_back_pages
from models.engines.openvino_convert import converted_folder
from models.engines.openvino_states import OpenVinoStates
from models.engines.parity import ParityFailed
from models.loading import load_task
from models.memory import unload_all
from models.registry import Registry
from models.registry_errors import PromotionRefused
from tests.models.tiny_adapters import save_task_adapter
from tests.models.tiny_tasks import save_bert

LAYERS = ("query", "value", "dense")  # the pooler has a layer called so, too
KINDS = {
    "BertForSequenceClassification": (BertForSequenceClassification, "classifier"),
    "BertForQuestionAnswering": (BertForQuestionAnswering, "qa_outputs"),
    "BertModel": (BertModel, None),
}
TEXTS = ["the quick brown fox", "a", "numbers " * 60]


@pytest.fixture(autouse=True)
def looked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_LOOK_AGAIN_SECONDS", 0.0)
    unload_all()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("encoder") / "base", BertModel, initializer_range=0.2, window=30)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the base is converted by the first test that needs it."""
    return tmp_path_factory.mktemp("home")


def tripled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault on OpenVINO's side alone: an adapter adds three times of what it should."""

    def wrong(*arguments: Any) -> dict[str, LoraLayer]:
        return {name: replace(layer, up=3 * layer.up) for name, layer in layers_of(*arguments).items()}

    monkeypatch.setattr("models.engines.adapted_encoder.layers_of", wrong)


def adapter(folder: Path, base: Path, kind: str, seed: int = 0) -> Path:
    model_class, head = KINDS[kind]
    return save_task_adapter(folder, base, model_class, head=head, layers=LAYERS, seed=seed)


def loaded(folder: Path, base: Path, kind: str, home: Path) -> Any:
    return load_task(folder, name="adapter", auto_class=kind, base=base, home=home)


def said(found: Any, tokenizer: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Every output for a batch of texts of unlike length, without what stands at padding."""
    inputs = tokenizer(TEXTS, padding=True, truncation=True, max_length=30, return_tensors="pt")
    with torch.inference_mode():
        output = found(**inputs)
    kept = inputs["attention_mask"].bool()
    return {
        key: (value if key == "logits" else value[kept]).float().numpy()
        for key, value in output.items()
        if key != "pooler_output"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_says_on_openvino_what_it_says_on_torch(kind: str, base: Path, home: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", base, kind)
    assert type(loaded(folder, base, kind, home).model).__name__ == kind
    unload_all()
    converted = convert_adapted(folder, base, home, name="adapter")
    noted = AdapterNote(converted, folder).read()
    assert noted is not None
    assert noted["report"]["texts"] > 20
    served = loaded(folder, base, kind, home)
    assert "_Program" in repr(served.model)
    reference = put_together(folder, base, kind, torch.float32).eval()
    wanted, found = (said(model, served.tokenizer) for model in (reference, served.model))
    assert wanted.keys() <= found.keys()
    for key, values in wanted.items():
        assert np.abs(values).max() > 0.1
        np.testing.assert_allclose(found[key], values, atol=0.05 * np.abs(values).max())


def test_adapters_share_one_copy_of_the_encoder_and_keep_apart(base: Path, home: Path, tmp_path: Path) -> None:
    folders = [adapter(tmp_path / f"adapter{seed}", base, "BertModel", seed) for seed in (0, 1)]
    for folder in folders:
        convert_adapted(folder, base, home, name=folder.name)
    first, second = (loaded(folder, base, "BertModel", home) for folder in folders)
    outputs = [said(one.model, one.tokenizer)["last_hidden_state"] for one in (first, second, first)]
    assert np.array_equal(outputs[0], outputs[2])
    assert np.abs(outputs[0] - outputs[1]).max() > 0.1
    assert first.model._states.encoder is second.model._states.encoder


def test_what_differs_is_refused_and_torch_serves_it(
    base: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = adapter(tmp_path / "adapter", base, "BertModel")
    tripled(monkeypatch)
    with pytest.raises(ParityFailed, match="the least cosine"):
        convert_adapted(folder, base, home, name="adapter")
    noted = AdapterNote(converted_folder(base, home, "states"), folder).read()
    assert noted is not None
    assert "least cosine" in noted["message"]
    assert type(loaded(folder, base, "BertModel", home).model).__name__ == "BertModel"


def test_an_adapter_that_changed_since_its_check_is_served_by_torch(base: Path, home: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", base, "BertModel")
    convert_adapted(folder, base, home, name="adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: 2 * value for name, value in tensors.items()}, folder / "adapter_model.safetensors")
    unload_all()
    assert type(loaded(folder, base, "BertModel", home).model).__name__ == "BertModel"


def test_a_layer_without_a_place_is_refused(base: Path, home: Path, tmp_path: Path) -> None:
    converted = convert_adapted(adapter(tmp_path / "adapter", base, "BertModel"), base, home, name="adapter")
    states = OpenVinoStates(converted, window=30)
    assert set(states.places) == {
        f"encoder.layer.{number}.{part}"
        for number in (0, 1)
        for part in (
            *(f"attention.self.{one}" for one in ("query", "key", "value")),
            *("attention.output.dense", "intermediate.dense", "output.dense"),
        )
    }
    with pytest.raises(AdapterMismatch, match="no linear layer encoder"):
        states.adapted({"encoder.layer.9.query": LoraLayer(tmp_path, np.zeros((2, 24)), np.zeros((24, 2)))})


def test_converted_and_promoted_by_name(
    base: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(home)
    registry.add(adapter(tmp_path / "adapter", base, "BertForQuestionAnswering"), "finder", "extract")
    assert main(["models", "convert", "finder", "--home", str(home), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == {"finder@1": str(converted_folder(base, home, "states"))}
    assert registry.promote("finder").after == "finder@1"
    registry.add(adapter(tmp_path / "second", base, "BertForQuestionAnswering", seed=3), "finder", "extract")
    tripled(monkeypatch)
    with pytest.raises(PromotionRefused, match="converted, a probability differs"):
        registry.promote("finder@2")


@pytest.mark.skipif(sys.platform != "linux", reason="the call is Linux's")
def test_pages_of_a_mapped_file_are_given_back_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(np.arange(2**20, dtype=np.int64).tobytes())
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) >= 0
        before = resident(path)
        assert before == 8192
        give_back_pages(path)
        assert resident(path) == 0
        assert np.array_equal(np.frombuffer(mapped[:], np.int64), np.arange(2**20))


def resident(path: Path) -> int:
    """KiB of a mapped file that lie in memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.endswith(str(path.resolve())))
    return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:"))
