"""The rest of the tasks that transformers and the Hugging Face hub know: who serves each here, or why nobody does.

Source of the hub's list: huggingface.co/tasks (packages/tasks/src/pipelines.ts of huggingface.js).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Served:
    """A task that a class of Hearth serves in its own way: the class, the verb, the setting that names its model."""

    by: str
    verb: str
    setting: str


_SEQ2SEQ = "models.tasks.Seq2SeqSummarizer"

OWN: Mapping[str, Served] = MappingProxyType(
    {
        "text-classification": Served("models.tasks.TextClassifier", "hearth classify", "classify_model"),
        "zero-shot-classification": Served(
            "models.tasks.ZeroShotClassifier", "hearth classify --labels", "zero_shot_model"
        ),
        "token-classification": Served("models.tasks.EntityRecognizer", "hearth entities", "entities_model"),
        "fill-mask": Served("models.tasks.MaskFiller", "hearth fill-mask", "fill_mask_model"),
        "feature-extraction": Served("models.tasks.FeatureExtractor", "hearth features", "features_model"),
        "table-question-answering": Served("models.tasks.TableAnswerer", "hearth table-answer", "table_answer_model"),
        "text-generation": Served("models.LocalChatModel", "hearth ask", "chat_model"),
    }
)
"""Tasks that are pipelines in transformers too, and have a class of their own here."""

REMOVED: Mapping[str, Served | str] = MappingProxyType(
    {
        "summarization": Served(_SEQ2SEQ, "hearth summarize", "summarize_model"),
        "translation": Served("models.tasks.Translator", "hearth translate", "translate_model"),
        "question-answering": Served("models.tasks.Extractor", "hearth extract", "extract_model"),
        "text2text-generation": Served(_SEQ2SEQ, "hearth summarize", "summarize_model"),
        "image-to-image": "transformers 5 dropped its pipeline; such models are made for diffusers, a second framework",
    }
)
"""Tasks whose pipelines transformers 5 removed; visual question answering lives on under another name."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "image-to-text": "image-text-to-text",
        "visual-question-answering": "image-text-to-text",
        "vqa": "image-text-to-text",
        "audio-text-to-text": "any-to-any",
        "text-to-speech": "text-to-audio",
        "sentiment-analysis": "text-classification",
        "ner": "token-classification",
    }
)
"""Other names of tasks, in transformers or on the hub."""

HUB: Mapping[str, Served | str] = MappingProxyType(
    {
        "sentence-similarity": Served("models.tasks.Similarity", "hearth similarity", "embed_model"),
        "text-ranking": Served("models.tasks.Reranker", "hearth rank", "rerank_model"),
        "text-retrieval": Served("retrieval.Library", "hearth search", "embed_model"),
        "video-text-to-text": "needs torchvision, which not every torch has a build of; describe_image takes one frame",
        "keypoint-detection": "there is no pipeline for it; match_points compares two pictures of the same thing",
        "visual-document-retrieval": "the library searches text; read_page answers from one scanned page at a time",
        "multiple-choice": "there is no pipeline for it; `hearth classify --labels` and decide choose among options",
        "table-to-text": "there is no pipeline for it; a chat model can be given the table as text",
        "tabular-to-text": "there is no pipeline for it; a chat model can be given the rows as text",
        "tabular-classification": "its models are scikit-learn pickles, which can run code when they are opened",
        "tabular-regression": "its models are scikit-learn pickles, which can run code when they are opened",
        "time-series-forecasting": "there is no pipeline for it: each family of models wants inputs of its own",
        "text-to-image": "its models are made for diffusers, a second framework, and large",
        "text-to-video": "its models are made for diffusers, and want a large GPU",
        "image-to-video": "its models are made for diffusers, and want a large GPU",
        "unconditional-image-generation": "its models are made for diffusers, a second framework, and large",
        "text-to-3d": "its models bring code of their own, which Hearth does not run",
        "image-to-3d": "its models bring code of their own, which Hearth does not run",
        "audio-to-audio": "its models are made for speechbrain or asteroid and come as pickles",
        "voice-activity-detection": "its models are made for pyannote and come as pickles",
        "reinforcement-learning": "an agent needs the game or robot it was trained in",
        "robotics": "a policy needs the robot it was trained for",
        "graph-ml": "transformers 5 has no graph models any more",
        "biology": "such models want sequences prepared by tools of their field",
        "other": "a label of models that fit no task",
    }
)
"""Tasks of the hub that never were a pipeline of transformers, or only by another name."""
