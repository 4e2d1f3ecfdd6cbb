"""Sentences, support and citations of a drafted answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.events import Source
from agent.grounding import (
    closest_quote,
    content_words,
    declines,
    ground,
    invented,
    is_whole,
    quote_for,
    sentences,
    strip_citations,
    support,
    supporting,
    unmarked,
)
from models.errors import PromptTooLong

TOWER = "The Eiffel Tower is in Paris. It was built in 1889 by Gustave Eiffel. Dr. Smith visited it. It is 330 m tall."


def source(number: int, text: str, start: int = 0) -> Source:
    return Source(number, f"{number}.pdf", f"id{number}", "default", 3, None, start, start + len(text), text, 1.0)


def test_sentences_cover_the_text_and_keep_abbreviations_whole() -> None:
    found = [TOWER[span.start : span.end] for span in sentences(TOWER)]
    assert found == [
        "The Eiffel Tower is in Paris.",
        "It was built in 1889 by Gustave Eiffel.",
        "Dr. Smith visited it.",
        "It is 330 m tall.",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("   \n ", 0),
        ("One", 1),
        ("A title\nA line. Two", 3),
        ("他来了。她走了。", 2),
        ("pi is 3.14 exactly.", 1),
    ],
)
def test_sentences_of_odd_texts(text: str, count: int) -> None:
    assert len(sentences(text)) == count


def test_no_character_but_space_is_lost_between_sentences() -> None:
    text = 'He said "Stop!" and left.  Why? Nobody knew...\n\nThe end'
    inside = {index for span in sentences(text) for index in range(span.start, span.end)}
    assert all(text[index].isspace() for index in range(len(text)) if index not in inside)


def test_support_is_the_share_of_content_words() -> None:
    assert support(content_words("the red boat sails"), content_words("A boat is red")) == pytest.approx(2 / 3)
    assert support(set(), {"boat"}) == 0.0


def test_a_number_that_the_source_lacks_is_no_support() -> None:
    assert support(content_words("Eiffel built it in 1890"), content_words(TOWER)) == 0.0


def test_repeating_the_question_proves_nothing() -> None:
    score, _ = quote_for("The tower was built by Anna Bauer", "Who built the tower?", TOWER)
    assert score == 0.0


def test_the_quote_is_the_sentence_that_says_it() -> None:
    score, span = quote_for("Gustave Eiffel in 1889", "Who built the tower and when?", TOWER)
    assert score == 1.0
    assert TOWER[span.start : span.end] == "It was built in 1889 by Gustave Eiffel."


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        ("Not in your documents.", True),
        ("The answer to the question about what Luther wrote is not provided in the passage.", True),
        ("The passages do not mention his age.", True),
        ("The text doesn't explicitly state it. Not in the given passages.", True),
        ("", False),
        ("He was not in the passage of the ship when it sank.", False),
        ("Not in your documents. But he sailed in 1847.", False),
        ("The answer is 1847.", False),
        ("The questions were not answered by the ministers.", False),
    ],
)
def test_a_model_that_declines_is_understood(said: str, silent: bool) -> None:
    assert declines(said, "When did he sail?") is silent
    assert not declines(said, "What does the passage not mention?")


def test_marks_in_a_document_do_not_look_like_citations() -> None:
    """P05: neither its name nor its own references."""
    assert unmarked("notes [7] and [1, 2], x[0], [a].txt") == "notes (7) and (1, 2), x(0), [a].txt"
    cited = closest_quote("When was it built?", [source(1, "It was built in 1889.[3]")], ["It was built in 1889.[3]"])
    assert cited.text == "The closest passage says: “It was built in 1889.(3)” [1]"
    assert cited.sources[0].quote == "It was built in 1889.[3]"


def test_a_sentence_that_declines_is_supported_by_nothing() -> None:
    text = "The passage does not mention his age. It was built in 1889."
    grounded = ground(text, "When was it built?", [source(1, f"{TOWER} {text}")], [f"{TOWER} {text}"], 0.6)
    assert grounded.text == "It was built in 1889 [1]."
    assert grounded.removed == ("The passage does not mention his age.",)


def test_unsupported_sentences_go_and_the_others_are_cited_with_document_offsets() -> None:
    first = "Rivers carry sand."
    passages = [source(1, first), source(2, TOWER, start=500)]
    grounded = ground(
        "It was built in 1889 [7]. It was painted by Monet. It is 330 m tall.", "When?", passages, [first, TOWER], 0.6
    )
    assert grounded.text == "It was built in 1889 [1]. It is 330 m tall [2]."
    assert grounded.removed == ("It was painted by Monet.",)
    assert not grounded.supported
    for cited in grounded.sources:
        assert TOWER[cited.start - 500 : cited.end - 500] == cited.quote
        assert cited.document_id == "id2"


def test_one_quote_has_one_number_and_a_repeated_sentence_counts_once() -> None:
    answer = "Gustave Eiffel built it. It was built in 1889. It was built in 1889."
    grounded = ground(answer, "x", [source(1, TOWER)], [TOWER], 0.6)
    assert grounded.text == "Gustave Eiffel built it [1]. It was built in 1889 [1]."
    assert len(grounded.sources) == 1


def test_invented_citations_cannot_appear() -> None:
    assert strip_citations("Paris [3], [4, 5] and [6-8].") == "Paris, and."
    assert ground("Paris [9].", "Where?", [source(1, TOWER)], [TOWER], 0.6).text == "Paris [1]."


def test_with_nothing_supported_the_nearest_sentence_is_quoted() -> None:
    found = closest_quote(
        "How tall is it?", [source(1, "Rivers carry sand."), source(2, TOWER)], ["Rivers carry sand.", TOWER]
    )
    assert found.text == "The closest passage says: “It is 330 m tall.” [1]"
    assert found.sources[0].document_id == "id2"


class Judge:
    """Believes what it is told to: claims by what they begin with."""

    def __init__(self, **believed: float) -> None:
        self.believed = believed
        self.asked: list[tuple[str, str]] = []

    def judge(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
        self.asked += zip(claims, passages, strict=True)
        return [
            max(
                (share for begin, share in self.believed.items() if claim.startswith(begin.replace("_", " "))),
                default=0.0,
            )
            for claim in claims
        ]


def test_the_model_decides_where_one_judges_and_the_words_choose_the_quote() -> None:
    judge = Judge(Its_height=0.9, It_was_built=0.2)
    grounded = ground(
        "Its height was measured as 330 m. It was built in 1889.", "How tall?", [source(1, TOWER)], [TOWER], 0.6, judge
    )
    assert grounded.text == "Its height was measured as 330 m [1]."
    assert grounded.removed == ("It was built in 1889.",)
    assert grounded.sources[0].quote == "It is 330 m tall."


def test_a_number_or_name_that_stands_nowhere_fails_whatever_the_model_says() -> None:
    judge = Judge(It=1.0, Monet=1.0)
    said = "It was built in 1890. It was painted by Monet. It was built by Gustave Eiffel."
    grounded = ground(said, "Who built it?", [source(1, TOWER)], [TOWER], 0.6, judge)
    assert grounded.text == "It was built by Gustave Eiffel [1]."
    assert [claim for claim, _ in judge.asked] == ["It was built by Gustave Eiffel."]


def test_a_name_of_the_question_is_not_invented_but_a_number_of_it_is() -> None:
    assert invented("It was Lady Iron in 1889.", "Who was Lady Iron?", [TOWER]) == set()
    assert invented("Yes, it was built in 1777.", "Was it built in 1777?", [TOWER]) == {"1777"}


@pytest.mark.parametrize(
    ("sentence", "whole"),
    [("42.", False), ("In Paris.", False), ("Gustave Eiffel and his company.", False), ("It was built in 1889.", True),
     ("Eiffel designed the tower.", True), ("It was.", False)],
)  # fmt: skip
def test_what_is_no_whole_sentence_is_judged_behind_its_question(sentence: str, whole: bool) -> None:
    assert is_whole(sentence) is whole
    judge = Judge()
    supporting(
        sentence, "Which one?", [source(1, "42 Paris 1889 Gustave")], ["42 Paris 1889 Gustave Eiffel"], 0.5, judge
    )
    assert judge.asked[0][0] == (sentence if whole else f"Which one? {sentence}")


def test_the_passage_with_the_highest_probability_is_cited() -> None:
    class Second(Judge):
        def judge(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
            return [0.7, 0.95]

    texts = ["The tower is in Paris. Paint peels.", "Rivers carry sand. Towers stand in cities."]
    found = supporting(
        "It was put in a town.", "Where?", [source(1, texts[0]), source(2, texts[1])], texts, 0.6, Second()
    )
    assert found is not None
    assert found.document_id == "id2"
    assert found.quote in texts[1]
    assert found.quote


def test_a_sentence_too_long_for_the_model_is_checked_by_its_words() -> None:
    class Small(Judge):
        def judge(self, claims: Sequence[str], passages: Sequence[str]) -> list[float]:
            raise PromptTooLong(900, 100)

    grounded = ground("It was built in 1889. It has a moat.", "When?", [source(1, TOWER)], [TOWER], 0.6, Small())
    assert grounded.removed == ("It has a moat.",)


def test_without_passages_nothing_is_supported() -> None:
    assert ground("It is red.", "What?", [], [], 0.6, Judge(It=1.0)).removed == ("It is red.",)


def test_a_heading_is_not_quoted_but_what_stands_below_it() -> None:
    text = "# Handbook\n\n## Holidays\nEvery employee has 28 days of leave. Ask in writing."
    _, span = quote_for("holidays", "", text)
    assert text[span.start : span.end] == "Every employee has 28 days of leave."
    _, alone = quote_for("holidays", "", "Hotels are paid.\n## Holidays")
    assert alone.end == len("Hotels are paid.\n## Holidays")


@pytest.mark.parametrize("title", ["## Vote", "Vote"])
def test_the_closest_quote_is_what_a_title_stands_over(title: str) -> None:
    text = f"{title}\nEvery member has one voice. It may be given by letter."
    assert closest_quote("Who has a vote?", [source(1, text)], [text]).sources[0].quote == "Every member has one voice."
    alone = "Every member has one voice.\nVote"
    assert closest_quote("vote", [source(1, alone)], [alone]).sources[0].quote == "Vote"
