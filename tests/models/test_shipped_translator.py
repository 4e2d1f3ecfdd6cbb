"""The translator that comes with Hearth: descriptions of pictures it translates, and of other texts it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry import Registry
from models.tasks.errors import LanguageNotSupported
from models.tasks.translator import Translator


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    home = tmp_path_factory.mktemp("home")
    shipped = Registry(home).shipped_for("translate")
    assert shipped is not None
    return Translator(shipped.label, home=home)


@pytest.mark.parametrize(
    ("text", "source", "to", "words"),
    [
        ("Two dogs play in the snow.", "en", "German", {"Hunde", "Schnee"}),
        ("Two dogs play in the snow.", "en", "French", {"chiens", "neige"}),
        ("Two dogs play in the snow.", "en", "Czech", {"psi", "sněhu"}),
        ("Zwei Hunde spielen im Schnee.", "de", "English", {"dogs", "snow"}),
        ("Deux chiens jouent dans la neige.", "fr", "English", {"dogs", "snow"}),
        ("Dva psi si hrají ve sněhu.", "cs", "English", {"dogs", "snow"}),
    ],
)
def test_a_description_of_a_picture_is_translated(
    translator: Translator, text: str, source: str, to: str, words: set[str]
) -> None:
    found = translator(text, to=to)
    assert words <= set(found.translation.strip(".").split())
    assert (found.source_language, found.advice) == (source, "")


@pytest.mark.parametrize(
    "text",
    [
        "The contractor shall indemnify the customer against all claims arising from this agreement.",
        "The meeting is moved to Thursday at ten.",
        "Where is the train station?",
        "水は百度で沸騰する。",
    ],
)
def test_a_text_of_another_kind_comes_with_the_model_to_pull(translator: Translator, text: str) -> None:
    assert "`hearth models pull google/madlad400-3b-mt`" in translator(text, to="de", source="en").advice


def test_another_language_is_refused_rather_than_read_as_english(translator: Translator) -> None:
    with pytest.raises(LanguageNotSupported, match="from fr to de"):
        translator("Un homme avec un chapeau orange regarde quelque chose.", to="de")
    german = "Ein Mann mit einem Hut steht vor dem Haus."
    assert translator(german, to="de").translation == german


def test_it_is_small(translator: Translator) -> None:
    assert sum(path.stat().st_size for path in Path(translator.folder).iterdir()) < 10_000_000


def test_hindi_always_comes_with_the_model_to_pull(translator: Translator) -> None:
    """What it learned of Hindi is too little to be relied on, whatever the text."""
    for text in ("यह मेरी किताब है।", "दो कुत्ते बर्फ में खेल रहे हैं।"):
        found = translator(text, to="en")
        assert found.source_language == "hi"
        assert "`hearth models pull google/madlad400-3b-mt`" in found.advice
