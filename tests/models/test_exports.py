"""Exports behave as the model in the program that reads them, appear checked or not at all, or are refused in words."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import hearth
from models.catalog import find
from models.chat_adapters import ModelExists
from models.engines.parity import probe_prompts
from models.errors import MissingExtra
from models.exports import programs, whole
from models.exports.errors import CannotExport, ExportDiffers
from models.exports.export import Exported, FormName, export
from models.loading import load_chat
from models.manifest import intact, read_manifest
from models.memory import loaded_keys
from models.prepare import folder_of
from models.tasks.classifier import TextClassifier
from tests.models.conftest import chat_tokenizer
from tests.models.tiny_adapters import save_task_adapter
from tests.models.tiny_openvino import save_adapter, save_llama
from tests.models.tiny_tasks import save_bert

pytestmark = pytest.mark.usefixtures("no_kept_models", "float32")
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="the extra onnx is not here"
)
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed here")
IDS = [1, 5, 9, 13, 200, 17, 3]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """A tiny base, an adapter on it, and the model that PEFT merges from both; treat them as read-only."""
    folder = tmp_path_factory.mktemp("chat")
    base = save_llama(folder / "base")
    return base, folder / "adapter", save_adapter(base, folder / "adapter")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with a head of three labels on a tiny encoder; treat it as read-only."""
    folder = tmp_path_factory.mktemp("task")
    base = save_bert(folder / "base", BertModel)
    labels = {"id2label": {0: "sports", 1: "business", 2: "science"}}
    return save_task_adapter(folder / "adapter", base, BertForSequenceClassification, num_labels=3, **labels)


def exported(source: Path, form: FormName, tmp_path: Path) -> Exported:
    home = tmp_path / "home"
    return export(find(str(source), None, home), form, tmp_path / "out", home=home)


def nothing_left(tmp_path: Path) -> bool:
    return not [path for path in tmp_path.iterdir() if path.name != "home"]


def logits_of(model: Any, ids: list[int] = IDS) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def test_a_merged_chat_adapter_is_what_peft_merges(chat: tuple[Path, Path, Any], tmp_path: Path) -> None:
    made = exported(chat[1], "merged", tmp_path)
    read = LlamaForCausalLM.from_pretrained(made.folder, dtype=torch.float32)
    assert np.abs(logits_of(read) - logits_of(chat[2])).max() < 1e-4
    manifest = read_manifest(made.folder)
    assert manifest is not None
    assert intact(made.folder, manifest)
    assert manifest.made_from["form"] == "merged"
    assert json.loads((made.folder / "parity.json").read_text())["agreement"] == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "home"}


def test_a_merged_task_adapter_serves_with_the_same_scores(classifier: Path, tmp_path: Path) -> None:
    made = exported(classifier, "merged", tmp_path)
    text = "ada lovelace wrote notes about a machine"
    found, wanted = (
        TextClassifier(str(one), home=tmp_path / "home").many([text])[0].labels for one in (made.folder, classifier)
    )
    assert {one.label for one in found} == {"sports", "business", "science"}
    assert [(one.label, pytest.approx(one.score, abs=1e-5)) for one in wanted] == [
        (one.label, one.score) for one in found
    ]


def test_a_whole_model_is_copied_without_what_hearth_keeps_beside_it(
    chat: tuple[Path, Path, Any], tmp_path: Path
) -> None:
    source = tmp_path / "home" / "mine"
    whole.copy_files(chat[0], source)
    (source / "entry.json").write_text("{}")
    (source / "openvino-int8").mkdir()
    made = exported(source, "merged", tmp_path)
    assert not {"entry.json", "openvino-int8"} & {path.name for path in made.folder.iterdir()}
    assert (made.folder / "model.safetensors").read_bytes() == (chat[0] / "model.safetensors").read_bytes()


