"""Which model serves each task: the one a call names, else the settings', else what the embedded models can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.catalog import find
from models.chat import LocalChatModel, open_chat_model
from models.embeddings import open_embeddings
from models.files import read_config
from models.prepare import folder_of
from models.tasks.classifier import TextClassifier
from models.tasks.entities import EntityRecognizer
from models.tasks.errors import NoTaskModel
from models.tasks.extractor import Extractor
from models.tasks.features import FeatureExtractor
from models.tasks.fill_mask import MaskFiller
from models.tasks.reranker import Reranker
from models.tasks.roles import ROLES, served_by
from models.tasks.sentence_extractor import SentenceExtractor
from models.tasks.similarity import Similarity
from models.tasks.summarizer import ChatSummarizer, SentenceSummarizer, Seq2SeqSummarizer, Summarizer
from models.tasks.table_answer import TableAnswerer
from models.tasks.translator import Translator
from models.tasks.zero_shot import EmbeddingZeroShot, EntailmentZeroShot, LikelihoodZeroShot, ZeroShotClassifier

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class Tasks:
    """The task models of one home; each method gives an object that loads its model at first use.

    Args:
        home: The data folder.
        chat: Gives the chat model.
        embeddings: Gives the sentence encoder.
        configured: Role to model name, as the settings have it; empty names count as none.
    """

    def __init__(
        self,
        home: Path,
        *,
        chat: Callable[[], LocalChatModel],
        embeddings: Callable[[], Embeddings],
        configured: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home
        self._chat = chat
        self._embeddings = embeddings
        self._configured = {role: name for role, name in (configured or {}).items() if name}

    @classmethod
    def of(cls, house: Any) -> Tasks:
        """The task models of an opened house (agent/assembly.py), by its settings `<role>_model`."""
        names = {role: str(getattr(house.settings, setting_of(role), "") or "") for role in ROLES}
        return cls(house.home, chat=house.chat_model, embeddings=house.embeddings, configured=names)

    def named(self, role: str, name: str | None = None) -> str | None:
        """The model that a call of this role would use, None where only an embedded way is left."""
        return name or self._configured.get(role)

    def classifier(self, name: str | None = None) -> TextClassifier:
        """A trained classifier.

        Raises:
            NoTaskModel: none is named; without labels there is nothing to choose among.
        """
        return TextClassifier(self._need("classify", name), home=self._home)

    def zero_shot(self, name: str | None = None) -> ZeroShotClassifier:
        """The classifier for labels of one's own: an entailment model, a chat model or an encoder, by what is named.

        None named is the home's sentence encoder: of the embedded models MiniLM's nearness beat SmolLM2's likelihoods
        (figures at `EmbeddingZeroShot`).
        """
        wanted = self.named("zero-shot", name)
        if wanted is None:
            return EmbeddingZeroShot(self._embeddings())
        serves = self._serves(wanted)
        if serves == "chat":
            return LikelihoodZeroShot(open_chat_model(wanted, home=self._home))
        if serves == "embed":
            return EmbeddingZeroShot(open_embeddings(wanted, home=self._home))
        return EntailmentZeroShot(wanted, home=self._home)

    def entities(self, name: str | None = None) -> EntityRecognizer:
        """The recogniser of named entities.

        Raises:
            NoTaskModel: none is named.
        """
        return EntityRecognizer(self._need("entities", name), home=self._home)

    def extractor(self, name: str | None = None) -> Extractor | SentenceExtractor:
        """The reader that answers with a span, else the one that answers with the nearest sentence."""
        wanted = self.named("extract", name)
        return Extractor(wanted, home=self._home) if wanted else SentenceExtractor(self._embeddings())

    def summarizer(self, name: str | None = None) -> Summarizer:
        """A trained summariser or a chat model, by what is named; else the text's own best sentences.

        Of the embedded models' ways the sentences are as good and invent nothing: on 40 abstracts of SciTLDR's dev part
        ROUGE-1/2/L was 0.323/0.130/0.248 for them, 0.317/0.115/0.246 for SmolLM2 and 0.296/0.119/0.237 for the lead.
        """
        wanted = self.named("summarize", name)
        if wanted is None:
            return SentenceSummarizer(self._embeddings())
        if self._serves(wanted) == "chat":
            return ChatSummarizer(open_chat_model(wanted, home=self._home))
        return Seq2SeqSummarizer(wanted, home=self._home)

    def translator(self, name: str | None = None) -> Translator:
        """The translator.

        Raises:
            NoTaskModel: none is named; the embedded models know English alone.
        """
        return Translator(self._need("translate", name), home=self._home)

    def mask_filler(self, name: str | None = None) -> MaskFiller:
        """The masked language model.

        Raises:
            NoTaskModel: none is named.
        """
        return MaskFiller(self._need("fill-mask", name), home=self._home)

    def table_answerer(self, name: str | None = None) -> TableAnswerer:
        """The model for questions about tables.

        Raises:
            NoTaskModel: none is named.
        """
        return TableAnswerer(self._need("table-answer", name), home=self._home)

    def features(self, name: str | None = None) -> FeatureExtractor:
        """Token features of an encoder, by default the embedded one."""
        return FeatureExtractor(self.named("features", name) or "all-minilm-l6-v2", home=self._home)

    def similarity(self) -> Similarity:
        """Similarity by the home's sentence encoder."""
        return Similarity(self._embeddings())

    def ranker(self, name: str | None = None) -> Reranker | Similarity:
        """A cross-encoder, else the sentence encoder; both have `rank(query, texts, top_k=...)`."""
        wanted = self.named("rerank", name)
        return Reranker(wanted, home=self._home) if wanted else self.similarity()

    def _serves(self, name: str) -> str:
        """What a named model is for, without loading it."""
        entry = find(name, None, self._home)
        return entry.role or served_by(read_config(folder_of(entry, self._home)))

    def _need(self, role: str, name: str | None) -> str:
        wanted = self.named(role, name)
        if wanted is None:
            facts = ROLES[role]
            instead = "; or give labels of your own with --labels" if role == "classify" else ""
            raise NoTaskModel(
                facts.words, verb=facts.verb, setting=setting_of(role), examples=facts.examples, instead=instead
            )
        return wanted


def setting_of(role: str) -> str:
    """The name of the setting that names a role's model, such as `zero_shot_model`."""
    return f"{role.replace('-', '_')}_model"
