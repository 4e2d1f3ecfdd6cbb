"""Fill-mask, token features, ranking and similarity against transformers' own pipelines and plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from langchain_core.embeddings import Embeddings
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    pipeline,
)

from models.embeddings import LocalEmbeddings
from models.errors import PromptTooLong, WrongRole
from models.tasks.errors import EmptyText, NoMask
from models.tasks.features import FeatureExtractor
from models.tasks.fill_mask import MaskFiller
from models.tasks.late import LATE
from models.tasks.reranker import Reranker
from models.tasks.similarity import Similarity
from models.tasks.windows import windows_of
from tests.models.tiny_tasks import long_text, save_bert
from training.tasks.base import change_config


@pytest.fixture
def filler(tmp_path: Path, float32: None) -> MaskFiller:
    return MaskFiller(str(save_bert(tmp_path / "mlm", BertForMaskedLM)), home=tmp_path)


def test_fill_mask_equals_the_pipeline(filler: MaskFiller) -> None:
    peer = pipeline("fill-mask", model=str(filler.folder), top_k=4)
    text = "the river [MASK] past old towns ."
    own = filler(text, top_k=4)[0]
    theirs = peer(text)
    assert [item.token for item in own] == [item["token_str"] for item in theirs]
    assert [item.score for item in own] == pytest.approx([item["score"] for item in theirs], abs=1e-5)


@pytest.mark.parametrize("gap", ["[MASK]", "<mask>", "___"])
def test_every_writing_of_a_gap_is_understood(filler: MaskFiller, gap: str) -> None:
    first, second = filler(f"the {gap} runs past old {gap} .", top_k=1)
    assert first[0].text == f"the {first[0].token} runs past old [MASK] ."
    assert second[0].text == f"the [MASK] runs past old {second[0].token} ."


def test_a_text_without_a_gap_is_refused(filler: MaskFiller) -> None:
    with pytest.raises(NoMask, match=r"\[MASK\]"):
        filler("the river runs")


def test_a_gap_beyond_the_window_is_refused(filler: MaskFiller) -> None:
    with pytest.raises(PromptTooLong):
        filler(long_text(60, 1) + " [MASK]")


def test_features_equal_the_pipeline(tmp_path: Path, float32: None) -> None:
    extractor = FeatureExtractor(str(save_bert(tmp_path / "encoder", BertModel)), home=tmp_path)
    text = "the river runs past zebra"
    own = extractor(text)
    theirs = np.array(pipeline("feature-extraction", model=str(extractor.folder))(text)[0])[1:-1]
    assert own.vectors == pytest.approx(theirs, abs=1e-4)
    assert [text[start:end] for start, end in own.offsets[:4]] == ["the", "river", "runs", "past"]
    assert own.mean() == pytest.approx(theirs.mean(0), abs=1e-4)


def test_features_of_a_long_text_cover_every_token(tmp_path: Path, float32: None) -> None:
    extractor = FeatureExtractor(str(save_bert(tmp_path / "flat", BertModel, layers=0)), home=tmp_path)
    text = long_text(100, 4)
    own = extractor(text)
    tokens = extractor.load().tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert list(own.offsets) == [tuple(pair) for pair in tokens["offset_mapping"]]


@pytest.mark.parametrize("labels", [["LABEL_0"], ["no", "yes"]])
def test_the_reranker_scores_pairs(tmp_path: Path, float32: None, labels: list[str]) -> None:
    folder = save_bert(tmp_path / "cross", BertForSequenceClassification, labels=labels, num_labels=len(labels))
    reranker = Reranker(str(folder), home=tmp_path)
    texts = ["the river runs", "ada lovelace wrote notes in london", "fish"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    expected = []
    for text in texts:
        with torch.inference_mode():
            logits = model(**tokenizer("who wrote ?", text, return_tensors="pt")).logits[0]
        expected.append(float(torch.sigmoid(logits[0]) if len(labels) == 1 else torch.softmax(logits, -1)[1]))
    assert reranker.rerank("who wrote ?", texts) == pytest.approx(expected, abs=1e-5)
    ranked = reranker.rank("who wrote ?", texts, top_k=2)
    assert [item.index for item in ranked] == sorted(range(3), key=lambda i: -expected[i])[:2]


def test_a_long_passage_counts_with_its_best_window(tmp_path: Path, float32: None) -> None:
    folder = save_bert(tmp_path / "cross", BertForSequenceClassification, labels=["LABEL_0"], num_labels=1)
    reranker = Reranker(str(folder), home=tmp_path)
    parts = [long_text(20, seed) for seed in range(5)]
    whole = reranker.rerank("who ?", [" ".join(parts)])[0]
    assert 0 < whole < 1
    assert reranker.rerank("who ?", []) == []


@pytest.fixture
def late(tmp_path: Path, float32: None) -> Reranker:
    folder = save_bert(tmp_path / "late", BertModel)
    change_config(folder, {LATE: True})
    return Reranker(str(folder), home=tmp_path)


def nearest_words(folder: Path, query: str, text: str) -> list[float]:
    """The cosine of each word of the query with its nearest token of the text, one by one."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        asked, read = (
            np.asarray(model(**tokenizer(one, return_tensors="pt")).last_hidden_state[0]) for one in (query, text)
        )
    return [max(float(word @ one / np.linalg.norm(word) / np.linalg.norm(one)) for one in read) for word in asked[1:-1]]


