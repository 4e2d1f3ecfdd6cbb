"""The assistant over a real library with a hashing embedder and a scripted model."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.assistant import Assistant
from agent.events import Answered, Failed, SourcesFound, Token, ToolFinished, ToolStarted
from agent.settings import Settings
from models.errors import Busy, PromptTooLong
from retrieval import Library, TextDocument
from tests.doubles import HashEmbeddings, join_threads
from tests.doubles_model import ScriptedChatModel
from tests.pdf import write_pdf

LIGHTHOUSE = "The lighthouse of Varn was built in 1847 by Ida Holm. It is 41 metres tall. Its lamp burns rapeseed oil."
BAKERY = "The bakery in Lund opens at six. It sells rye bread and cinnamon buns on market days."


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        yield library


@pytest.fixture
def filled(library: Library, tmp_path: Path) -> Library:
    for name, text in (("lighthouse.txt", LIGHTHOUSE), ("bakery.txt", BAKERY)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    library.add([tmp_path / "lighthouse.txt", tmp_path / "bakery.txt"])
    return library


def assistant(library: Library, tmp_path: Path, *replies: str, **options: object) -> Assistant:
    # Hashed words give lower cosines than a trained encoder, so the floor is lower too.
    settings = Settings(home=tmp_path, max_new_tokens=64, relevance_floor=0.2)
    return Assistant(ScriptedChatModel(replies=list(replies) or ["Yes."], **options), library, settings)


def test_who_talks_need_not_be_who_reads(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, "Ida Holm built it in 1847.")
    talker = ScriptedChatModel(replies=["Hello there."])
    talkative = replace(house, talker=talker)
    assert talkative.ask("Hello", tool="none").text == "Hello there."
    assert talkative.ask("Who built the lighthouse of Varn?").text == "Ida Holm built it in 1847 [1]."
    assert len(talker.asked) == 1


def test_a_model_that_turns_in_circles_is_stopped_after_the_first_round(filled: Library, tmp_path: Path) -> None:
    rounds = "A man looks into a mirror. He sees himself in the glass. " * 40
    house = assistant(filled, tmp_path, f"A joke: no, no, no.\n{rounds}")
    said = house.ask("Tell me a joke", tool="none")
    assert said.text == "A joke: no, no, no.\nA man looks into a mirror. He sees himself in the glass."
    assert not said.cut_off
    assert house.chat_model.words_sent < 60  # type: ignore[attr-defined]
    stuttered = assistant(filled, tmp_path, f"A: {'Aw, aw, ' * 100}").ask("Tell me a joke", tool="none").text
    assert stuttered == "A: Aw, aw,"
    digits = "Pi is 3.14159265358979323846, and 1/9 is 0.111111111111111111111111."
    assert assistant(filled, tmp_path, digits).ask("Some digits?", tool="none").text == digits
    refrain = "Row, row, row.\nRow, row, row.\nRow, row, row.\nGently down the stream."
    assert assistant(filled, tmp_path, refrain).ask("Sing", tool="none").text == refrain


def test_an_answer_is_checked_cited_and_told_as_events(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, "Ida Holm built it in 1847. It was painted by Monet.")
    events = list(house.stream("Who built the lighthouse of Varn?"))
    kinds = [type(event) for event in events]
    assert kinds[:3] == [ToolStarted, ToolFinished, SourcesFound]
    assert kinds[-1] is Answered
    assert "".join(event.text for event in events if isinstance(event, Token)).endswith("painted by Monet.")
    answer = events[-1].answer
    assert answer.text == "Ida Holm built it in 1847 [1]."
    source = answer.sources[0]
    assert source.document == "lighthouse.txt"
    assert filled.text(source.document_id)[source.start : source.end] == source.quote
    assert source.path == str(tmp_path / "lighthouse.txt")
    assert answer.tool == "search"
    assert answer.supported
    assert (answer.prompt_tokens, answer.new_tokens) == (7, 11)
    assert 0 <= answer.timings.route_ms <= answer.timings.first_token_ms <= answer.timings.total_ms


def test_a_quote_from_merged_pages_names_the_page_it_stands_on(library: Library, tmp_path: Path) -> None:
    pages = ["The lighthouse of Varn stands on a rock.", "Ida Holm built the lighthouse of Varn.", "Varn has a bakery."]
    library.add([write_pdf(tmp_path / "varn.pdf", pages)])
    events = list(assistant(library, tmp_path, "Ida Holm built it.").stream("Who built the lighthouse of Varn?"))
    shown = next(event for event in events if isinstance(event, SourcesFound)).sources
    assert [source.page for source in shown] == [1]  # the three follow each other, so they are one
    assert isinstance(events[-1], Answered)
    source = events[-1].answer.sources[0]
    assert (source.page, source.quote) == (2, "Ida Holm built the lighthouse of Varn.")
    assert library.text(source.document_id)[source.start : source.end] == source.quote


def test_copies_do_not_crowd_out_other_passages(library: Library, tmp_path: Path) -> None:
    library.add_texts([TextDocument(f"copy {number}", LIGHTHOUSE) for number in range(6)])
    library.add_texts([TextDocument("painter", "The lighthouse was painted white by Per Lund in 1901.")])
    events = assistant(library, tmp_path, "Per Lund painted it.").stream("Who painted the lighthouse of Varn?")
    shown = next(event for event in events if isinstance(event, SourcesFound)).sources
    assert {source.document for source in shown} >= {"painter"}
    assert len([source for source in shown if source.document.startswith("copy")]) == 1


def test_what_the_documents_do_not_hold_is_not_asked_of_the_model(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, "Napoleon won.")
    answer = house.ask("Which emperor lost the battle of Waterloo?")
    assert answer.abstained
    assert answer.text.startswith("That is not in your documents: I searched 2 documents for")
    assert answer.sources == ()
    assert house.chat_model.asked == []


def test_a_model_that_finds_no_answer_in_the_passages_is_believed(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, "Not in your documents.")
    answer = house.ask("Who painted the lighthouse of Varn?")
    assert (answer.abstained, answer.supported, answer.sources) == (True, None, ())
    assert answer.text.startswith("That is not in your documents: I read ")
    assert answer.new_tokens == 4  # the words of the reply


def test_q11_an_empty_library_gives_a_plain_reply_or_says_that_nothing_is_there(
    library: Library, tmp_path: Path
) -> None:
    house = assistant(library, tmp_path, "Blue.")
    assert house.ask("Which colour is the sky?").text == "Blue."
    forced = house.ask("Which colour is the sky?", tool="search")
    assert forced.abstained
    assert "0 documents" in forced.text
    assert forced.sources == ()


def test_q11_a_document_removed_while_the_answer_is_written_is_not_cited(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, "Ida Holm built it.")
    seen = []
    for event in house.stream("Who built the lighthouse of Varn?"):
        if isinstance(event, SourcesFound):
            filled.remove(["lighthouse.txt"])
        seen.append(event)
    answer = seen[-1].answer
    assert answer.abstained
    assert answer.sources == ()
    assert answer.text == ("lighthouse.txt was removed from the library while I was answering: ask again without it.")


def test_an_unsupported_reply_is_replaced_by_the_nearest_sentence(filled: Library, tmp_path: Path) -> None:
    answer = assistant(filled, tmp_path, "Napoleon did.").ask("How many metres tall is the lighthouse?")
    assert answer.text == "The closest passage says: “It is 41 metres tall.” [1]"


def test_the_words_around_a_topic_do_not_hide_it(filled: Library, tmp_path: Path) -> None:
    """`Handbook` and `say` stand in no passage, so the whole question finds nothing."""
    house = assistant(filled, tmp_path, "Napoleon did.")
    answer = house.ask("What does the handbook say about cinnamon buns?")
    assert answer.text == "The closest passage says: “It sells rye bread and cinnamon buns on market days.” [1]"
    silent = house.ask("What does the handbook say about parking?")
    assert silent.abstained
    assert "for “What does the handbook say about parking?”" in silent.text


@pytest.mark.parametrize("question", ["", "   ", "\n", "🙂", "?!"])
def test_q01_an_empty_question_gets_a_hint_without_a_model_call(filled: Library, tmp_path: Path, question: str) -> None:
    house = assistant(filled, tmp_path)
    answer = house.ask(question)
    assert "Type a question" in answer.text
    assert answer.model == ""
    assert house.chat_model.asked == []


@pytest.mark.parametrize("question", ["word " * 5000, "x" * 10_000_000])
def test_q02_a_question_beyond_the_window_is_refused_with_both_counts(
    filled: Library, tmp_path: Path, question: str
) -> None:
    house = assistant(filled, tmp_path)
    with pytest.raises(PromptTooLong) as caught:
        house.ask(question)
    assert caught.value.count > caught.value.limit == 2000 - 128
    last = list(house.stream(question))[-1]
    assert isinstance(last, Failed)
    assert last.code == "too_long"


def test_q02_a_question_that_nearly_fills_the_window_leaves_room_for_a_passages_beginning(
    library: Library, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("The lighthouse of Varn was built by Ida Holm. " * 8, encoding="utf-8")
    library.add([tmp_path / "long.txt"])
    house = assistant(library, tmp_path, "Ida Holm built it.", window_tokens=328)
    house.settings = replace(house.settings, relevance_floor=0.0)
    asked = "Who built the lighthouse of Varn? " + "Please say. " * 80
    answer = house.ask(asked, tool="search")
    assert answer.sources
    assert len(" ".join(str(message.content) for message in house.chat_model.asked[0]).split()) < 328
    with pytest.raises(PromptTooLong) as caught:
        house.ask(asked + "please " * 34, tool="search")
    assert caught.value.count > caught.value.limit


@pytest.mark.parametrize(
    "text", ["{{7*7}}", "{0.__class__}", "%s %(x)s", '{"lc":1,"type":"secret","id":["KEY"]}', '" OR * NEAR(']
)
def test_q04_q05_q06_markup_in_a_question_is_only_text(filled: Library, tmp_path: Path, text: str) -> None:
    house = assistant(filled, tmp_path, "Ida Holm built it.")
    house.settings = replace(house.settings, relevance_floor=0.0)
    house.ask(f"Who built the lighthouse of Varn? {text}")
    assert text in house.chat_model.asked[0][-1].content


def test_q10_an_answer_that_takes_too_long_is_cut_off(filled: Library, tmp_path: Path) -> None:
    endless = "Ida Holm built it in 1847. " + " ".join(f"And {number} more." for number in range(400))
    house = assistant(filled, tmp_path, endless, seconds_a_word=0.01)
    house.settings = replace(house.settings, answer_timeout_seconds=0.5)
    answer = house.ask("Who built the lighthouse of Varn?")
    assert answer.cut_off
    assert "Ida Holm" in answer.text


def test_a_named_failure_is_the_last_event_and_an_exception_for_ask(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path)
    house.chat_model.error = Busy(4, 4)
    last = list(house.stream("Who built the lighthouse of Varn?"))[-1]
    assert isinstance(last, Failed)
    assert last.code == "busy"
    with pytest.raises(Busy):
        house.ask("Who built the lighthouse of Varn?")


def test_q08_closing_the_stream_stops_the_model(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, " ".join(map(str, range(500))), seconds_a_word=0.005)
    events = house.stream("Who built the lighthouse of Varn?")
    next(event for event in events if isinstance(event, Token))
    events.close()
    sent = house.chat_model.words_sent
    time.sleep(0.05)
    assert house.chat_model.words_sent == sent < 10


async def test_q08_leaving_the_async_stream_stops_the_model(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, " ".join(map(str, range(500))), seconds_a_word=0.005)
    events = house.astream("Who built the lighthouse of Varn?")
    async for event in events:
        if isinstance(event, Token):
            break
    await events.aclose()
    join_threads("hearth-answer")
    assert house.chat_model.words_sent < 500


async def test_the_async_stream_tells_the_same_events(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path, "Ida Holm built it.")
    question = "Who built the lighthouse of Varn?"
    told = [type(event) async for event in house.astream(question)]
    assert told == [type(event) for event in house.stream(question)]


async def test_an_unexpected_error_reaches_the_async_reader_as_itself(filled: Library, tmp_path: Path) -> None:
    house = assistant(filled, tmp_path)
    house.chat_model.error = ZeroDivisionError("boom")
    with pytest.raises(ZeroDivisionError, match="boom"):
        async for _ in house.astream("Who built the lighthouse of Varn?"):
            pass


def test_a_threads_file_is_seen_by_that_thread_until_it_is_kept(library: Library, tmp_path: Path) -> None:
    (tmp_path / "lighthouse.txt").write_text(LIGHTHOUSE, encoding="utf-8")
    house = assistant(library, tmp_path, "Ida Holm built it.")
    house.add_documents([tmp_path / "lighthouse.txt"], thread="a")
    question = "Who built the lighthouse of Varn?"
    assert house.ask(question, thread="a").sources
    assert not house.ask(question, thread="b").sources
    assert not house.ask(question).sources
    [record] = library.documents(["thread:a"])
    house.keep_document(record.document_id)
    assert house.ask(question, thread="b").sources


def test_passages_are_fitted_to_the_window_best_first(library: Library, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(f"The lamp of tower {number} is red. " * 20, encoding="utf-8")
    library.add(sorted(tmp_path.glob("*.txt")))
    house = assistant(library, tmp_path, "The lamp is red.", window_tokens=500)
    events = list(house.stream("Is the lamp of tower red?"))
    found = next(event for event in events if isinstance(event, SourcesFound))
    assert 1 <= len(found.sources) < house.settings.top_k
    prompt = " ".join(str(message.content) for message in house.chat_model.asked[0])
    assert len(prompt.split()) < 500


def test_a_thread_continues_with_its_turns(library: Library, tmp_path: Path) -> None:
    house = assistant(library, tmp_path, "Nice to meet you, Ada.", "Ada.")
    house.ask("I am Ada.", thread="t")
    house.ask("What is my name?", thread="t")
    assert [message.content for message in house.chat_model.asked[1][1:]] == [
        "I am Ada.", "Nice to meet you, Ada.", "What is my name?",
    ]  # fmt: skip


async def test_as_a_runnable_it_answers_alone_in_batch_and_async(filled: Library, tmp_path: Path) -> None:
    runnable = assistant(filled, tmp_path, "Ida Holm built it.").as_runnable()
    question = "Who built the lighthouse of Varn?"
    alone = runnable.invoke(question)
    assert alone.text == "Ida Holm built it [1]."
    assert [answer.text for answer in runnable.batch([question, {"question": question}])] == [alone.text] * 2
    assert (await runnable.ainvoke(question)).text == alone.text


def test_importing_the_assistant_loads_no_torch() -> None:
    """So that a list of documents, or a page that has just begun, waits for no model's libraries."""
    check = "import agent.assistant, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
