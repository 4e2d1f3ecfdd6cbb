"""Encoders on OpenVINO: the vectors and scores of torch in float32, after a check that refuses anything else."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino", reason="openvino is not installed here")
pytest.importorskip("nncf", reason="nncf is not installed here")

import torch
from transformers import AutoTokenizer, BertForSequenceClassification, BertModel

from models.embeddings import LocalEmbeddings, open_embeddings
from models.encoder_files import EncoderFiles
from models.engines import choice, openvino_export
from models.engines.encoder_parity import check_scores, check_vectors, texts
from models.engines.openvino_convert import convert, converted_folder, is_ready, refusal
from models.engines.openvino_encoder import batches_by_length
from models.engines.openvino_forms import form_of
from models.engines.openvino_paged import EngineUnavailable
from models.engines.openvino_sentences import ConvertedSentenceEncoder
from models.engines.parity import ParityFailed
from models.errors import WrongRole
from models.tasks.reranker import Reranker
from tests.models.conftest import save_tiny_chat, save_tiny_encoder
from tests.models.tiny_tasks import save_bert

TEXTS = [
    "The quick brown fox",
    "a",
    "Passages have numbers; answers name them. " * 9,  # longer than the window
    "",
    "Grüße aus Köln, 汶川大地震, 🦊🔥!",
    "A model answers one token at a time\nand a person may stop it.",
]


@pytest.fixture(autouse=True)
def looked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_LOOK_AGAIN_SECONDS", 0.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a converted encoder of mean pooling and a query prompt; treat it as read-only."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "models" / "tiny" / "1"
    folder.mkdir(parents=True)
    save_tiny_encoder(folder)
    prompts = {"prompts": {"query": "numbers numbers "}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    convert(folder, home, name="tiny", form="vectors")
    return home


@pytest.fixture(scope="module")
def source(home: Path) -> Path:
    return home / "models" / "tiny" / "1"


@pytest.fixture(scope="module")
def encoder(source: Path, home: Path) -> ConvertedSentenceEncoder:
    """The converted encoder, computing in float32."""
    return ConvertedSentenceEncoder(EncoderFiles(source), converted_folder(source, home, "vectors"), precision="f32")


def hidden(folder: Path, text: str, window: int = 32) -> np.ndarray[Any, Any]:
    """Each token's last hidden state, by torch in float32."""
    model = BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text.replace("\n", " "), truncation=True, max_length=window)
    with torch.inference_mode():
        return np.asarray(model(torch.tensor([ids["input_ids"]])).last_hidden_state[0].numpy())