def test_late_interaction_is_the_mean_of_each_words_nearest_word(late: Reranker) -> None:
    query, texts = "who wrote notes", ["the river runs", "ada lovelace wrote notes in london", "fish"]
    expected = [np.mean(nearest_words(late.folder, query, text)) for text in texts]
    assert late.rerank(query, texts) == pytest.approx(expected, abs=1e-4)
    assert [one.index for one in late.rank(query, texts)] == sorted(range(3), key=lambda index: -expected[index])


def test_each_word_looks_in_every_window_of_a_long_passage(late: Reranker) -> None:
    query, whole = "who wrote notes", long_text(100, 4)
    tokenizer = late.load().tokenizer
    windows = windows_of(tokenizer, [whole], window=late.window, stride=late.window // 8)
    parts = [whole[window.offsets[1][0] : window.offsets[-2][1]] for window in windows]
    assert len(parts) > 2
    expected = np.max([nearest_words(late.folder, query, part) for part in parts], axis=0).mean()
    assert late.rerank(query, [whole])[0] == pytest.approx(expected, abs=1e-3)
    assert late.rerank(query, []) == []
    assert len(late.rerank(whole, ["a passage"])) == 1  # of a long query the first window's words


def test_an_encoder_that_was_not_trained_for_it_ranks_nothing(tmp_path: Path) -> None:
    with pytest.raises(WrongRole):
        Reranker(str(save_bert(tmp_path / "plain", BertModel)), home=tmp_path)


def test_similarity_equals_the_encoder(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    embeddings = LocalEmbeddings(str(tiny_encoder_folder), home=tmp_path)
    similarity = Similarity(embeddings)
    first, second = embeddings.embed_documents(["the quick fox", "a lazy dog"])
    assert similarity("the quick fox", "a lazy dog") == pytest.approx(float(np.dot(first, second)), abs=1e-3)
    assert similarity("the quick fox", "the quick fox") == pytest.approx(1, abs=1e-5)
    ranked = similarity.rank("the quick fox", ["a lazy dog", "the quick fox"])
    assert [item.index for item in ranked] == [1, 0]


class Counted(Embeddings):
    """Counts the words of a text; reads four words at once."""

    max_tokens = 4

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans, at = [], 0
        for word in text.split(" "):
            spans.append((at, at + len(word)))
            at += len(word) + 1
        return spans

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        assert all(len(text.split()) <= 4 for text in texts)
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(text.count("a")) + 1e-3, float(text.count("b"))]


def test_a_long_text_counts_with_all_its_pieces() -> None:
    vectors = Similarity(Counted()).vectors(["a a a a b b b b b b b b"])
    assert vectors[0][1] > vectors[0][0] > 0
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(EmptyText):
        Similarity(Counted())("a", " ")
