"""Translation between one pair of languages or several, by one encoder-decoder.

Rows hold a column a language (`{"en": ..., "de": ...}`, with `pairs`), or `text`, `reference` or `references`, `from`
and `to`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column, Layout, Part, Splits
from training.errors import RecipeError
from training.tasks.base import Prediction, Row, change_config
from training.tasks.seq2seq import Seq2Seq, WritingOptions

if TYPE_CHECKING:
    from models.tasks.translation_families import Family
    from training.evaluation import Tally

_UNFAMILIAR = 2.0  # percent of the texts held out that may be below each of the two numbers of familiarity
_MEASURED = 1000


@dataclass(frozen=True)
class Options(WritingOptions):
    """Keys of `[task]`, beside those of all encoder-decoders.

    `pairs` such as ["en-de", "de-en"] make a row with a column a language into one example a pair, for those pairs of
    which it has both languages; `prefixes` such as {"en-de" = "translate English to German: "} tell a base
    the pairs that it does not know by itself. Where a model serves both directions of a pair, `reverse_weight`
    is what the likelihood of the source given a translation counts beside that of the translation (None keeps the
    base's; 0.2 is a good one); it chooses among as many translations as there are `beams`.
    """

    pairs: tuple[str, ...] = ()
    prefixes: dict[str, str] | None = None
    reverse_weight: float | None = None


class Translation(Seq2Seq):
    """Learns translations; served by `models.tasks.translator`."""

    kind = "translation"
    role = "translate"
    metric = "bleu"
    simple_rule = "the text left as it is"
    Options = Options
    pairs: tuple[tuple[str, str], ...] = ()
    _learned: dict[str, list[str]]
    _held_out: dict[str, list[str]]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"), Column("references", "texts", answer=True), Column("from"), Column("to"))

    @property
    def layout(self) -> Layout:
        return lambda values: _laid_out(values, self.options.pairs)

    def prepare(self, splits: Splits) -> None:
        found = dict.fromkeys(zip(splits.train.column("from"), splits.train.column("to"), strict=True))
        self.pairs = tuple(sorted(found))
        self._learned, held_out = _texts_of(splits.train), _texts_of(splits.validation)
        draw = random.Random(0)
        known = self._learned | held_out
        self._held_out = {own: draw.sample(texts, min(len(texts), _MEASURED)) for own, texts in known.items()}

    def specific(self) -> dict[str, Any]:
        prefixes = self.options.prefixes
        if prefixes is None:
            if self.recipe.base is not None:
                return {}
            several = len({target for _, target in self.pairs}) > 1
            prefixes = {f"{source}-{to}": f"{_token(to)} " if several else "" for source, to in self.pairs}
        named = {_key(*pair.split("-", 1)): {"prefix": prefix} for pair, prefix in prefixes.items()}
        own = self.base_config.get("task_specific_params") if self.recipe.base is not None else None
        return (own or {}) | named

    def model_files(self, folder: Path) -> None:
        super().model_files(folder)
        if self.options.reverse_weight is not None:
            from models.tasks.translator import REVERSE_WEIGHT

            change_config(folder, {REVERSE_WEIGHT: self.options.reverse_weight})
        if self._knows_little:
            from models.tasks.familiarity import write_familiar

            write_familiar(folder, {language: self._familiar(language) for language in dict(self.pairs)})

    @property
    def _knows_little(self) -> bool:
        """Whether all that the model knows is in the rows: it began from nothing, or from a model that did."""
        from models.tasks.familiarity import FILE

        if self.recipe.base is None:
            return bool(self.options.tokenizer.kind == "unigram")
        return (Path(self.base_config["_name_or_path"]) / FILE).exists()

    def _familiar(self, language: str) -> tuple[Counter[int], tuple[float, float]]:
        """Pieces of the language's texts to learn from, and what nearly all of those held out reach."""
        import numpy as np

        from models.tasks.familiarity import Familiarity, count_pieces

        pieces = count_pieces(self.tokenizer, self._learned[language])
        measure = Familiarity(self.tokenizer, pieces)
        numbers = [measure(text) for text in self._held_out[language]]
        least = np.percentile(numbers, _UNFAMILIAR, axis=0)
        return pieces, (round(float(least[0]), 3), round(float(least[1]), 3))

    def special_tokens(self) -> Sequence[str]:
        targets = sorted({target for _, target in self.pairs})
        return [_token(target) for target in targets] if len(targets) > 1 else []

    @cached_property
    def _family(self) -> Family:
        from models.tasks.translation_families import family_of

        own = {"task_specific_params": self.specific()} if self.specific() else {}
        return family_of(self.base_config | own, self.tokenizer)

    def source_text(self, row: Row) -> str:
        if not self._family.knows(row["from"], row["to"]):
            pair = f"{row['from']}-{row['to']}"
            expected = f"pairs that {self.recipe.base or 'the model'} knows, or {pair} among task.prefixes"
            raise RecipeError(self.recipe.name, "the pair", pair, expected)
        self._family.set_source(row["from"])
        return self._family.prompt(row["text"], row["from"], row["to"])

    def target_settings(self, row: Row) -> None:
        self._family.set_target(row["to"])

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        return self._predict(folder, home, rows, None)

    def predict_quickly(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        return self._predict(folder, home, rows, 1)

    def _predict(self, folder: Path, home: Path, rows: Sequence[Row], beams: int | None) -> list[Prediction]:
        from models.tasks.translator import Translator

        served = Translator(str(folder), home=home, beams=beams)
        found: dict[int, Prediction] = {}
        for pair in dict.fromkeys((row["from"], row["to"]) for row in rows):
            own = [index for index, row in enumerate(rows) if (row["from"], row["to"]) == pair]
            said = served.many([rows[index]["text"] for index in own], source=pair[0], to=pair[1])
            found |= {index: {"translation": one.translation} for index, one in zip(own, said, strict=True)}
        return [found[index] for index in range(len(rows))]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        return [{"translation": row["text"]} for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        pairs = [f"{row['from']}-{row['to']}" for row in rows]
        values = _scores(rows, predictions)
        several = sorted(set(pairs)) if len(set(pairs)) > 1 else []
        for pair in several:
            own = [index for index, one in enumerate(pairs) if one == pair]
            found = _scores([rows[index] for index in own], [predictions[index] for index in own])
            values |= {f"{name}_{pair}": value for name, value in found.items()}
        return values

    def signature(self) -> str:
        from models.task_metrics import translation_scores

        return str(translation_scores(["a"], [["a"]])["signature"])

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally:
        from models.task_metrics import bleu_counts, bleu_of
        from training.evaluation import Tally

        return Tally(bleu_counts(_said(predictions), [row["references"] for row in rows]), bleu_of)


def _texts_of(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Texts to translate by their language, each once."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(row["from"], {})[row["text"]] = None
    return {language: list(texts) for language, texts in found.items()}


def _key(source: str, target: str) -> str:
    return f"translation_{source}_to_{target}"


def _scores(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
    from models.task_metrics import translation_scores

    said, wanted = _said(predictions), [row["references"] for row in rows]
    exact, lowercased = (translation_scores(said, wanted, lowercase=lower) for lower in (False, True))
    values = {"bleu": exact["bleu"], "chrf": exact["chrf"], "bleu_lowercased": lowercased["bleu"]}
    return {name: float(value) for name, value in values.items()}


def _said(predictions: Sequence[Prediction]) -> list[str]:
    return [str(prediction["translation"]) for prediction in predictions]


def _token(language: str) -> str:
    return f"<2{language}>"


def _laid_out(values: dict[str, Any], pairs: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Rows with the task's columns; see the module's docstring for the two forms of `values`."""
    if "text" in values:
        references = values.get("references", values.get("reference"))
        return [{**values, "references": _listed(references)} if references is not None else values]
    if not pairs:
        raise ValueError("there is no column 'text'; where a column holds a language, set task.pairs = [\"en-de\"].")
    split = [(source, target) for source, _, target in (pair.partition("-") for pair in pairs)]
    rows = [
        # of several texts in the source's language the first
        {"text": (_listed(values[source]) or [""])[0], "references": _listed(values[target])}
        | {"from": source, "to": target}
        for source, target in split
        if source in values and target in values
    ]
    if not rows:
        missing = next(language for language in split[0] if language not in values)
        have = ", ".join(map(repr, values))
        raise ValueError(f"there is no column {missing!r} for the pair {pairs[0]}; the columns are {have}.")
    return rows


def _listed(value: Any) -> list[str]:
    """The texts of a value that is one or many, empty ones left out."""
    texts = value if isinstance(value, (list, tuple)) else [value]
    return [text for text in texts if isinstance(text, str) and text.strip()]
