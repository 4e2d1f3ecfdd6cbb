"""Claims made of questions and texts: their sentences, what is changed in them, and that false ones are false."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from training.alterations import (
    ALTERED,
    altered,
    another_thing,
    broken_relation,
    changed_number,
    exchanged_names,
    in_one_list,
    lightly_edited,
)
from training.claims import ADVERSARIAL, SUPPORTED, UNSUPPORTED, ClaimRows, kind_of, written
from training.statements import asked_and_answered, statement

HARBOUR = (
    "The harbour of Port Elsin was built in 1871 by the engineer Ada Quill (a daughter of the mayor) and paid for with "
    "4,200 crowns. Otto Brandt drew the plans in Hamburg for the northern towns, which had asked for a larger port. "
    "Ships from the northern islands landed there until 1903."
)
RAILWAY = (
    "Trains reached the town in 1903 and took the grain to the mills of Lower Varn. The station lies on the site of an "
    "old brewery that Marta Holm had sold to the railway company for 900 crowns. It was never opened to the public "
    "before the war ended in May 1918. Travellers waited in the shed of a baker instead and complained in long letters."
)


@pytest.mark.parametrize(
    ("question", "answer", "wanted"),
    [
        ("Who built the harbour?", "Ada Quill", "Ada Quill built the harbour."),
        ("When was the harbour built?", "1871", "The harbour was built in 1871."),
        ("When did the war end?", "May 1918", "The war ended in May 1918."),
        ("In what year did the railway reach the town?", "1903", "The railway reached the town in 1903."),
        ("Where did Otto Brandt live in 1870?", "Hamburg", "Otto Brandt lived in 1870 in Hamburg."),
        ("What did Marta Holm sell to the company?", "a brewery", "Marta Holm sold a brewery to the company."),
        ("How many crowns did the town pay for the plans?", "900", "The town paid 900 crowns for the plans."),
        ("How many ships were lost in the storm?", "12 ships", "12 ships were lost in the storm."),
        ("What is the capital of Varn called?", "Elsin", "The capital of Varn is called Elsin."),
        ("What was the port replaced by?", "a mill", "The port was replaced by a mill."),
        ("The station lies on the site of what?", "an old brewery", "The station lies on the site of an old brewery."),
        ("who does she marry", "Otto", "She marries Otto."),
    ],
)
def test_a_question_and_its_answer_become_a_sentence(question: str, answer: str, wanted: str) -> None:
    assert statement(question, answer) == wanted


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Why?", "Because"),
        ("What happened to the mill?", "burned"),
        ("What kind of stone was used?", "grey"),
        ("Whose plans were they?", "Otto's"),
        ("Who built it?", "one two three four five six seven eight nine ten eleven twelve thirteen"),
        ("Who built it?", " . "),
    ],
)
def test_where_no_rule_fits_there_is_no_sentence(question: str, answer: str) -> None:
    assert statement(question, answer) is None


def test_a_short_answer_stands_behind_its_question() -> None:
    assert asked_and_answered("how many ships?", "12,") == "How many ships? 12."


def test_an_edited_sentence_says_no_more_than_the_text() -> None:
    sentence = "In 1871, the harbour (of stone) was built by Ada Quill."
    found = {lightly_edited(random.Random(seed), sentence) for seed in range(200)}
    assert "The harbour was built by Ada Quill in 1871." in found
    assert sentence in found
    allowed = {*sentence.lower().replace("(", "").replace(")", "").replace(",", "").split(), "ada", "quill", "1871"}
    for one in found:
        words = one.removeprefix("According to the document, ").lower().replace(",", "").strip(".").split()
        assert {word.strip("().") for word in words} <= {word.strip("().") for word in allowed}


def test_a_pronoun_gives_way_to_the_title_only_after_the_title() -> None:
    said = {
        lightly_edited(random.Random(seed), "It was sold.", title="Varn", before=before)
        for seed in range(40)
        for before in ("Varn is a town.", "The mill is a house.")[seed % 2 :][:1]
    }
    assert "Varn was sold." in said
    after_another = {
        lightly_edited(random.Random(seed), "It was sold.", title="Varn", before="The mill is old.")
        for seed in range(40)
    }
    assert not any("Varn" in one for one in after_another)


def test_a_changed_number_stands_nowhere_in_the_passage() -> None:
    for seed in range(60):
        found = changed_number(random.Random(seed), "It was built in 1871 with 4,200 crowns.", HARBOUR)
        assert found is not None
        changed = set(found.rstrip(".").split()) - set("It was built in 1871 with 4,200 crowns".split())
        assert len(changed) == 1
        assert changed.pop() not in HARBOUR
    assert changed_number(random.Random(0), "No number here.", HARBOUR) is None


def test_names_are_exchanged_across_a_verb_and_never_in_a_list_or_a_likeness() -> None:
    told = "In winter Ada Quill visited Otto Brandt."
    assert exchanged_names(random.Random(0), told, told) == "In winter Otto Brandt visited Ada Quill."
    for same in ("At last Ada Quill married Otto Brandt.", "Here Ada Quill and Otto Brandt worked."):
        assert exchanged_names(random.Random(0), same, same) is None


def test_a_broken_relation_has_another_word_or_a_not() -> None:
    found = {broken_relation(random.Random(seed), "The first port was larger.", "") for seed in range(60)}
    assert found == {
        "The last port was larger.", "The first port was smaller.", "The first port was not larger.",
    }  # fmt: skip
    assert broken_relation(random.Random(1), "It was not painted.", "") == "It was painted."
    assert {broken_relation(random.Random(seed), "It was red.", "") for seed in range(20)} == {"It was not red.", None}


def test_another_name_comes_from_the_passage_and_shares_no_word() -> None:
    for seed in range(30):
        found = another_thing(random.Random(seed), "In those years Ada Quill lived there.", HARBOUR)
        assert found in {
            f"In those years {name} lived there." for name in ("Port Elsin", "Otto Brandt", "Hamburg")
        }  # fmt: skip


def test_members_of_a_list_are_no_wrong_answers_to_each_other() -> None:
    text = "She saw Oslo, Bergen and Varn. Later she lived in Elsin."
    oslo, varn, elsin = ((text.index(name), text.index(name) + len(name)) for name in ("Oslo", "Varn", "Elsin"))
    assert in_one_list(text, oslo, varn)
    assert in_one_list(text, varn, oslo)
    assert not in_one_list(text, varn, elsin)


def test_what_is_altered_stands_nowhere_in_the_passage() -> None:
    for seed in range(50):
        draw = random.Random(seed)
        for sentence in HARBOUR.split(". "):
            found = altered(draw, sentence, HARBOUR, draw.sample(list(ALTERED), len(ALTERED)))
            assert found is None or (found[0].lower() not in HARBOUR.lower() and found[1] in ADVERSARIAL)


@pytest.mark.parametrize(
    ("answer", "kind"), [("May 1918", "year"), ("900 crowns", "number"), ("Ada Quill", "name"), ("a brewery", "phrase")]
)
def test_the_kind_of_an_answer(answer: str, kind: str) -> None:
    assert kind_of(answer) == kind


def test_texts_of_tokens_are_written_as_one_would() -> None:
    assert written("He said `` no '' ( twice ) , and Ada 's well - known mill , too .") == (
        'He said "no" (twice), and Ada\'s well-known mill, too.'
    )


def question(asked: str, *answers: str, text: str = HARBOUR, title: str = "Harbour") -> dict[str, Any]:
    return {"title": title, "question": asked, "context": text, "answers": {"text": list(answers)}}


def made(*rows: dict[str, Any], seed: int = 3, of_text: int = 12) -> list[dict[str, Any]]:
    layout = ClaimRows(seed, of_text)
    return [claim for row in rows for claim in layout(row)]


ASKED = [
    question("Who built the harbour of Port Elsin?", "Ada Quill", "the engineer Ada Quill"),
    question("When was the harbour of Port Elsin built?", "1871"),
    question("Who drew the plans?", "Otto Brandt"),
    question("Who sold the brewery?", "Marta Holm", text=RAILWAY, title="Railway_station"),
    {**question("Who bought the mills of Lower Varn?", text=RAILWAY, title="Railway_station"), "is_impossible": True},
    {"title": "Articles", "text": f"{HARBOUR}\n{RAILWAY}"},
]


def test_true_and_false_claims_are_as_many_and_say_their_kind() -> None:
    rows = made(*ASKED)
    assert Counter(row["label"] for row in rows) == {SUPPORTED: len(rows) / 2, UNSUPPORTED: len(rows) / 2}
    assert {row["kind"][0] for row in rows if row["label"] == SUPPORTED} <= {"answer", "sentence"}
    assert {row["kind"][0] for row in rows} > {"answer", "another answer", "unanswerable", "sentence"}
    assert {row["title"] for row in rows} == {"Harbour", "Railway_station", "Articles"}


def test_no_false_claim_gives_an_accepted_answer_or_stands_in_its_passage() -> None:
    right = {"Who built the harbour": "Ada Quill", "When was the harbour": "1871", "Who drew": "Otto Brandt"}
    for seed in range(25):
        for row in made(*ASKED[:3], seed=seed):
            if row["kind"] == ["another answer"]:
                asked = [answer for beginning, answer in right.items() if row["claim"].startswith(beginning)]
                assert not any(row["claim"].endswith(f"? {answer}.") for answer in asked)
            if row["label"] == UNSUPPORTED:
                assert row["claim"].lower() not in row["text"].lower()
                assert not re.fullmatch(
                    r"Ada Quill built\b.*|The harbour of Port Elsin was built in 1871\.|Otto Brandt drew the plans\.",
                    row["claim"],
                )


def test_a_passage_is_whole_sentences_of_its_text_with_the_answer_inside() -> None:
    for seed in range(25):
        for row in made(*ASKED[:3], seed=seed):
            assert row["text"] in HARBOUR
            assert row["text"].endswith(".")
            if row["kind"] == ["answer"]:
                assert any(answer in row["text"] for answer in ("Ada Quill", "1871", "Otto Brandt"))


def test_another_passage_is_of_the_same_part_and_lacks_the_claim() -> None:
    parts = {"Harbour": "train", "Railway_station": "test", "Articles": "test"}
    for seed in range(40):
        layout = ClaimRows(seed, 8, parts.__getitem__)
        for row in (claim for source in ASKED for claim in layout(source)):
            if row["kind"] == ["something else"]:
                assert row["title"] != "Harbour"
                assert row["text"] in RAILWAY or row["text"] in HARBOUR
            if row["title"] == "Harbour":
                assert row["text"] in HARBOUR


def test_the_same_seed_gives_the_same_claims_and_a_repeated_question_none() -> None:
    assert made(*ASKED) == made(*ASKED)
    assert made(*ASKED, seed=4) != made(*ASKED)
    assert made(ASKED[0], ASKED[0]) == made(ASKED[0])


def test_natural_questions_layouts_are_read() -> None:
    text = "The station was built by Marta Holm , a farmer . Many tickets were sold by Otto Brandt ( a baker ) ."
    qed = {
        "title": "Town", "question": "who built the station", "context": text,
        "answers": [[{"start": 60, "end": 70, "string": "Marta Holm"}]],
    }  # fmt: skip
    lost = {
        "title": "Town",
        "text": "who built the station",
        "short_answers": ["Marta Holm"],
        "long_answer": written(text),
    }
    for row in (qed, lost):
        claims = [claim for seed in range(12) for claim in made(row, seed=seed)]
        assert {claim["claim"] for claim in claims} & {
            "Marta Holm built the station.", "Who built the station? Marta Holm."
        }  # fmt: skip
        assert all(" ." not in claim["text"] for claim in claims)


@pytest.mark.parametrize("text", ["", "Too short.", "word " * 400])
def test_texts_without_sentences_to_claim_give_nothing(text: str) -> None:
    assert made({"title": "Odd", "text": text}) == []


def test_a_row_in_no_known_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'question'"):
        made({"title": "Odd", "prompt": "x"})
