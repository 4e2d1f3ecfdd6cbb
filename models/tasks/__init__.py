"""The language tasks, one a file: a typed result and a class that is called with one text or many.

Names are resolved on first use, so importing the package loads no torch and no transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.tasks.classifier import Classification, LabelScore, TextClassifier
    from models.tasks.entities import Entity, EntityRecognizer
    from models.tasks.extractor import Extraction, Extractor
    from models.tasks.features import FeatureExtractor, TokenFeatures
    from models.tasks.fill_mask import Filled, MaskFiller
    from models.tasks.language import DetectedLanguage, detect_language
    from models.tasks.open import Tasks
    from models.tasks.reranker import Ranked, Reranker
    from models.tasks.router import Routed, ToolRouter
    from models.tasks.sentence_extractor import SentenceExtractor
    from models.tasks.similarity import Similarity
    from models.tasks.summarizer import ChatSummarizer, SentenceSummarizer, Seq2SeqSummarizer, Summary
    from models.tasks.support import SupportJudge
    from models.tasks.table_answer import TableAnswer, TableAnswerer
    from models.tasks.translator import Translation, Translator
    from models.tasks.zero_shot import ZeroShotClassifier

__all__ = [
    "ChatSummarizer",
    "Classification",
    "DetectedLanguage",
    "Entity",
    "EntityRecognizer",
    "Extraction",
    "Extractor",
    "FeatureExtractor",
    "Filled",
    "LabelScore",
    "MaskFiller",
    "Ranked",
    "Reranker",
    "Routed",
    "SentenceExtractor",
    "SentenceSummarizer",
    "Seq2SeqSummarizer",
    "Similarity",
    "Summary",
    "SupportJudge",
    "TableAnswer",
    "TableAnswerer",
    "Tasks",
    "TextClassifier",
    "TokenFeatures",
    "ToolRouter",
    "Translation",
    "Translator",
    "ZeroShotClassifier",
    "detect_language",
]

_HOMES = {
    "classifier": ("Classification", "LabelScore", "TextClassifier"),
    "entities": ("Entity", "EntityRecognizer"),
    "extractor": ("Extraction", "Extractor"),
    "features": ("FeatureExtractor", "TokenFeatures"),
    "fill_mask": ("Filled", "MaskFiller"),
    "language": ("DetectedLanguage", "detect_language"),
    "open": ("Tasks",),
    "reranker": ("Ranked", "Reranker"),
    "router": ("Routed", "ToolRouter"),
    "similarity": ("Similarity",),
    "sentence_extractor": ("SentenceExtractor",),
    "summarizer": ("ChatSummarizer", "SentenceSummarizer", "Seq2SeqSummarizer", "Summary"),
    "support": ("SupportJudge",),
    "table_answer": ("TableAnswer", "TableAnswerer"),
    "translator": ("Translation", "Translator"),
    "zero_shot": ("ZeroShotClassifier",),
}
_FILES = {name: file for file, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'models.tasks' has no attribute {name!r}")
    return getattr(import_module(f"models.tasks.{_FILES[name]}"), name)
