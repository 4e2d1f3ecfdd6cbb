"""What each task means: its columns, its model, how rows become numbers, and the class that serves and judges it.

One file a task; they are imported when a recipe names them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.recipe import Recipe
    from training.tasks.base import Task

# kind -> module and class
KINDS: dict[str, tuple[str, str]] = {
    "sequence-classification": ("sequence_classification", "SequenceClassification"),
    "token-classification": ("token_classification", "TokenClassification"),
    "masked-language-model": ("masked_language_model", "MaskedLanguageModel"),
    "sentence-embeddings": ("sentence_embeddings", "SentenceEmbeddings"),
    "sentence-similarity": ("sentence_similarity", "SentenceSimilarity"),
    "reranking": ("reranking", "Reranking"),
    "late-reranking": ("late_reranking", "LateReranking"),
    "question-answering": ("question_answering", "QuestionAnswering"),
    "chat": ("chat", "Chat"),
    "follow-ups": ("follow_ups", "FollowUps"),
    "asking": ("asking", "Asking"),
    "claim-support": ("claim_support", "ClaimSupport"),
    "distilled-classification": ("distilled_classification", "DistilledClassification"),
    "dpo": ("dpo", "DPO"),
    "kto": ("kto", "KTO"),
    "language-model": ("language_model", "LanguageModel"),
    "summarization": ("summarization", "Summarization"),
    "tool-routing": ("tool_routing", "ToolRouting"),
    "translation": ("translation", "Translation"),
}


def task_class(kind: str) -> type[Task]:
    """The class of a task kind."""
    module, name = KINDS[kind]
    found: type[Task] = getattr(import_module(f"training.tasks.{module}"), name)
    return found


def options_class(kind: str) -> type:
    """The dataclass of a task's own recipe keys."""
    return task_class(kind).Options


def open_task(recipe: Recipe) -> Task:
    """The task of a recipe."""
    return task_class(recipe.task)(recipe)