@needs_onnx
def test_a_classifier_adapter_runs_in_onnxruntime(classifier: Path, tmp_path: Path) -> None:
    import onnxruntime

    made = exported(classifier, "onnx", tmp_path)
    assert made.parity["worst"] <= made.parity["bound"] == programs.LARGEST_DIFFERENCE
    assert not list(made.folder.glob("*.safetensors"))
    assert (made.folder / "tokenizer.json").is_file()
    session = onnxruntime.InferenceSession(str(made.folder / "model.onnx"))
    texts = ["this example is about sports", "who wrote the notes in london about a machine ?"]
    encoded = AutoTokenizer.from_pretrained(made.folder)(texts, padding=True, return_tensors="np")
    logits = session.run(["logits"], {port.name: encoded[port.name] for port in session.get_inputs()})[0]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    served = TextClassifier(str(classifier), home=tmp_path / "home").many(texts)
    names = ["sports", "business", "science"]
    wanted = [[{one.label: one.score for one in row.labels}[name] for name in names] for row in served]
    assert np.abs(shares - np.array(wanted)).max() < 1e-4


@needs_onnx
def test_a_chat_model_answers_in_onnxruntime_with_its_cache(chat: tuple[Path, Path, Any], tmp_path: Path) -> None:
    made = exported(chat[1], "onnx", tmp_path)
    found = programs._logits_of(made.folder)(IDS)  # the second half is read after the first half's cache
    assert np.abs(found - logits_of(chat[2])).max() < 1e-4
    assert made.parity["spread"] <= programs.CHAT_BOUNDS.spread


@needs_openvino
def test_span_answers_run_in_openvino(tmp_path: Path) -> None:
    source = save_bert(tmp_path / "home" / "reader", BertForQuestionAnswering, window=64)
    made = exported(source, "openvino", tmp_path)
    model = BertForQuestionAnswering.from_pretrained(source)
    encoded = AutoTokenizer.from_pretrained(source)(
        "who wrote the notes ?", "ada lovelace wrote notes", return_tensors="pt"
    )
    with torch.inference_mode():
        wanted = model(**encoded)
    found = programs.opened("openvino", made.folder)({name: value.numpy() for name, value in encoded.items()})
    for name in ("start_logits", "end_logits"):
        assert np.abs(found[name] - wanted[name].numpy()).max() < 1e-3
    assert "runtime_options" not in (made.folder / "openvino_model.xml").read_text()


def read_gguf(folder: Path) -> Any:
    from transformers import GgufConfig

    return AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="model.gguf", dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )


def test_a_chat_adapter_becomes_one_gguf_file(chat: tuple[Path, Path, Any], tmp_path: Path) -> None:
    made = exported(chat[1], "gguf", tmp_path)
    assert np.abs(logits_of(read_gguf(made.folder)) - logits_of(chat[2])).max() < 1e-4
    tokens = AutoTokenizer.from_pretrained(made.folder, gguf_file="model.gguf")
    text = "<|im_start|>user\nWhich fox? Grüße 🦊<|im_end|>"
    assert tokens(text)["input_ids"] == chat_tokenizer()(text)["input_ids"]