def unit(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(vector / np.linalg.norm(vector))


def test_mean_pooling_is_the_mean_over_tokens_that_are_no_padding(
    encoder: ConvertedSentenceEncoder, source: Path
) -> None:
    expected = [unit(hidden(source, text).mean(axis=0)) for text in TEXTS]
    assert np.allclose(encoder.documents(TEXTS), expected, atol=1e-5)


def test_cls_pooling_is_the_first_token(tmp_path: Path) -> None:
    folder = tmp_path / "cls"
    folder.mkdir()
    save_tiny_encoder(folder)
    (folder / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 16, "pooling_mode": "cls"}')
    converted = convert(folder, tmp_path, name="cls", form="vectors")
    vectors = ConvertedSentenceEncoder(EncoderFiles(folder), converted, precision="f32").documents(TEXTS)
    assert np.allclose(vectors, [unit(hidden(folder, text)[0]) for text in TEXTS], atol=1e-5)


def test_a_query_has_its_prompt_and_a_document_none(encoder: ConvertedSentenceEncoder) -> None:
    assert np.allclose(encoder.query("fox"), encoder.documents(["numbers numbers fox"])[0], atol=1e-5)
    assert not np.allclose(encoder.query("fox"), encoder.documents(["fox"])[0], atol=1e-2)


def test_many_texts_come_back_in_order_whatever_their_batches(encoder: ConvertedSentenceEncoder) -> None:
    many = [f"{text} {number}" for number in range(60) for text in TEXTS]
    together = encoder.documents(many)
    alone = np.concatenate([encoder.documents([text]) for text in many])
    assert np.allclose(together, alone, atol=1e-5)


def test_several_threads_may_embed_at_once(encoder: ConvertedSentenceEncoder) -> None:
    expected = encoder.documents(TEXTS)
    found: list[np.ndarray[Any, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(encoder.documents(TEXTS))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 6
    assert all(np.allclose(vectors, expected, atol=1e-5) for vectors in found)


def test_both_engines_give_interchangeable_vectors_under_one_fingerprint(source: Path, home: Path) -> None:
    by_torch, by_openvino, chosen = (
        LocalEmbeddings(str(source), home=home, engine=engine) for engine in ("torch", "openvino", "auto")
    )
    assert by_torch.fingerprint == by_openvino.fingerprint
    for left, right in (
        (by_torch.embed_documents(TEXTS), by_openvino.embed_documents(TEXTS)),
        ([by_torch.embed_query("fox")], [by_openvino.embed_query("fox")]),
    ):
        assert (np.array(left) * np.array(right)).sum(axis=1).min() >= 0.998
    assert chosen.embed_documents(TEXTS) == by_openvino.embed_documents(TEXTS)
    assert by_openvino.embed_documents([]) == []


def test_a_converted_encoder_embeds_without_torch(source: Path, home: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from models import open_embeddings
embeddings = open_embeddings({str(source)!r}, home=Path({str(home)!r}))
print(len(embeddings.embed_query("fox")), len(embeddings.embed_documents(["fox"] * 200)))
print("torch" in sys.modules, "transformers" in sys.modules)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["16", "200", "False", "False"]


def test_the_folder_holds_the_program_and_the_figures_of_its_check(source: Path, home: Path) -> None:
    target = converted_folder(source, home, "vectors")
    assert {path.name for path in target.iterdir()} == {
        "openvino_model.xml",
        "openvino_model.bin",
        "parity.json",
        "MANIFEST.json",
    }
    report = json.loads((target / "parity.json").read_text())
    assert report["worst"] >= 0.998
    assert report["texts"] == 2 * len(texts(32))
    assert is_ready(source, home, "vectors")
    assert not is_ready(source, home), "a chat model it is not"


@pytest.mark.parametrize("file", ["1_Pooling/config.json", "modules.json", "config_sentence_transformers.json"])
def test_other_pooling_or_prompts_make_it_anew(source: Path, home: Path, tmp_path: Path, file: str) -> None:
    copied = tmp_path / "models" / "tiny" / "1"
    shutil.copytree(source, copied)
    assert is_ready(copied, tmp_path, "vectors")
    (copied / file).write_text((copied / file).read_text() + " ")
    assert not is_ready(copied, tmp_path, "vectors")


def test_an_encoder_that_differs_is_refused_with_the_numbers_and_torch_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "tiny" / "1"
    folder.mkdir(parents=True)
    save_tiny_encoder(folder)

    def spoiled(module: Any, inputs: Any, *, name: str) -> Any:
        changed = copy.deepcopy(module)  # the program shares the memory of the weights it was exported from
        with torch.no_grad():
            weight = changed.encoder[0].model.encoder.layer[1].output.dense.weight
            weight.add_(torch.randn_like(weight) * 0.3)
        return export(changed, inputs, name=name)

    export = openvino_export.export_encoder
    monkeypatch.setattr(openvino_export, "export_encoder", spoiled)
    with pytest.raises(ParityFailed, match=r"least cosine .* is 0\.\d+ where at least 0\.998 was expected") as caught:
        convert(folder, tmp_path, name="tiny", form="vectors")
    assert not converted_folder(folder, tmp_path, "vectors").exists()
    assert refusal(folder, tmp_path, "vectors") == str(caught.value)
    assert len(open_embeddings(str(folder), home=tmp_path).embed_query("fox")) == 16
    with pytest.raises(EngineUnavailable, match="least cosine"):
        open_embeddings(str(folder), home=tmp_path, engine="openvino").embed_query("fox")


def test_many_texts_begin_a_conversion_and_few_do_not(
    tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    monkeypatch.setattr("models.embeddings._WORTH_CONVERTING", 10)
    monkeypatch.setattr(choice.ConvertedChoice, "begin_conversion", lambda self: began.append("begun"))
    embeddings = LocalEmbeddings(str(tiny_encoder_folder), home=tmp_path)
    embeddings.embed_documents(TEXTS)
    assert began == []
    embeddings.embed_documents(TEXTS)
    assert began == ["begun"]
    LocalEmbeddings(str(tiny_encoder_folder), home=tmp_path, engine="torch").embed_documents(TEXTS * 2)
    assert began == ["begun"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda rows: rows[:, ::-1], "least cosine to the original's vectors is 0.0000"),
        (lambda rows: rows * 2, "lengths from 2.0000 to 2.0000"),
        (lambda rows: rows * np.nan, "lengths from nan"),
        (lambda rows: rows[:, :1], "shape"),
    ],
)
def test_vectors_that_differ_are_named_with_both_numbers(
    spoil: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], sentence: str
) -> None:
    rows = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert check_vectors(rows, rows).worst == pytest.approx(1)
    with pytest.raises(ParityFailed, match=sentence):
        check_vectors(rows, np.ascontiguousarray(spoil(rows)))


def test_scores_are_compared_as_probabilities() -> None:
    logits = np.array([[0.0], [4.0]], np.float32)
    close = check_scores(logits, logits + np.float32(0.1))
    assert close.worst == pytest.approx(1 / (1 + np.exp(-0.1)) - 0.5, abs=1e-6)
    with pytest.raises(ParityFailed, match=r"differs by 0\.231 where at most 0\.03"):
        check_scores(logits, logits + 1)
    two = np.array([[0.0, 1.0]], np.float32)
    assert check_scores(two, two + 5).worst == pytest.approx(0, abs=1e-7)
    with pytest.raises(ParityFailed):
        check_scores(two, np.array([[np.nan, 1.0]], np.float32))


def test_batches_hold_every_text_once_longest_first_and_bounded() -> None:
    lengths = [10, 3000, 200, 200, *[5] * 200]
    found = list(batches_by_length(lengths))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    assert all(len(batch) <= 64 for batch in found)
    assert all(len(batch) == 1 or len(batch) * lengths[batch[0]] <= 1024 for batch in found)
    order = [lengths[index] for batch in found for index in batch]
    assert order == sorted(order, reverse=True)


def test_a_cross_encoder_scores_as_by_torch_once_it_is_converted(tmp_path: Path) -> None:
    folder = save_bert(
        tmp_path / "models" / "ranker" / "1", BertForSequenceClassification, window=48, num_labels=1, seed=3
    )
    reranker = Reranker(str(folder), home=tmp_path)
    passages = ["the river runs past old towns", "ada wrote notes " * 40, "boats", "green hills ! near science"]
    before = reranker.rerank("who wrote the notes ?", passages)
    assert reranker._choice.converted() is None
    convert(folder, tmp_path, name="ranker", form=form_of(folder, None))
    assert reranker._choice.converted() is not None
    after = reranker.rerank("who wrote the notes ?", passages)
    assert np.allclose(before, after, atol=0.03)
    assert len(set(np.round(after, 3))) > 1


def test_the_form_follows_what_a_model_is_for(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    assert form_of(tiny_encoder_folder, None) == "vectors"
    assert form_of(save_tiny_chat(tmp_path / "chat"), None) == "chat"
    with pytest.raises(WrongRole, match="'unknown'"):
        form_of(_without_architecture(tiny_encoder_folder, tmp_path / "none"), None)


def _without_architecture(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({key: config[key] for key in config if key != "architectures"}))
    return target


@pytest.mark.real_model
@pytest.mark.timeout(300)
def test_the_embedded_encoder_converts_and_gives_float32s_vectors(embedded_home: Path) -> None:
    from models.loading import load_embeddings

    embeddings = LocalEmbeddings(home=embedded_home, engine="openvino")
    target = convert(embeddings.folder, embedded_home, name=embeddings.model, form="vectors")
    assert json.loads((target / "parity.json").read_text())["worst"] > 0.999
    exact = load_embeddings(embeddings.folder, name="MiniLM", batch_size=8, exact=True)
    many = [f"{number}: {text}" for number in range(12) for text in texts(256)]
    cosines = (np.array(exact.embed_documents(many)) * np.array(embeddings.embed_documents(many))).sum(axis=1)
    assert cosines.min() >= 0.998
