"""Zero-shot classification: any labels, no training, probabilities for each.

Three ways behind one call: a model trained on entailment, the chat model's likelihood of each label, or the nearness
of text and label in an embedding space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from models.errors import PromptTooLong
from models.prompts import label_messages, render
from models.scheduler import process_scheduler
from models.tasks.base import as_texts
from models.tasks.classifier import Classification, averaged, ranked
from models.tasks.errors import TooFewLabels
from models.tasks.likelihood import continuation_likelihoods
from models.tasks.roles import entailment_index
from models.tasks.scoring import SequenceScorer
from models.tasks.similarity import Similarity
from models.tasks.windows import windows_of

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from models.chat import LocalChatModel

ENTAILMENT_TEMPLATE = "This example is {}."
EMBEDDING_TEMPLATE = "This text is about {}."
# turns cosines into probabilities: of 5 to 30 the factor at which MiniLM's had the lowest mean loss on 300 texts of
# AG News, BBC and SST-2
_COSINE_SCALE = 20.0


class ZeroShotClassifier(Protocol):
    """What all three ways offer."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def many(self, texts: Sequence[str], labels: Sequence[str]) -> list[Classification]:
        """Every label with its probability for each text, best first; they sum to 1.

        Raises:
            EmptyText: a text or label is empty.
            TooFewLabels: fewer than two different labels.
        """
        ...


class EntailmentZeroShot(SequenceScorer):
    """A model trained on inference pairs: does the text entail "This example is <label>."?

    Long texts are read in windows, whose probabilities are averaged by their tokens.
    """

    role_name = "zero-shot"

    def many(
        self, texts: Sequence[str], labels: Sequence[str], *, several: bool = False, template: str = ENTAILMENT_TEMPLATE
    ) -> list[Classification]:
        """See `ZeroShotClassifier`; with `several` each label is judged by itself, so that many or none may hold."""
        import torch

        found, wanted = as_texts(texts), check_labels(labels)
        entailed = entailment_index(self.config)
        assert entailed is not None  # checked when the model was named
        opposite = -1 if entailed == 0 else 0
        pairs = [text for text in found for _ in wanted]
        claims = [template.format(label) for label in wanted] * len(found)
        windows = windows_of(self.load().tokenizer, pairs, window=self.window, stride=0, after=claims)
        logits = self.logits(windows).double()
        if several:
            scores = torch.softmax(logits[:, [opposite, entailed]], -1)[:, 1:].numpy()
            values = [float(mean[0]) for mean, _ in averaged(windows, scores, len(pairs))]
            groups = [values[at : at + len(wanted)] for at in range(0, len(values), len(wanted))]
        else:
            means = averaged(windows, logits[:, entailed : entailed + 1].numpy(), len(pairs))
            raw = torch.tensor([float(mean[0]) for mean, _ in means]).reshape(len(found), len(wanted))
            groups = torch.softmax(raw.double(), -1).tolist()
        count = [0] * len(found)
        for window in windows:
            count[window.sample // len(wanted)] += window.sample % len(wanted) == 0
        return [ranked(wanted, group, number) for group, number in zip(groups, count, strict=True)]


class EmbeddingZeroShot:
    """The cosine of each text with each label's phrase, as probabilities; for labels that name a subject.

    All-MiniLM-L6-v2 was right on 0.64, 0.79 and 0.66 of 100 texts each of AG News (4 labels), BBC (5) and SST-2 (2);
    SmolLM2-135M by likelihood on 0.36, 0.44 and 0.47, and mixing the two helped nowhere.
    """

    def __init__(self, embeddings: Embeddings, *, template: str = EMBEDDING_TEMPLATE) -> None:
        self._embeddings = embeddings
        self._similarity = Similarity(embeddings)
        self._template = template

    @property
    def name(self) -> str:
        """The encoder's name."""
        return str(getattr(self._embeddings, "model", type(self._embeddings).__name__))

    def many(self, texts: Sequence[str], labels: Sequence[str]) -> list[Classification]:
        """See `ZeroShotClassifier`."""
        wanted = check_labels(labels)
        cosines = self._similarity.matrix(as_texts(texts), [self._template.format(label) for label in wanted])
        return [ranked(wanted, softmax([_COSINE_SCALE * value for value in row])) for row in cosines.tolist()]


class LikelihoodZeroShot:
    """How likely the chat model finds each label as its reply: the mean log-likelihood of the label's tokens.

    What the model finds likely whatever the text (its reply to "N/A") is taken off, so that common words do not win.
    """

    def __init__(self, chat: LocalChatModel) -> None:
        self._chat = chat

    @property
    def name(self) -> str:
        """The chat model's name."""
        return self._chat.model

    def many(self, texts: Sequence[str], labels: Sequence[str]) -> list[Classification]:
        """See `ZeroShotClassifier`.

        Raises:
            PromptTooLong: a text does not fit the model's window.
        """
        wanted, found = check_labels(labels), as_texts(texts)
        neutral = self.scores("N/A", wanted)
        results = []
        for text in found:
            scores = self.scores(text, wanted)
            results.append(ranked(wanted, softmax([a - b for a, b in zip(scores, neutral, strict=True)])))
        return results

    def scores(self, text: str, labels: Sequence[str]) -> list[float]:
        """The mean log-likelihood of each label's tokens as the reply about a text."""
        loaded = self._chat.load()
        prompt = render(loaded.tokenizer, label_messages(text, labels), model=self.name)
        tokens = [self._chat.get_token_ids(label) for label in labels]
        most = loaded.window - max(len(own) for own in tokens)
        if len(prompt) > most:
            raise PromptTooLong(len(prompt), most)
        with process_scheduler().slot():
            found = continuation_likelihoods(loaded.model, prompt, tokens)
        return [sum(own) / len(own) for own in found]


def softmax(values: Sequence[float]) -> list[float]:
    """Values to probabilities that sum to 1."""
    import numpy as np

    exponents = np.exp(np.asarray(values, dtype=np.float64) - max(values))
    result: list[float] = (exponents / exponents.sum()).tolist()
    return result


def check_labels(labels: Sequence[str]) -> list[str]:
    """The labels without repetition and surrounding space.

    Raises:
        TooFewLabels: fewer than two different ones are left.
    """
    found: list[Any] = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if len(found) < 2:
        raise TooFewLabels(found)
    return found
