"""What speaks for a claim: what it asks for, which of its words stand where, and how a reader's answers count."""

from __future__ import annotations

import pytest

from models.tasks.evidence import evidence, questions_of, stands, weighed
from models.tasks.extractor import Extraction
from models.tasks.spans import Span

PASSAGE = "Ada Lovelace wrote notes in London in 1843. Babbage built the engine in Cambridge."


def answered(text: str, score: float, *others: tuple[str, float], none: float = 0.1) -> Extraction:
    places = [Span(PASSAGE.index(other), PASSAGE.index(other) + len(other), value) for other, value in others]
    return Extraction(text, score, None, None, none, tuple(places), "reader")


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("Who built the engine? Babbage.", [("Who built the engine?", "Babbage")]),
        ("Ada Lovelace wrote notes in London in 1843.", []),
        (
            "Ada Lovelace wrote notes in Cambridge in 1843.",
            [("Ada Lovelace wrote notes in what in 1843?", "Cambridge")],
        ),
        ("Notes in London in 1850.", [("Notes in London in when?", "1850")]),
    ],
)
def test_what_stands_elsewhere_is_asked_for(claim: str, expected: list[tuple[str, str]]) -> None:
    asked = questions_of(claim, PASSAGE)
    assert [one for one in expected if one not in asked] == []
    assert bool(asked) == bool(expected)


def test_no_more_than_four_things_are_asked_for_the_surest_kinds_first() -> None:
    claim = "In 1850 Brunel sold 12 ships, old maps, Bristol, Bath, a long rope and 1851 coins to Paris"
    asked = questions_of(claim, PASSAGE)
    assert [thing for _, thing in asked[:2]] == ["1850", "1851"]
    assert len(asked) == 4


def test_a_word_stands_where_both_its_neighbours_are_the_same() -> None:
    assert stands("Babbage wrote notes in London", PASSAGE) == [False, False, True, True, True]
    assert all(stands("wrote notes in London", PASSAGE))
    assert stands("Notes built", PASSAGE) == [False, False]
    assert not any(stands("İstanbul Straße", PASSAGE))


def test_words_are_counted_in_and_out_of_their_places() -> None:
    claim = "Babbage wrote 12 notes in London"
    same, held, breaks, moved, missing, joints, number, denied, size = evidence(claim, PASSAGE, [], [])[:9]
    assert (same, held) == (pytest.approx(2 / 6), pytest.approx(5 / 6))
    assert (breaks, moved, missing, joints, number, denied, size) == (3, 3, 1, 1, 1, 0, 6)


def test_a_reader_agrees_by_how_much_it_prefers_what_is_claimed() -> None:
    asked = [("Who wrote?", "Ada Lovelace"), ("Where?", "Cambridge")]
    said = [answered("Ada Lovelace", 0.8, none=0.05), answered("London", 0.6, ("Cambridge", 0.3), none=0.2)]
    least, mean, other, sure, none, share, brought = evidence("Ada wrote in Cambridge", PASSAGE, asked, said)[9:]
    assert (least, mean) == (pytest.approx(0.5), pytest.approx(0.75))
    assert (other, sure, none) == (pytest.approx(0.3), pytest.approx(0.8), pytest.approx(0.2))
    assert (share, brought) == (0.5, 0.0)
    assert evidence("Who? Ada.", PASSAGE, [("Who?", "Ada")], [answered("Cambridge", 0.4)])[9:] == pytest.approx(
        [0.0, 0.0, 0.4, 0.0, 0.1, 0.25, 1.0]
    )


def test_trees_are_summed_and_a_number_at_a_threshold_goes_low() -> None:
    trees = [[0, 0.5, -1.0, [1, 2.0, 0.0, 3.0]], 0.5]
    assert weighed(trees, [0.5, 9.0]) == pytest.approx(1 / (1 + 2.718281828**0.5))
    assert weighed(trees, [0.6, 2.5]) == pytest.approx(1 / (1 + 2.718281828**-3.5))
