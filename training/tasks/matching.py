"""What embeddings and rerankers share: queries with the texts that belong to them, hard negatives, ranking scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from training.data import Column, Part, Splits
from training.mining import NEAR, Search, by_vectors, by_words, hard_negatives, places
from training.tasks.base import Prediction, Row, Task

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

_K = 10


@dataclass(frozen=True)
class MatchingOptions:
    """Keys of `[task]`.

    Attributes:
        mine: Look for hard negatives among the training part's texts by shared "words" or by "vectors".
        mined: How many to look for, for each query.
        hard: How many are shown beside a query at each pass, drawn from the row's own `negatives` and the mined ones.
    """

    mine: Literal["no", "words", "vectors"] = "no"
    mined: int = 16
    hard: int = 0


class Matching(Task):
    """Rows hold `text`, the query; `positives`, one text or several; and `negatives` where there are some.

    A query's texts are ranked among all texts of all parts when judged, and among those of the judged rows on the way.
    """

    metric = "ndcg@10"
    simple_rule = "BM25, the words that query and text share"
    Options = MatchingOptions

    _texts: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        return (
            Column("text"),
            Column("positives", "texts", answer=True),
            Column("negatives", "texts", required=False, answer=True),
        )

    def prepare(self, splits: Splits) -> None:
        self._texts = tuple(pool_of([row for _, part in splits.items() for row in part]))

    def see(self, model: Any, home: Path, bf16: bool) -> None:
        super().see(model, home, bf16)
        self._home = home

    def miner(self) -> Embeddings:
        """The encoder that looks for negatives by vectors."""
        from models.embeddings import LocalEmbeddings

        return LocalEmbeddings(None, home=self._home, engine="torch")

    def shown(self, feature: Mapping[str, Any]) -> int:
        """How many hard negatives stand beside a query at a pass."""
        return min(int(self.options.hard), len(feature["negatives"]))

    def negatives(self, rows: Sequence[Row]) -> list[list[str]]:
        """For each row its own negatives and the mined ones, without repetition."""
        own = [list(row.get("negatives") or []) for row in rows]
        if self.options.mine == "no":
            return own
        pool = pool_of(rows)
        at = {text: index for index, text in enumerate(pool)}
        belong: dict[str, set[int]] = {}  # rows that ask the same share their texts
        for row in rows:
            belong.setdefault(row["text"], set()).update(at[text] for text in row["positives"])
        words = self.options.mine == "words"
        search = by_words(pool) if words else by_vectors(pool, self.miner())
        queries = [row["text"] for row in rows]
        found = hard_negatives(
            search, queries, [belong[query] for query in queries], self.options.mined, near=None if words else NEAR
        )
        return [list(dict.fromkeys([*mine, *(pool[i] for i in more)])) for mine, more in zip(own, found, strict=True)]

    def pool(self, rows: Sequence[Row], *, whole: bool) -> list[str]:
        """The texts that the rows' queries are ranked among, in an order that favours none of equal scores."""
        return sorted({*pool_of(rows), *(self._texts if whole else ())})

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        pool = self.pool(rows, whole=True)
        return ranked(by_words(pool), pool, rows)

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from retrieval.evaluation import hit_at, recall_at, reciprocal_rank_at

        measures = {"mrr@10": reciprocal_rank_at, "recall@10": recall_at}
        found = {"ndcg@10": fmean(self.row_scores(rows, predictions))}
        for name, measure in measures.items():
            found[name] = fmean(measure(_FIRST, _relevant(one), _K) for one in predictions)
        return found | {"hits@1": fmean(hit_at(_FIRST, _relevant(one), 1) for one in predictions)}

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        from retrieval.evaluation import ndcg_at

        return [ndcg_at(_FIRST, _relevant(one), _K) for one in predictions]


_FIRST = [str(place) for place in range(1, _K + 1)]


def _relevant(said: Prediction) -> dict[str, float]:
    """The right texts of a prediction, named by the places they stand at."""
    return {str(place): 1.0 for place in said["places"]}


def pool_of(rows: Sequence[Row]) -> list[str]:
    """All texts of some rows, each once."""
    return list(dict.fromkeys(text for row in rows for text in (*row["positives"], *(row.get("negatives") or ()))))


def ranked(search: Search, pool: Sequence[str], rows: Sequence[Row]) -> list[Prediction]:
    """At which places the rows' own texts stand among a pool's, and which text stands first."""
    at = {text: index for index, text in enumerate(pool)}
    said = []
    for start in range(0, len(rows), 256):
        part = rows[start : start + 256]
        for row, scores in zip(part, search([row["text"] for row in part]), strict=True):
            own = sorted({at[text] for text in row["positives"]})
            said.append({"places": places(scores, own), "first": pool[int(scores.argmax())]})
    return said


def among_candidates(
    pool: Sequence[str],
    rows: Sequence[Row],
    count: int,
    rank: Callable[[str, Sequence[str]], Sequence[float]] | None = None,
) -> list[Prediction]:
    """At which places the rows' own texts stand among their candidates: the first `count` by BM25, and their own.

    `rank` scores texts for a query; without one they stay in BM25's order.
    """
    import numpy as np

    at = {text: index for index, text in enumerate(pool)}
    search = by_words(pool)
    said = []
    for row in rows:
        scores: NDArray[np.float64] = search([row["text"]])[0]
        own = {at[text] for text in row["positives"]}
        given = {at[text] for text in row.get("negatives") or ()}
        first = np.argsort(-scores, kind="stable")[:count]
        chosen = sorted({*map(int, first), *own, *given})
        found = scores[chosen] if rank is None else np.asarray(rank(row["text"], [pool[index] for index in chosen]))
        wanted = [place for place, index in enumerate(chosen) if index in own]
        said.append({"places": places(found, wanted), "first": pool[chosen[int(found.argmax())]]})
    return said
