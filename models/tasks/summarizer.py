"""Summaries of texts of any length: split, summarise each piece, and summarise the summaries until one is left.

Three ways behind one call: an encoder-decoder trained for it, the chat model, or the text's own best sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from models.prompts import summary_messages
from models.tasks.base import as_texts
from models.tasks.sentences import sentence_spans, sentences
from models.tasks.seq2seq import Seq2SeqModel
from models.tasks.similarity import Similarity

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

    from models.chat import LocalChatModel
    from models.remote_chat import RemoteChat

DEFAULT_WORDS = 60
_TOKENS_PER_WORD = 2
_CHAT_PIECE_TOKENS = 1500  # a small chat model asked about more only sees the beginning
_SENTENCES_AT_ONCE = 256
_SHRINK = 4  # each level is at least so many times shorter, so that the levels end
_ENDS = '.!?…。！？।؟"”’»)'
Progress = Callable[[int, int], None]
"""Told how many characters of how many of the text have been read, in order, so that pages can be ticked off."""


@dataclass(frozen=True)
class Summary:
    """A summary, how many pieces the text was read in, and how it was made.

    `method` is `seq2seq`, `chat` or `sentences` (the text's own); `cut_off` where the limit of words ended it.
    """

    summary: str
    pieces: int
    model: str
    method: str
    cut_off: bool = False

    def to_json(self) -> dict[str, Any]:
        """`{summary, pieces, model, method}`, and `cut_off` where it is true."""
        facts = {"summary": self.summary, "pieces": self.pieces, "model": self.model, "method": self.method}
        return facts | ({"cut_off": True} if self.cut_off else {})


class Summarizer(Protocol):
    """What all three ways offer."""

    def __call__(self, text: str, *, words: int = DEFAULT_WORDS, on_progress: Progress | None = None) -> Summary:
        """The summary of a text in about `words` words.

        Raises:
            EmptyText: the text is empty.
        """
        ...


class Seq2SeqSummarizer(Seq2SeqModel):
    """BART, Pegasus, T5 (with its prefix) and other encoder-decoders trained to summarise."""

    role_name = "summarize"

    def __call__(self, text: str, *, words: int = DEFAULT_WORDS, on_progress: Progress | None = None) -> Summary:
        """See `Summarizer`."""
        prefix = prefix_of(self.config)
        room = self.window - self.token_count(prefix)
        cut: list[bool] = []

        def summarise(pieces: Sequence[str], most: int) -> list[str]:
            made = self.generate([prefix + piece for piece in pieces], new_tokens=lambda _: most)
            cut[:] = [one.cut_off for one in made]
            return [one.text for one in made]

        found, count = map_reduce(
            as_texts(text)[0], summarise, count=self.token_count, limit=room, words=words, on_progress=on_progress
        )
        return Summary(whole_sentences(found) if any(cut) else found, count, self.name, "seq2seq", any(cut))


def prefix_of(config: Mapping[str, Any]) -> str:
    """What a model wants before a text to summarise, by its configuration."""
    own = (config.get("task_specific_params") or {}).get("summarization")
    if isinstance(own, dict) and "prefix" in own:
        return str(own["prefix"] or "")
    return "summarize: " if config.get("model_type") == "t5" else ""


class ChatSummarizer:
    """The chat model asked for a summary."""

    def __init__(self, chat: LocalChatModel | RemoteChat) -> None:
        self._chat = chat

    def __call__(self, text: str, *, words: int = DEFAULT_WORDS, on_progress: Progress | None = None) -> Summary:
        """See `Summarizer`."""
        cut: list[bool] = []

        def summarise(pieces: Sequence[str], most: int) -> list[str]:
            answers = [
                self._chat.invoke(summary_messages(piece, words), max_new_tokens=most, prompt_lookup=True)
                for piece in pieces
            ]
            cut[:] = [answer.response_metadata.get("finish_reason") == "length" for answer in answers]
            return [str(answer.content).strip() for answer in answers]

        around = self._chat.get_num_tokens_from_messages(summary_messages("", words))
        more = max(0, words * _TOKENS_PER_WORD - self._chat.max_new_tokens)
        limit = max(1, min(_CHAT_PIECE_TOKENS, self._chat.max_input_tokens - around - more))
        found, count = map_reduce(
            as_texts(text)[0],
            summarise,
            count=self._chat.get_num_tokens,
            limit=limit,
            words=words,
            on_progress=on_progress,
        )
        return Summary(whole_sentences(found) if any(cut) else found, count, self._chat.model, "chat", any(cut))


class SentenceSummarizer:
    """The text's own sentences nearest to its meaning as a whole, in their order; early ones count a little more."""

    def __init__(self, embeddings: Embeddings, *, early: float = 0.2, variety: float = 0.3) -> None:
        self._embeddings = embeddings
        self._early = early
        self._variety = variety

    def __call__(self, text: str, *, words: int = DEFAULT_WORDS, on_progress: Progress | None = None) -> Summary:
        """See `Summarizer`."""
        import numpy as np

        spans = sentence_spans(as_texts(text)[0])
        vectors: dict[str, NDArray[np.float64]] = {}
        for start in range(0, len(spans), _SENTENCES_AT_ONCE):
            part = spans[start : start + _SENTENCES_AT_ONCE]
            said = dict.fromkeys(" ".join(text[slice(*span)].split()) for span in part)
            new = [one for one in said if one not in vectors]
            if new:
                vectors.update(zip(new, Similarity(self._embeddings).vectors(new), strict=True))
            if on_progress:
                on_progress(len(text) if part[-1] == spans[-1] else part[-1][1], len(text))
        found = list(vectors)
        chosen = self._choose(found, np.stack(list(vectors.values())), words)
        model = str(getattr(self._embeddings, "model", type(self._embeddings).__name__))
        return Summary(" ".join(found[index] for index in sorted(chosen)), 1, model, "sentences")

    def _choose(self, found: Sequence[str], vectors: NDArray[np.float64], words: int) -> list[int]:
        import numpy as np

        lengths = np.array([len(sentence.split()) for sentence in found])
        centre = (vectors * np.minimum(lengths, 40)[:, None]).sum(0)
        worth = vectors @ (centre / np.linalg.norm(centre)) - self._early * np.arange(len(found)) / len(found)
        ended = np.array([sentence[-1] in _ENDS for sentence in found])
        worth = worth - 0.2 * ((lengths < 5) | ~ended)  # headings, captions and remains of tables say little
        chosen: list[int] = []
        left = words
        while len(chosen) < len(found) and (not chosen or left >= 5):
            repeated = (vectors @ vectors[chosen].T).max(1) if chosen else np.zeros(len(found))
            value = worth - self._variety * repeated
            value[chosen] = -np.inf
            if chosen:
                value[lengths > left] = -np.inf
            best = int(value.argmax())
            if not np.isfinite(value[best]):
                break
            chosen.append(best)
            left -= int(lengths[best])
        return chosen


def map_reduce(
    text: str,
    summarise: Callable[[Sequence[str], int], list[str]],
    *,
    count: Callable[[str], int],
    limit: int,
    words: int,
    on_progress: Progress | None = None,
) -> tuple[str, int]:
    """The summary of a text of any length, and in how many pieces the text itself was read.

    Args:
        text: Not empty.
        summarise: Pieces and the most new tokens to their summaries.
        count: Tokens of a text.
        limit: Most tokens of a piece.
        words: Wanted in the end; pieces of a longer text may take as many, bounded so that each level shrinks.
        on_progress: Told how much of the text itself has been read.
    """
    wanted = words * _TOKENS_PER_WORD
    packed = _packed(text, count, limit)
    ends = [*(end for _, end in packed[:-1]), len(text)]
    level, first = [piece for piece, _ in packed], len(packed)
    while len(level) > 1:
        most = max(8, min(wanted, limit // _SHRINK))
        made = []
        for piece in level:
            made += summarise([piece], most)
            if on_progress and ends:
                on_progress(ends.pop(0), len(text))
        shorter = pieces_of("\n".join(part for part in made if part), count=count, limit=limit)
        if len(shorter) >= len(level):  # a model that does not shorten: keep what it said of the first pieces' worth
            shorter = shorter[: max(1, len(level) // 2)]
        level = shorter
    result = summarise(level, max(8, wanted))[0]
    if on_progress and ends:
        on_progress(len(text), len(text))
    return result, first


def pieces_of(text: str, *, count: Callable[[str], int], limit: int) -> list[str]:
    """The text's sentences packed into pieces of at most `limit` tokens, in order; nothing is left out.

    A sentence longer than the limit is halved until it fits. Pieces come out of like size, so that none is a mere rest.
    """
    return [piece for piece, _ in _packed(text, count, limit)]


def _packed(text: str, count: Callable[[str], int], limit: int) -> list[tuple[str, int]]:
    """The pieces, each with the offset at which its last sentence ends."""
    if count(text) <= limit:
        return [(text, len(text))]
    parts: list[tuple[str, int]] = []
    for start, end in sentence_spans(text):
        *begun, last = _fitting(text[start:end], count, limit)
        parts += [*((part, start) for part in begun), (last, end)]  # read only once its last part is
    sizes = [count(part) + 1 for part, _ in parts]  # joining two sentences may cost a token
    wanted = -(-sum(sizes) // limit)
    share = min(limit, -(-sum(sizes) // wanted) + max(sizes) // 2)
    pieces: list[tuple[str, int]] = []
    current: list[str] = []
    used = reached = 0
    for (part, end), size in zip(parts, sizes, strict=True):
        if current and used + size > share:
            pieces.append((" ".join(current), reached))
            current, used = [], 0
        current.append(part)
        used, reached = used + size, end
    return [*pieces, (" ".join(current), reached)] if current else pieces


def whole_sentences(text: str) -> str:
    """The text without a last sentence that was cut off; the text itself where that would leave nothing."""
    found = sentences(text)
    if len(found) > 1 and found[-1][-1] not in _ENDS:
        return text[: text.rindex(found[-1])].rstrip()
    return text


def _fitting(sentence: str, count: Callable[[str], int], limit: int) -> list[str]:
    if len(sentence) < 2 or count(sentence) <= limit:
        return [sentence]
    middle = len(sentence) // 2
    space = sentence.rfind(" ", 1, middle)
    cut = space if space > 0 else middle
    return [*_fitting(sentence[:cut].strip(), count, limit), *_fitting(sentence[cut:].strip(), count, limit)]
