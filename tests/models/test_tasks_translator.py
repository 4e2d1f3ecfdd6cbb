"""Translation: every family told its languages as its authors meant, sentence by sentence, in batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, BertForMaskedLM

from models.errors import BadOption, WrongRole
from models.tasks.errors import EmptyText, LanguageNotSupported, LanguageUnclear
from models.tasks.language_codes import language_code
from models.tasks.translation_families import family_of
from models.tasks.translator import Translator
from tests.models.tiny_tasks import save_bert
from tests.models.tiny_translators import save_m2m, save_marian, save_nllb, save_t5

TWO_WAYS = {f"translation_{pair}": {"prefix": f"{pair}: "} for pair in ("en_to_de", "de_to_en")}
SENTENCES = "The river runs past old towns. People in boats look for fish! Who wrote the notes?"


def save_two_ways(folder: Path) -> Path:
    return save_t5(folder, params=TWO_WAYS)


def plain(folder: Path, text: str, first: int | None = None, source: str | None = None, **options: Any) -> str:
    """One text through transformers alone, as the model cards do it."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSeq2SeqLM.from_pretrained(folder)
    if source:
        tokenizer.src_lang = source
    inputs = tokenizer(text, return_tensors="pt")
    most = min(2 * inputs["input_ids"].shape[1] + 32, model.config.to_dict().get("max_position_embeddings", 999) - 1)
    options |= {} if first is None else {"forced_bos_token_id": first}
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=most, **options)
    return str(tokenizer.decode(output[0], skip_special_tokens=True)).strip()


def test_marian_equals_transformers(tmp_path: Path, float32: None) -> None:
    folder = save_marian(tmp_path / "marian")
    translator = Translator(str(folder), home=tmp_path)
    assert translator.languages == (("en",), ("de",))
    found = translator("The river runs.", to="German")
    assert found.translation == plain(folder, "The river runs.")
    assert (found.source_language, found.target_language) == ("en", "de")


def test_marian_with_several_targets_is_told_which(tmp_path: Path, float32: None) -> None:
    folder = save_marian(tmp_path / "marian", targets=("deu", "fra"))
    translator = Translator(str(folder), home=tmp_path)
    for to, code in (("de", ">>deu<<"), ("fr", ">>fra<<")):
        assert translator("The river runs.", to=to).translation == plain(folder, f"{code} The river runs.")


def test_m2m100_is_told_both_languages(tmp_path: Path, float32: None) -> None:
    folder = save_m2m(tmp_path / "m2m")
    translator = Translator(str(folder), home=tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = translator("the river runs past old towns", to="hi", source="English")
    assert found.translation == plain(folder, "the river runs past old towns", tokenizer.get_lang_id("hi"), "en")
    assert "zu" in translator.languages[1]


def test_nllb_codes_are_mapped(tmp_path: Path, float32: None) -> None:
    folder = save_nllb(tmp_path / "nllb")
    translator = Translator(str(folder), home=tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer.convert_tokens_to_ids("deu_Latn")
    found = translator("the river runs", to="de", source="en")
    assert found.translation == plain(folder, "the river runs", first, "eng_Latn")
    assert {"en", "de", "hi", "zh"} <= set(translator.languages[0])


def test_t5_is_told_by_its_prefix(tmp_path: Path, float32: None) -> None:
    params = {"translation_en_to_de": {"prefix": "translate English to German: "}}
    folder = save_t5(tmp_path / "t5", params=params)
    translator = Translator(str(folder), home=tmp_path)
    expected = plain(folder, "translate English to German: the river runs")
    assert translator("the river runs", to="de").translation == expected
    with pytest.raises(LanguageNotSupported, match="cannot translate from en to fr; it knows en, de"):
        translator("the river runs", to="fr", source="en")


@pytest.mark.parametrize("save", [save_marian, save_m2m, save_nllb])
def test_a_batch_equals_one_by_one(tmp_path: Path, float32: None, save: Callable[[Path], Path]) -> None:
    translator = Translator(str(save(tmp_path / "model")), home=tmp_path)
    texts = ["the river", SENTENCES, "Who ? Where ?", "past old towns and new bridges"]
    together = translator.many(texts, to="de", source="en")
    assert together == [translator(text, to="de", source="en") for text in texts]


def test_the_search_may_have_beams(tmp_path: Path, float32: None) -> None:
    folder = save_marian(tmp_path / "marian")
    translator = Translator(str(folder), home=tmp_path, beams=3)
    assert translator("The river runs.", to="de").translation == plain(folder, "The river runs.", num_beams=3)


@pytest.mark.parametrize("save", [save_m2m, save_nllb, save_two_ways])
def test_the_likeliest_in_both_directions_is_chosen_as_by_transformers(
    tmp_path: Path, float32: None, save: Callable[[Path], Path]
) -> None:
    """Each candidate's mean log-likelihood and four times that of the source given it, one by one."""
    folder, text, beams, weight = save(tmp_path / "model"), "the river runs past", 4, 4.0
    plainly = Translator(str(folder), home=tmp_path, beams=beams)
    found = [
        one.text
        for one in plainly.candidates(
            [plainly._family.prompt(text, "en", "de")],
            beams,
            new_tokens=lambda tokens: 2 * tokens + 32,
            forced_first=plainly._family.forced_first("de"),
            beams=beams,
        )[0]
    ]
    assert len(set(found)) > 1
    assert found[0] == plainly(text, to="de", source="en").translation
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    family = family_of(model.config.to_dict(), tokenizer)

    def likelihood(read: str, written: str, source: str, target: str) -> float:
        family.set_source(source)
        family.set_target(target)
        ids = tokenizer(family.prompt(read, source, target), return_tensors="pt")["input_ids"]
        labels = tokenizer(text_target=written, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            return -float(model(ids[:, :48], labels=labels[:, :47]).loss)

    scores = [likelihood(text, one, "en", "de") + weight * likelihood(one, text, "de", "en") for one in found]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"reverse_weight": weight}))
    both = Translator(str(folder), home=tmp_path, beams=beams)
    expected = found[scores.index(max(scores))]
    assert [both(text, to="de", source="en").translation for _ in range(2)] == [expected] * 2
    assert both.many(["Who wrote the notes?", text], to="de", source="en")[1].translation == expected


