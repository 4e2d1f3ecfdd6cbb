"""Zero-shot: entailment equal to transformers' pipeline, likelihoods equal to plain forward passes, labels checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from langchain_core.embeddings import Embeddings
from transformers import BertForSequenceClassification, pipeline

from models.chat import LocalChatModel
from models.errors import PromptTooLong, WrongRole
from models.prompts import label_messages, render
from models.tasks.errors import EmptyText, TooFewLabels
from models.tasks.likelihood import continuation_likelihoods
from models.tasks.zero_shot import EmbeddingZeroShot, EntailmentZeroShot, LikelihoodZeroShot, check_labels
from tests.models.tiny_tasks import long_text, save_bert

LABELS = ["sports", "business", "science"]
TEXTS = ["the river runs past old towns", "ada lovelace wrote notes", "fish !"]
NLI = ["contradiction", "neutral", "entailment"]


@pytest.fixture
def entailment(tmp_path: Path, float32: None) -> EntailmentZeroShot:
    folder = save_bert(tmp_path / "nli", BertForSequenceClassification, labels=NLI, window=48)
    return EntailmentZeroShot(str(folder), home=tmp_path)


@pytest.mark.parametrize("several", [False, True])
def test_entailment_equals_the_pipeline(entailment: EntailmentZeroShot, several: bool) -> None:
    peer = pipeline("zero-shot-classification", model=str(entailment.folder))
    for text, own in zip(TEXTS, entailment.many(TEXTS, LABELS, several=several), strict=True):
        theirs = peer(text, LABELS, multi_label=several)
        expected = dict(zip(theirs["labels"], theirs["scores"], strict=True))
        assert {item.label: item.score for item in own.labels} == pytest.approx(expected, abs=1e-5)
        assert own.windows == 1


def test_a_long_text_is_read_whole(entailment: EntailmentZeroShot) -> None:
    text = long_text(100, 2)
    beginning = entailment.many([text[:80]], LABELS)[0]
    whole = entailment.many([text], LABELS)[0]
    assert whole.windows > 2
    assert sum(item.score for item in whole.labels) == pytest.approx(1)
    assert [item.score for item in whole.labels] != pytest.approx([item.score for item in beginning.labels], abs=1e-4)


def test_a_classifier_without_entailment_is_refused(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "plain", BertForSequenceClassification, labels=["a", "b"])
    with pytest.raises(WrongRole, match="serves the role 'classify', not 'zero-shot'"):
        EntailmentZeroShot(str(folder), home=tmp_path)


def test_shared_prefix_likelihoods_equal_plain_forward_passes(tiny_chat: LocalChatModel, float32: None) -> None:
    model = tiny_chat.load().model
    prompt, continuations = [5, 9, 20, 31, 7], [[11], [12, 40, 3, 9], [8, 8], [100, 2, 50]]
    found = continuation_likelihoods(model, prompt, continuations)
    for own, tokens in zip(found, continuations, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *tokens]])).logits[0].float().log_softmax(-1)
        expected = [float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(tokens)]
        assert own == pytest.approx(expected, abs=0.02 if model.dtype == torch.bfloat16 else 1e-4)


def test_the_chat_model_ranks_labels_by_their_likelihood(tiny_chat: LocalChatModel) -> None:
    zero_shot = LikelihoodZeroShot(tiny_chat)
    result = zero_shot.many(["The fox reads."], ["fox", "a model"])[0]
    assert {item.label for item in result.labels} == {"fox", "a model"}
    assert sum(item.score for item in result.labels) == pytest.approx(1)
    loaded = tiny_chat.load()
    prompt = render(loaded.tokenizer, label_messages("The fox reads.", ["fox", "a model"]), model="tiny")
    with torch.inference_mode():
        expected = []
        for label in ("fox", "a model"):
            tokens = tiny_chat.get_token_ids(label)
            logits = loaded.model(torch.tensor([[*prompt, *tokens]])).logits[0].float().log_softmax(-1)
            expected.append(sum(float(logits[len(prompt) - 1 + i, t]) for i, t in enumerate(tokens)) / len(tokens))
    assert zero_shot.scores("The fox reads.", ["fox", "a model"]) == pytest.approx(expected, abs=0.02)


def test_a_text_beyond_the_chat_window_is_refused(tiny_chat: LocalChatModel) -> None:
    with pytest.raises(PromptTooLong):
        LikelihoodZeroShot(tiny_chat).many(["fox " * 2000], ["a", "b"])


class Axes(Embeddings):
    """A vector whose direction is the first known word of a text."""

    model = "axes"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(word in text) + 0.01 for word in ("football", "money")]


def test_the_nearest_label_wins() -> None:
    zero_shot = EmbeddingZeroShot(Axes())
    results = zero_shot.many(["a football match", "the money market"], ["money", "football"])
    assert [result.label for result in results] == ["football", "money"]
    assert zero_shot.name == "axes"
    assert all(sum(item.score for item in result.labels) == pytest.approx(1) for result in results)


@pytest.mark.parametrize("labels", [[], ["one"], ["one", " one "], ["one", ""]])
def test_fewer_than_two_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(TooFewLabels, match="at least 2"):
        check_labels(labels)


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(EmptyText):
        EmbeddingZeroShot(Axes()).many([" "], ["a", "b"])
