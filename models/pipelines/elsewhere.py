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
        "visual-question-answering": "ask describe_image (the task image-text-to-text) instead; classifiers over a "
        "fixed list of answers lost their pipeline in transformers 5",
        "vqa": "another name of visual-question-answering",
        "image-to-image": "transformers 5 dropped its pipeline in favour of diffusers, a second framework of several "
        "gigabytes that Hearth does not carry",
    }
)
"""Tasks whose pipelines transformers 5 removed."""

HUB: Mapping[str, Served | str] = MappingProxyType(
    {
        "sentence-similarity": Served("models.tasks.Similarity", "hearth similarity", "embed_model"),
        "text-ranking": Served("models.tasks.Reranker", "hearth rank", "rerank_model"),
        "text-retrieval": Served("retrieval.Library", "hearth search", "embed_model"),
        "image-to-text": "another name of image-text-to-text: use describe_image",
        "text-to-speech": "another name of text-to-audio: use speak",
        "audio-text-to-text": "served by ask_about_media (the task any-to-any)",
        "video-text-to-text": "the video processors of such models need torchvision, which has no build for this torch "
        "on the package index; ask describe_image about single frames",
        "keypoint-detection": "transformers has models for it and no pipeline; match_points covers two pictures of the "
        "same thing",
        "visual-document-retrieval": "the library searches text; scans can be asked one page at a time with read_page",
        "multiple-choice": "transformers has models for it and no pipeline; `hearth classify --labels` and decide "
        "choose among options",
        "table-to-text": "there is no pipeline and hardly a model for it; a chat model can be given the table as text",
        "tabular-to-text": "there is no pipeline for it; a chat model can be given the rows as text",
        "tabular-classification": "its models are scikit-learn pickles, which can run code when they are opened",
        "tabular-regression": "its models are scikit-learn pickles, which can run code when they are opened",
        "time-series-forecasting": "each model family wants inputs of its own, so that there is no pipeline to offer",
        "text-to-image": "its models are made for diffusers, a second framework of several gigabytes",
        "text-to-video": "its models are made for diffusers, and want a large GPU",
        "image-to-video": "its models are made for diffusers, and want a large GPU",
        "unconditional-image-generation": "its models are made for diffusers, a second framework of several gigabytes",
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
