"""An assistant whose replies are written otherwise, over the same library, threads and tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.language_models import BaseChatModel
from transformers import BertForSequenceClassification

from agent.assembly import House
from agent.settings import load_settings
from models.errors import ModelNotFound
from models.registry import Registry
from tests.models.tiny_tasks import save_bert


def test_only_the_replies_change(tmp_path: Path) -> None:
    with House(load_settings({"home": tmp_path, "temperature": 0.0, "max_new_tokens": 256})) as house:
        usual = house.assistant()
        tuned = house.tuned(usual, temperature=0.7, max_new_tokens=64)
        assert (tuned.chat_model.temperature, tuned.chat_model.max_new_tokens) == (0.7, 64)  # type: ignore[attr-defined]
        assert (tuned.settings.temperature, tuned.settings.max_new_tokens) == (0.7, 64)
        assert (usual.chat_model.temperature, usual.settings.max_new_tokens) == (0.0, 256)  # type: ignore[attr-defined]
        assert tuned.library is usual.library
        assert tuned.memory is usual.memory
        tuned.close()
        assert usual.library.documents() == []


def named(model: BaseChatModel | None) -> str | None:
    return None if model is None else str(model.model)  # type: ignore[attr-defined]


def test_plain_talk_is_left_to_the_base_of_the_adapter_that_came_with_hearth(tmp_path: Path) -> None:
    """It has learned a few jobs, and a few words for each; what was trained or named here speaks for itself."""
    with House(load_settings({"home": tmp_path})) as house:
        usual = house.assistant()
        assert house.roles().serving("chat").origin == "shipped"
        assert named(usual.talker) == "smollm2-135m-instruct"
        serving, how = named(usual.chat_model) or "", {"temperature": 0.7, "max_new_tokens": 64}
        for chosen in ("", serving):
            tuned = house.tuned(usual, chat_model=chosen, **how)  # type: ignore[arg-type]
            assert (named(tuned.chat_model), named(tuned.talker)) == (serving, "smollm2-135m-instruct")
            assert tuned.talker.temperature == 0.7  # type: ignore[union-attr]
        assert house.tuned(usual, chat_model="smollm2-135m-instruct", **how).talker is None  # type: ignore[arg-type]
    with House(load_settings({"home": tmp_path, "chat_model": serving})) as house:
        assert house.assistant().talker is None


def test_labels_that_a_classifier_was_trained_on_go_to_it(tmp_path: Path) -> None:
    with House(load_settings({"home": tmp_path})) as house:
        for labels in (["positive", "negative"], ["Negative", "Positive"]):
            trained = house.tasks().classifier_of(labels)
            assert trained is not None
            assert trained.name == house.label_serving("zero-shot", labels) == "film-reviews@1"
        assert house.tasks().classifier_of(["positive", "negative", "neutral"]) is None
        assert house.label_serving("zero-shot", ["river", "money"]) == house.label_serving("zero-shot")
    with House(load_settings({"home": tmp_path, "zero_shot_model": "all-minilm-l6-v2"})) as house:
        assert house.tasks().classifier_of(["positive", "negative"]) is None


def test_a_candidate_gets_no_labels_until_it_is_promoted(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "model", BertForSequenceClassification, labels=["bad", "good"])
    registry = Registry(tmp_path / "home")
    with House(load_settings({"home": tmp_path / "home"})) as house:
        added = registry.add(folder, "mine", "classify")
        labels = list(added.facts.labels)
        assert house.tasks().classifier_of(labels) is None
        registry.promote(added.label)
        trained = house.tasks().classifier_of(labels)
        assert trained is not None
        assert trained.name == "mine@1"


def test_an_unknown_model_is_refused_by_name(tmp_path: Path) -> None:
    with House(load_settings({"home": tmp_path})) as house, pytest.raises(ModelNotFound, match="no-such-model"):
        house.tuned(house.assistant(), chat_model="no-such-model", temperature=0.0, max_new_tokens=64)


def test_the_model_that_serves_comes_first(tmp_path: Path) -> None:
    with House(load_settings({"home": tmp_path})) as house:
        labels = house.chat_labels()
        assert labels[0] == house.roles().serving("chat").model
        assert len(labels) == len(set(labels))


def test_answers_come_in_another_language_only_where_something_translates(tmp_path: Path) -> None:
    with House(load_settings({"home": tmp_path})) as house:
        assert house.answer_languages() == ()
        tuned = house.tuned(house.assistant(), temperature=0.0, max_new_tokens=64, answer_in="de")
        assert tuned.languages is not None
        assert tuned.languages.answer_in == "de"
    with House(load_settings({"home": tmp_path, "translate_model": "no-such-model"})) as house:
        assert house.answer_languages() == ()
