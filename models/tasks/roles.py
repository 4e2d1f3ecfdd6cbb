"""The table of language tasks: which model class serves each, how to tell such a model by its config, what to fetch.

Imports nothing heavy; `models/tasks/base.py` turns a name and a role into a loaded model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from models.tasks.late import LATE


@dataclass(frozen=True)
class TaskRole:
    """One task: its name in words, the verb that does it, the transformers class, and models known to serve it.

    `endings` are the ends of the architecture names that config.json gives for such a model.
    """

    name: str
    words: str
    verb: str
    auto_class: str
    endings: tuple[str, ...]
    examples: tuple[str, ...]


NO_TOOL = "route_no_tool"
"""The key of a router's config.json with the words that stand for no tool."""

SUPPORT_TREES = "support_trees"
"""The key of config.json with the trees that weigh what a reader says for and against a claim."""

_SEQ2SEQ = ("ForConditionalGeneration", "MTModel", "EncoderDecoderModel")

ROLES: Mapping[str, TaskRole] = MappingProxyType(
    {
        role.name: role
        for role in (
            TaskRole(
                "classify",
                "text classification",
                "classify",
                "AutoModelForSequenceClassification",
                ("ForSequenceClassification",),
                ("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "SamLowe/roberta-base-go_emotions"),
            ),
            TaskRole(
                "zero-shot",
                "classification by entailment",
                "classify",
                "AutoModelForSequenceClassification",
                ("ForSequenceClassification",),
                ("MoritzLaurer/deberta-v3-xsmall-zeroshot-v1.1-all-33", "facebook/bart-large-mnli"),
            ),
            TaskRole(
                "entities",
                "named entities",
                "entities",
                "AutoModelForTokenClassification",
                ("ForTokenClassification",),
                ("dslim/bert-base-NER", "dbmdz/bert-large-cased-finetuned-conll03-english"),
            ),
            TaskRole(
                "extract",
                "span answers",
                "extract",
                "AutoModelForQuestionAnswering",
                ("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
                ("distilbert/distilbert-base-cased-distilled-squad", "deepset/roberta-base-squad2"),
            ),
            TaskRole(
                "summarize",
                "summarization",
                "summarize",
                "AutoModelForSeq2SeqLM",
                _SEQ2SEQ,
                ("google-t5/t5-small", "facebook/bart-large-cnn"),
            ),
            TaskRole(
                "translate",
                "translation",
                "translate",
                "AutoModelForSeq2SeqLM",
                _SEQ2SEQ,
                ("google-t5/t5-small", "google/madlad400-3b-mt"),
            ),
            TaskRole(
                "fill-mask",
                "filling a masked word",
                "fill-mask",
                "AutoModelForMaskedLM",
                ("ForMaskedLM", "ForPreTraining"),
                ("distilbert/distilroberta-base", "google-bert/bert-base-uncased"),
            ),
            TaskRole(
                "features",
                "feature extraction",
                "features",
                "AutoModel",
                ("",),
                ("all-minilm-l6-v2", "google-bert/bert-base-uncased"),
            ),
            TaskRole(
                "rerank",
                "text ranking",
                "rank",
                "AutoModelForSequenceClassification",
                ("ForSequenceClassification", "Model"),
                ("cross-encoder/ms-marco-MiniLM-L6-v2", "BAAI/bge-reranker-base"),
            ),
            TaskRole(
                "support",
                "judging support",
                "ask",
                "AutoModelForSequenceClassification",
                ("ForSequenceClassification", "ForQuestionAnswering"),
                ("a judge of your own: `hearth train run support`", "cross-encoder/nli-deberta-v3-small"),
            ),
            TaskRole(
                "route",
                "choosing a tool",
                "ask",
                "AutoModel",
                ("Model",),
                ("a router of your own: `hearth train run routing`",),
            ),
            TaskRole(
                "table-answer",
                "table question answering",
                "table-answer",
                "AutoModelForTableQuestionAnswering",
                ("TapasForQuestionAnswering",),
                ("google/tapas-base-finetuned-wtq", "google/tapas-small-finetuned-wtq"),
            ),
        )
    }
)

# first match wins, so the special names stand before the general ones
_SERVES = (
    ("TapasForQuestionAnswering", "table-answer"),
    ("ForSequenceClassification", "classify"),
    ("ForTokenClassification", "entities"),
    ("ForQuestionAnswering", "extract"),
    ("ForQuestionAnsweringSimple", "extract"),
    ("ForMaskedLM", "fill-mask"),
    ("ForPreTraining", "fill-mask"),
    ("ForConditionalGeneration", "translate or summarize"),
    ("MTModel", "translate"),
    ("ForCausalLM", "chat"),
    ("LMHeadModel", "chat"),
    ("Model", "embed"),
)


def served_by(config: Mapping[str, Any]) -> str:
    """What a model is for, by the architecture its config.json names; "unknown" where it names none."""
    names = config.get("architectures")
    architecture = str(names[0]) if isinstance(names, list) and names else ""
    return next((role for ending, role in _SERVES if architecture.endswith(ending)), "unknown")


def can_serve(config: Mapping[str, Any], role: str) -> bool:
    """Whether a model with this config was made for `role`.

    A config without architectures is let through: loading finds out whether the weights are there.
    """
    names = config.get("architectures")
    if not isinstance(names, list) or not names:
        return True
    architecture = str(names[0])
    if role == "extract" and architecture.startswith("Tapas"):
        return False
    if not any(architecture.endswith(ending) for ending in ROLES[role].endings):
        return False
    if role == "route":
        return NO_TOOL in config
    if role == "zero-shot":
        return entailment_index(config) is not None
    if role == "support":
        reads = architecture.endswith("ForQuestionAnswering")
        return SUPPORT_TREES in config if reads else support_index(config) is not None
    if role == "rerank":
        return bool(config.get(LATE)) or (architecture.endswith("Classification") and label_count(config) <= 2)
    return True


def label_count(config: Mapping[str, Any]) -> int:
    """How many classes a classifier's config names; transformers' own default is 2."""
    labels = config.get("id2label")
    return len(labels) if isinstance(labels, dict) and labels else 2


def entailment_index(config: Mapping[str, Any]) -> int | None:
    """The class that stands for entailment in a model trained on inference pairs, else None."""
    return _class_called(config, "entail")


def support_index(config: Mapping[str, Any]) -> int | None:
    """The class that stands for a supported claim, or for entailment, else None."""
    own = _class_called(config, "supported")
    return entailment_index(config) if own is None else own


def _class_called(config: Mapping[str, Any], beginning: str) -> int | None:
    labels = config.get("id2label")
    if not isinstance(labels, dict):
        return None
    return next((int(index) for index, label in labels.items() if str(label).lower().startswith(beginning)), None)
