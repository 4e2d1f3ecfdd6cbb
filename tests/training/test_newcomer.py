"""A person's own table, a recipe written from training/README.md alone, and the way to a promoted classifier.

The recipe is the one that stands there, over six classes of requests made up here; the model is the embedded encoder.
"""

from __future__ import annotations

import csv
import json
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hearth import main
from training.recipe import SHIPPED

README = SHIPPED.parent / "README.md"
WORDS = {
    "restaurant": ["book a table for {} at {}", "we need a table for {} people near {}", "reserve seats to eat in {1}"],
    "weather": ["will it rain in {1} tomorrow", "how cold is it in {1} at {0}", "is there snow in {1}"],
    "music": ["play {} songs from {}", "put on some music by {1}", "I want to hear {} tunes of {}"],
    "cinema": [
        "which films run in {1} tonight",
        "when does the movie start in {1} at {0}",
        "cinema times in {1} at {0}",
    ],
    "rating": ["give this book {} stars of six", "I rate the novel about {1} {0} points", "{0} points for that story"],
    "travel": ["a train to {1} at {0}", "find {} flights to {}", "buy {} bus tickets from {} to the coast"],
}
PLACES = "Oslo Lima Cairo Perth Quito Dakar Turin Leeds Osaka Minsk".split()


def recipe_of_the_readme() -> str:
    """The first block of TOML there."""
    text = README.read_text(encoding="utf-8")
    return text[text.index("```toml\n") + len("```toml\n") :].partition("```")[0]


def write_requests(path: Path, columns: dict[str, str]) -> None:
    """Forty distinct requests of each kind under the columns that the recipe names."""
    draw, rows = random.Random(1), []
    for label, patterns in WORDS.items():
        texts: set[str] = set()
        while len(texts) < 40:
            ask = draw.choice(patterns).format(draw.randint(2, 60), draw.choice(PLACES))
            texts.add(f"{draw.choice(['', 'please ', 'hello, ', 'can you help: '])}{ask}")
        rows += [[text, label] for text in sorted(texts)]
    draw.shuffle(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [["No", columns["text"], columns["label"]], *([at, *row] for at, row in enumerate(rows))]
        )


@pytest.mark.real_model
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("no_kept_models")
def test_from_a_table_to_a_promoted_classifier(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "requests.toml"
    recipe.write_text(recipe_of_the_readme(), encoding="utf-8")
    table = tomllib.loads(recipe.read_text())
    write_requests(tmp_path / "requests.csv", table["data"]["columns"])

    def hearth(*words: str) -> Any:
        assert main([*words, "--home", str(embedded_home), "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    found = hearth("train", "check", str(recipe))
    assert sorted(found["labels"]) == sorted(WORDS)
    assert found["data"]["dropped"] == {}
    report = hearth("train", "run", str(recipe), "--set", "training.steps=40", "--set", "training.batch_rows=16")
    assert report["gate"]["open"], report["gate"]
    assert report["model"]["score"] >= table["gate"]["minimum"]
    version = hearth("train", "publish", "last")["name"]
    assert version == f"{table['publish']['name']}@1"
    hearth("models", "promote", table["publish"]["name"])
    for text, label in (("a table for two at eight", "restaurant"), ("how cold will Rome be", "weather")):
        assert hearth("classify", text)[0]["label"] == label
    hearth("models", "rollback", "classify")


def test_every_shipped_recipe_is_named_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    missing = [path.stem for path in sorted(SHIPPED.glob("*.toml")) if f"| `{path.stem}` |" not in text]
    assert not missing
