"""The task models of one home: the one a call names, else the one that serves the role (models/serving.py).

Opened models are kept, so that a second call of a task finds what the first one loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from models.catalog import MINILM, find
from models.chat import LocalChatModel, open_chat_model
from models.embeddings import open_embeddings
from models.files import read_config
from models.prepare import folder_of
from models.serving import Roles, setting_of
from models.tasks.classifier import TextClassifier
from models.tasks.entities import EntityRecognizer
from models.tasks.errors import NoTaskModel
from models.tasks.extractor import Extractor
from models.tasks.features import FeatureExtractor
from models.tasks.fill_mask import MaskFiller
from models.tasks.reranker import Reranker
from models.tasks.roles import ROLES, served_by
from models.tasks.router import ToolRouter
from models.tasks.sentence_extractor import SentenceExtractor
from models.tasks.similarity import Similarity
from models.tasks.summarizer import ChatSummarizer, SentenceSummarizer, Seq2SeqSummarizer, Summarizer
from models.tasks.support import SupportJudge
from models.tasks.table_answer import TableAnswerer
from models.tasks.translator import Translator
from models.tasks.zero_shot import EmbeddingZeroShot, EntailmentZeroShot, LikelihoodZeroShot, ZeroShotClassifier

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from models.remote_chat import RemoteChat

Opened = TypeVar("Opened")


class Tasks:
    """The task models of one home; each method gives an object that loads its model at first use.

    Args:
        home: The data folder.
        chat: Gives the chat model.
        embeddings: Gives the sentence encoder.
        roles: Says which model serves each role; None asks as for a home without settings.
    """

    def __init__(
        self,
        home: Path,
        *,
        chat: Callable[[], LocalChatModel | RemoteChat],
        embeddings: Callable[[], Embeddings],
        roles: Roles | None = None,
    ) -> None:
        self._home = home
        self._chat = chat
        self._embeddings = embeddings
        self._roles = roles or Roles(home)
        self._opened: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, house: Any) -> Tasks:
        """The task models of an opened house (agent/assembly.py), which keeps them; else new ones by its settings."""
        if hasattr(house, "tasks"):
            kept: Tasks = house.tasks()
            return kept
        return cls(house.home, chat=house.chat_model, embeddings=house.embeddings, roles=Roles.of(house))

    def named(self, role: str, name: str | None = None) -> str | None:
        """The model that a call of this role would open, None where only an embedded way is left."""
        return name or self._roles.serving(role).name

    def classifier(self, name: str | None = None) -> TextClassifier:
        """A trained classifier.

        Raises:
            NoTaskModel: none is named; without labels there is nothing to choose among.
        """
        return self._kept("classify", name, lambda model: TextClassifier(model, home=self._home))

    def classifier_of(self, labels: Sequence[str]) -> TextClassifier | None:
        """The classifier trained on these very labels, in any order and case: the one that serves, else a shipped one.

        None where there is none, and where a model for labels of one's own is named or was promoted. What was trained
        here and never promoted is left alone.
        """
        if self._roles.serving("zero-shot").origin in ("setting", "registry"):
            return None
        wanted, registry = {label.casefold() for label in labels}, self._roles.registry
        promoted = registry.serving("classify")
        shipped = [version for version in registry.versions() if version.shipped and version.role == "classify"]
        for version in [*([promoted] if promoted else []), *shipped]:
            if {label.casefold() for label in version.facts.labels} == wanted:
                return self.classifier(version.label)
        return None

    def zero_shot(self, name: str | None = None) -> ZeroShotClassifier:
        """The classifier for labels of one's own: an entailment model, a chat model or an encoder, by what is named.

        None named is the home's sentence encoder: of the embedded models MiniLM's nearness beat SmolLM2's likelihoods
        (figures at `EmbeddingZeroShot`).
        """
        if self.named("zero-shot", name) is None:
            return EmbeddingZeroShot(self._embeddings())
        return self._kept("zero-shot", name, self._open_zero_shot)

    def entities(self, name: str | None = None) -> EntityRecognizer:
        """The recogniser of named entities.

        Raises:
            NoTaskModel: none is named.
        """
        return self._kept("entities", name, lambda model: EntityRecognizer(model, home=self._home))

    def extractor(self, name: str | None = None) -> Extractor | SentenceExtractor:
        """The reader that answers with a span, else the one that answers with the nearest sentence."""
        return self.reader(name) or SentenceExtractor(self._embeddings())

    def reader(self, name: str | None = None) -> Extractor | None:
        """The reader that answers with a span; None where none is named."""
        if self.named("extract", name) is None:
            return None
        return self._kept("extract", name, lambda model: Extractor(model, home=self._home))

    def summarizer(self, name: str | None = None) -> Summarizer:
        """A trained summariser or a chat model, by what is named; else the text's own best sentences.

        Of the embedded models' ways the sentences are as good and invent nothing: on 40 abstracts of SciTLDR's dev part
        ROUGE-1/2/L was 0.323/0.130/0.248 for them, 0.317/0.115/0.246 for SmolLM2 and 0.296/0.119/0.237 for the lead.
        """
        if self.named("summarize", name) is None:
            return self.own_sentences()
        return self._kept("summarize", name, self._open_summarizer)

    def own_sentences(self) -> Summarizer:
        """The summariser that gives a text's own sentences and so invents nothing."""
        return SentenceSummarizer(self._embeddings())

    def translator(self, name: str | None = None) -> Translator:
        """The translator.

        Raises:
            NoTaskModel: none is named; the embedded models know English alone.
        """
        return self._kept("translate", name, lambda model: Translator(model, home=self._home))

    def mask_filler(self, name: str | None = None) -> MaskFiller:
        """The masked language model.

        Raises:
            NoTaskModel: none is named.
        """
        return self._kept("fill-mask", name, lambda model: MaskFiller(model, home=self._home))

    def table_answerer(self, name: str | None = None) -> TableAnswerer:
        """The model for questions about tables.

        Raises:
            NoTaskModel: none is named.
        """
        return self._kept("table-answer", name, lambda model: TableAnswerer(model, home=self._home))

    def features(self, name: str | None = None) -> FeatureExtractor:
        """Token features of an encoder, by default the embedded one."""
        name = self.named("features", name) or MINILM.name
        return self._kept("features", name, lambda model: FeatureExtractor(model, home=self._home))

    def similarity(self) -> Similarity:
        """Similarity by the home's sentence encoder."""
        return Similarity(self._embeddings())

    def ranker(self, name: str | None = None) -> Reranker | Similarity:
        """A cross-encoder, else the sentence encoder; both have `rank(query, texts, top_k=...)`."""
        return self.reranker(name) or self.similarity()

    def reranker(self, name: str | None = None) -> Reranker | None:
        """The cross-encoder, None where none serves the role."""
        if self.named("rerank", name) is None:
            return None
        return self._kept("rerank", name, lambda model: Reranker(model, home=self._home))

    def router(self, name: str | None = None) -> ToolRouter | None:
        """What chooses the tool for a message, None where nothing serves the role."""
        if self.named("route", name) is None:
            return None
        return self._kept("route", name, lambda model: ToolRouter(model, home=self._home))

    def support(self, name: str | None = None) -> SupportJudge | None:
        """What judges whether a passage supports a sentence, None where nothing serves the role."""
        if self.named("support", name) is None:
            return None
        return self._kept("support", name, lambda model: SupportJudge(model, home=self._home))

    def _open_zero_shot(self, name: str) -> ZeroShotClassifier:
        serves = self._serves(name)
        if serves == "chat":
            return LikelihoodZeroShot(LocalChatModel(model=name, home=self._home))
        if serves == "embed":
            return EmbeddingZeroShot(open_embeddings(name, home=self._home))
        return EntailmentZeroShot(name, home=self._home)

    def _open_summarizer(self, name: str) -> Summarizer:
        if self._serves(name) == "chat":
            return ChatSummarizer(open_chat_model(name, home=self._home))
        return Seq2SeqSummarizer(name, home=self._home)

    def _serves(self, name: str) -> str:
        """What a named model is for, without loading it."""
        entry = find(name, None, self._home)
        return entry.role or served_by(read_config(folder_of(entry, self._home)))

    def _kept(self, role: str, name: str | None, open_model: Callable[[str], Opened]) -> Opened:
        """The model of that name in that role, opened once; a promotion or another setting opens another.

        Raises:
            NoTaskModel: none is named, and none serves.
        """
        wanted = self._need(role, name)
        with self._lock:
            if (role, wanted) not in self._opened:
                self._opened[role, wanted] = open_model(wanted)
            found: Opened = self._opened[role, wanted]
            return found

    def _need(self, role: str, name: str | None) -> str:
        wanted = self.named(role, name)
        if wanted is None:
            facts = ROLES[role]
            instead = "; or give labels of your own with --labels" if role == "classify" else ""
            raise NoTaskModel(
                facts.words, verb=facts.verb, setting=setting_of(role), examples=facts.examples, instead=instead
            )
        return wanted