def test_other_families_keep_their_rows_and_formats(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer) + 3, hidden_size=64, intermediate_size=128, num_hidden_layers=2, head_dim=128,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=False,
        initializer_range=0.1,
    )  # fmt: skip
    source = tmp_path / "home" / "qwen"
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(source)
    tokenizer.save_pretrained(source)
    made = exported(source, "gguf", tmp_path)
    wanted = Qwen3ForCausalLM.from_pretrained(source, dtype=torch.float32)
    assert np.abs(logits_of(read_gguf(made.folder)) - logits_of(wanted)).max() < 1e-4
    assert made.size_bytes < 1.5 * (source / "model.safetensors").stat().st_size + 100_000


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed here")
def test_llama_cpp_reads_the_gguf_with_the_same_tokens_and_words(chat: tuple[Path, Path, Any], tmp_path: Path) -> None:
    from tests.llama import llama_without_amx

    made = exported(chat[1], "gguf", tmp_path)
    model = llama_without_amx()(str(made.folder / "model.gguf"), n_ctx=128, n_threads=1, logits_all=True, verbose=False)
    text = "The quick brown fox, and 12 Grüße."
    ids = chat_tokenizer()(text)["input_ids"]
    assert model.tokenize(text.encode(), add_bos=False, special=True) == ids
    model.eval(ids)
    wanted = logits_of(chat[2], ids)
    assert np.abs(np.array(model.scores[: len(ids)]) - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}, "positions are scaled"),
        ({"attention_bias": True}, "biases"),
        ({"model_type": "gpt_neox"}, "only chat models of the kinds llama"),
    ],
)
def test_gguf_refuses_what_it_cannot_hold(
    chat: tuple[Path, Path, Any], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    source = tmp_path / "home" / "odd"
    whole.copy_files(chat[0], source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CannotExport, match=words):
        exported(source, "gguf", tmp_path)
    assert nothing_left(tmp_path)


@needs_onnx
def test_a_model_for_pictures_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "home" / "eye"
    source.mkdir(parents=True)
    (source / "config.json").write_text('{"model_type": "vit", "architectures": ["ViTForImageClassification"]}')
    save_file({"w": torch.zeros(1)}, source / "model.safetensors")
    with pytest.raises(CannotExport, match="no text model"):
        exported(source, "onnx", tmp_path)
    assert nothing_left(tmp_path)


def test_an_export_that_differs_is_removed_and_the_numbers_named(
    chat: tuple[Path, Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tampered(base: Path, adapter: Path, target: Path) -> None:
        write(base, adapter, target)
        tensors = load_file(target / "model.safetensors")
        tensors["model.layers.0.mlp.up_proj.weight"] *= 3
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})

    from models import chat_adapters

    write = chat_adapters.write_merged_chat
    monkeypatch.setattr(chat_adapters, "write_merged_chat", tampered)
    with pytest.raises(ExportDiffers, match=r"log-likelihoods differ by \d+\.\d+ where at most 0\.2") as caught:
        exported(chat[1], "merged", tmp_path)
    assert caught.value.problems
    assert nothing_left(tmp_path)
    assert not [key for key in loaded_keys() if any(".tmp" in str(part) for part in key)]


def test_a_task_adapter_that_merges_wrongly_is_removed(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_adapter(folder: Path, base: Path, auto_class: str, dtype: Any) -> Any:
        return BertForSequenceClassification.from_pretrained(base, num_labels=3, dtype=dtype)

    monkeypatch.setattr(whole, "put_together", without_adapter)
    with pytest.raises(ExportDiffers, match=r"a probability differs by 0\.\d+ where at most 0\.005"):
        exported(classifier, "merged", tmp_path)
    assert nothing_left(tmp_path)


def test_a_folder_that_is_there_is_left_alone(chat: tuple[Path, Path, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ModelExists):
        exported(chat[1], "merged", tmp_path)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_without_the_extra_onnx_the_package_is_named(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"hearth\[onnx\]"):
        exported(classifier, "onnx", tmp_path)
    assert nothing_left(tmp_path)


def test_the_verb_says_what_it_wrote(
    chat: tuple[Path, Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "export", str(chat[1]), "--to", "gguf", "--output", str(tmp_path / "out")]
    assert hearth.main([*words, "--home", str(tmp_path / "home"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["form"], value["folder"]) == ("gguf", str(tmp_path / "out"))
    assert value["parity"]["spread"] <= programs.CHAT_BOUNDS.spread
    assert hearth.main([*words, "--home", str(tmp_path / "home")]) == 1
    assert "model_exists" in capsys.readouterr().err


@pytest.mark.real_model
@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed here")
@pytest.mark.timeout(600)
def test_the_embedded_chat_model_answers_in_llama_cpp(embedded_home: Path, tmp_path: Path) -> None:
    from tests.llama import llama_without_amx

    entry = find("smollm2-135m-instruct", None)
    made = export(entry, "gguf", tmp_path / "out", home=embedded_home)
    assert made.parity["agreement"] == 1
    assert made.size_bytes < 275_000_000  # bfloat16, as the weights are
    loaded = load_chat(folder_of(entry, embedded_home), name="smollm2")
    model = llama_without_amx()(str(made.folder / "model.gguf"), n_ctx=512, n_threads=2, logits_all=True, verbose=False)
    for ids in probe_prompts(loaded.tokenizer)[:2]:
        text = loaded.tokenizer.decode(ids)
        assert model.tokenize(text.encode(), add_bos=False, special=True) == ids
        model.reset()
        model.eval(ids)
        same = np.array(model.scores[: len(ids)]).argmax(-1) == loaded.engine.logits(ids).argmax(-1)
        assert same.mean() > 0.9


@pytest.mark.real_model
@needs_onnx
@pytest.mark.timeout(600)
def test_the_embedded_encoder_gives_its_vectors_in_onnxruntime(embedded_home: Path, tmp_path: Path) -> None:
    made = export(find("all-minilm-l6-v2", None), "onnx", tmp_path / "out", home=embedded_home)
    assert made.parity["worst"] >= programs.LEAST_COSINE
