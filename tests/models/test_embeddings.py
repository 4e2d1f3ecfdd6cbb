"""The sentence encoder: like HuggingFaceEmbeddings in float32, only sooner, and known by its fingerprint."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from langchain_huggingface import HuggingFaceEmbeddings

from models.embeddings import LocalEmbeddings, _batches, open_embeddings
from models.errors import BrokenModel, UnsafeModel

TEXTS = [
    "The quick brown fox",
    "a",
    "Passages have numbers; answers name them. " * 3,
    "",
    "Grüße aus Köln",
    "A model answers one token at a time\nand a person may stop it.",
]


@pytest.fixture
def tiny(tiny_encoder_folder: Path, tmp_path: Path) -> LocalEmbeddings:
    return open_embeddings(str(tiny_encoder_folder), home=tmp_path)


def cosines(left: list[list[float]], right: list[list[float]]) -> np.ndarray:
    a, b = np.array(left), np.array(right)
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def test_vectors_are_those_of_huggingface_embeddings_in_order(tiny: LocalEmbeddings, tiny_encoder_folder: Path) -> None:
    plain = HuggingFaceEmbeddings(model_name=str(tiny_encoder_folder)).embed_documents(TEXTS)
    vectors = tiny.embed_documents(TEXTS)
    assert cosines(plain, vectors).min() >= 0.998
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert len(vectors[0]) == tiny.dimension == 16


def test_the_same_text_gives_the_same_vector_in_any_company(tiny: LocalEmbeddings) -> None:
    alone = tiny.embed_documents([TEXTS[0]])
    assert cosines(alone, [tiny.embed_documents(TEXTS)[0]]).min() > 0.9999
    assert cosines(alone, [tiny.embed_query(TEXTS[0])]).min() > 0.9999


def test_no_texts_give_no_vectors(tiny: LocalEmbeddings) -> None:
    assert tiny.embed_documents([]) == []


def test_batches_are_bounded_longest_first_and_hold_every_text_once() -> None:
    texts = ["x" * length for length in [10, 9000, 5, 4000, 3999, 1, *[3] * 200]]
    batches = list(_batches(texts))
    assert sorted(index for batch in batches for index in batch) == list(range(len(texts)))
    lengths = [len(texts[index]) for batch in batches for index in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert all(len(batch) <= 64 for batch in batches)
    assert all(sum(len(texts[i]) for i in batch) <= 8000 for batch in batches if len(batch) > 1)


def test_several_threads_may_embed_at_once(tiny: LocalEmbeddings) -> None:
    expected = tiny.embed_documents(TEXTS)
    found: list[list[list[float]]] = []
    threads = [threading.Thread(target=lambda: found.append(tiny.embed_documents(TEXTS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(np.allclose(vectors, expected, atol=1e-6) for vectors in found)
    assert len(found) == 4


def test_token_spans_point_at_the_texts_own_characters(tiny: LocalEmbeddings) -> None:
    text = "The fox, ÜBER 汶川 numbers"
    spans = tiny.token_spans(text)
    assert [text[start:end] for start, end in spans[:3]] == ["The", "fox", ","]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert not {text[start:end] for start, end in spans} & {"[CLS]", "[SEP]"}


def test_token_spans_of_a_long_text_are_those_of_its_parts(tiny: LocalEmbeddings) -> None:
    text = "quick brown fox " * 20_000  # more than three pieces
    spans = tiny.token_spans(text)
    part = tiny.token_spans("quick brown fox ")
    assert len(spans) == len(part) * 20_000
    assert spans[-1][1] == len(text) - 1
    assert all(text[start:end] in "quick brown fox" for start, end in spans)


def test_max_tokens_is_what_the_model_reads_without_its_own(tiny: LocalEmbeddings) -> None:
    assert tiny.max_tokens == 30
    words = ["fox"] * 40
    within = tiny.embed_documents([" ".join(words[:30])])
    assert cosines(within, tiny.embed_documents([" ".join(words)])).min() > 0.9999


def test_the_fingerprint_follows_weights_pooling_and_prompts_only(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    def changed(name: str, file: str, change: str) -> str:
        folder = tmp_path / name / "model"
        shutil.copytree(tiny_encoder_folder, folder)
        (folder / file).write_text(change)
        return fingerprint(folder)

    def fingerprint(folder: Path) -> str:
        embeddings = open_embeddings(str(folder), home=tmp_path)
        embeddings._entry = embeddings._entry.__class__(name="same", kind="folder", source=str(folder), role="embed")
        return embeddings.fingerprint

    original = fingerprint(tiny_encoder_folder)
    pooling = json.dumps({"word_embedding_dimension": 16, "pooling_mode_cls_token": True})
    prompts = json.dumps({"prompts": {"query": "query: "}})
    same = changed("readme", "README.md", "other words")
    assert same == original
    assert len({original, changed("a", "1_Pooling/config.json", pooling)}) == 2
    assert len({original, changed("b", "config_sentence_transformers.json", prompts)}) == 2


def test_a_query_prompt_is_used_for_queries_only(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder_folder, tmp_path / "prompted"))
    prompts = {"prompts": {"query": "numbers numbers ", "document": ""}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    plain, prompted = (open_embeddings(str(f), home=tmp_path) for f in (tiny_encoder_folder, folder))
    assert cosines(plain.embed_documents(["fox"]), prompted.embed_documents(["fox"])).min() > 0.9999
    expected = plain.embed_query("numbers numbers fox")
    assert cosines([expected], [prompted.embed_query("fox")]).min() > 0.9999


@pytest.mark.parametrize(
    "module", [{"type": "os.system", "path": ""}, {"type": "sentence_transformers.models.Pooling", "path": "../.."}]
)
def test_m04_modules_that_could_run_code_are_refused(
    tiny_encoder_folder: Path, tmp_path: Path, module: dict[str, str]
) -> None:
    folder = Path(shutil.copytree(tiny_encoder_folder, tmp_path / "evil"))
    (folder / "modules.json").write_text(json.dumps([module]))
    with pytest.raises(UnsafeModel, match=r"modules\.json"):
        open_embeddings(str(folder), home=tmp_path).embed_query("x")


def test_a_modules_file_that_is_no_list_is_one_sentence(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder_folder, tmp_path / "broken"))
    (folder / "modules.json").write_text("{")
    with pytest.raises(BrokenModel, match=r"modules\.json"):
        open_embeddings(str(folder), home=tmp_path).embed_query("x")


def test_what_an_index_asks_loads_no_torch(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    import subprocess

    script = f"""
import sys
from pathlib import Path
from models import open_embeddings
embeddings = open_embeddings({str(tiny_encoder_folder)!r}, home=Path({str(tmp_path)!r}))
embeddings.fingerprint, embeddings.dimension, embeddings.max_tokens, embeddings.token_spans("fox")
print("torch" in sys.modules, "transformers" in sys.modules)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.real_model
def test_the_embedded_encoder_is_close_to_float32(embedded_home: Path) -> None:
    embeddings = open_embeddings(home=embedded_home)
    texts = [f"{text} number {number}" for number in range(20) for text in TEXTS]
    plain = HuggingFaceEmbeddings(model_name=str(embeddings.folder)).embed_documents(texts)
    assert cosines(plain, embeddings.embed_documents(texts)).min() >= 0.998