def test_sentences_are_translated_one_by_one_and_lines_stay(tmp_path: Path, float32: None) -> None:
    translator = Translator(str(save_marian(tmp_path / "marian")), home=tmp_path)
    one = translator("The river runs.", to="de").translation
    two = translator("Who wrote it?", to="de").translation
    assert translator("The river runs. Who wrote it?\n\nThe river runs.", to="de").translation == (
        f"{one} {two}\n\n{one}"
    )


def test_a_sentence_beyond_the_window_is_cut_at_white_space(tmp_path: Path, float32: None) -> None:
    translator = Translator(str(save_marian(tmp_path / "marian", window=24)), home=tmp_path)
    text = "the river runs past old towns and new bridges " * 6
    pieces = translator._pieces(text, "en", "de")
    assert len(pieces) > 3
    assert "".join(text[start:end] for start, end in pieces).replace(" ", "") == text.replace(" ", "")
    assert all(translator.token_count(text[start:end]) <= 24 for start, end in pieces)
    assert translator(text, to="de").translation


def test_what_did_not_end_by_itself_is_said(tmp_path: Path, float32: None) -> None:
    translator = Translator(str(save_m2m(tmp_path / "m2m")), home=tmp_path)
    found = translator("the river", to="de", source="en")
    assert found.cut_off  # random weights never end
    assert found.to_json()["cut_off"] is True


def test_the_source_language_is_found(tmp_path: Path, float32: None) -> None:
    translator = Translator(str(save_nllb(tmp_path / "nllb")), home=tmp_path)
    texts = ["Der Fluss fließt an alten Städten vorbei.", "Le fleuve passe devant de vieilles villes."]
    found = translator.many(texts, to="en")
    assert [one.source_language for one in found] == ["de", "fr"]
    with pytest.raises(LanguageUnclear, match="--from"):
        translator("42", to="en")


def test_a_language_that_the_model_does_not_know_is_named_instead_of_the_likest_it_knows(
    tmp_path: Path, float32: None
) -> None:
    params = {f"translation_{pair}": {"prefix": ""} for pair in ("de_to_en", "hi_to_en", "en_to_fr")}
    translator = Translator(str(save_t5(tmp_path / "t5", params=params)), home=tmp_path)
    assert translator("Ein Mann mit einem Hut steht vor dem Haus.", to="en").source_language == "de"
    with pytest.raises(LanguageNotSupported, match=r"from fr to en; .*`hearth models pull google/madlad400-3b-mt`"):
        translator("Un homme avec un chapeau orange regardant quelque chose.", to="en")


def test_the_same_language_is_given_back(tmp_path: Path, float32: None) -> None:
    translator = Translator(str(save_m2m(tmp_path / "m2m")), home=tmp_path)
    assert translator("the river", to="en", source="en").translation == "the river"


def test_bad_input(tmp_path: Path, float32: None) -> None:
    translator = Translator(str(save_marian(tmp_path / "marian")), home=tmp_path)
    with pytest.raises(EmptyText):
        translator(" ", to="de")
    with pytest.raises(LanguageNotSupported):
        translator("the river", to="hi")
    with pytest.raises(BadOption, match="German"):
        translator("the river", to="Germn")
    with pytest.raises(WrongRole, match="serves the role 'fill-mask', not 'translate'"):
        Translator(str(save_bert(tmp_path / "mlm", BertForMaskedLM)), home=tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("de", "de"), ("German", "de"), ("DEU", "de"), ("de-AT", "de"), ("deu_Latn", "de"), ("Hindi", "hi"), ("nb", "no")],
)
def test_language_names(given: str, expected: str) -> None:
    assert language_code(given) == expected
