"""Many users of one chat model at once: turns go round on a scripted engine, and the real one shares its steps."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import BaseModel

from models import scheduler
from models.chat import LocalChatModel
from models.engines import choice
from models.engines.base import GenerationOptions
from models.engines.openvino import OpenVinoEngine, available
from models.engines.openvino_paged import PagedModel, Row
from models.errors import Busy
from models.scheduler import Scheduler, process_scheduler


class ScriptedEngine:
    """Yields the same id a few times, slowly, and notes who was answered in which order."""

    name = "scripted"

    def __init__(self) -> None:
        self.order: list[int] = []
        self.go = threading.Event()

    def stream(
        self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event
    ) -> Generator[int, None, None]:
        self.order.append(options.max_new_tokens)  # each request asks for another number of tokens
        self.go.wait(10)
        for _ in range(3):
            if cancel.is_set():
                return
            yield 5


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    made = ScriptedEngine()
    monkeypatch.setattr(LocalChatModel, "_serving", lambda self: (self.load(), made))
    return made


def queue_up(model: LocalChatModel, users: Sequence[str]) -> list[threading.Thread]:
    """Starts one request a user, each in the queue before the next; the n-th asks for n+1 tokens at most."""
    threads = []
    for place, user in enumerate(users):
        before = process_scheduler().waiting + process_scheduler().running
        thread = threading.Thread(
            target=lambda place=place, user=user: model.invoke("Hello", user=user, max_new_tokens=place + 1)
        )
        thread.start()
        threads.append(thread)
        end = time.monotonic() + 10
        while process_scheduler().waiting + process_scheduler().running <= before:
            assert time.monotonic() < end
            time.sleep(0.002)
    return threads


def test_q07_turns_go_round_the_users_of_one_model(
    tiny_chat: LocalChatModel, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four requests of one user before one each of two others: those two wait for one of the four only."""
    monkeypatch.setattr(scheduler, "_process", Scheduler(slots=1, limit=5))
    threads = queue_up(tiny_chat, ["a", "a", "a", "a", "b", "c"])
    with pytest.raises(Busy):
        tiny_chat.invoke("Hello", user="d")
    engine.go.set()
    for thread in threads:
        thread.join(10)
    assert engine.order == [1, 5, 6, 2, 3, 4]


def test_q08_one_that_leaves_the_queue_holds_up_nobody(
    tiny_chat: LocalChatModel, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_process", Scheduler(slots=1))
    first = queue_up(tiny_chat, ["a"])
    cancel = threading.Event()
    left: list[AIMessage] = []
    waiting = threading.Thread(target=lambda: left.append(tiny_chat.invoke("Hello", user="b", cancel=cancel)))
    waiting.start()
    while not process_scheduler().waiting:
        time.sleep(0.002)
    last = queue_up(tiny_chat, ["c"])
    cancel.set()
    waiting.join(5)
    assert left[0].response_metadata["finish_reason"] == "cancelled"
    engine.go.set()
    for thread in (*first, *last):
        thread.join(10)
    assert len(engine.order) == 2


# --- the real model, converted ---------------------------------------------------------------------------------------


def real_openvino(test: Callable[..., None]) -> Callable[..., None]:
    """A test with the embedded model, where openvino is installed."""
    absent = pytest.mark.skipif(not available(), reason="openvino and nncf are not installed here")
    marked: Callable[..., None] = pytest.mark.real_model(pytest.mark.timeout(900)(absent(test)))
    return marked


QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "What do bees make?",
    "How many legs has a spider?",
    "Which planet is nearest to the sun?",
    "What is water made of?",
    "Who wrote Hamlet?",
    "What is two plus two?",
]


class City(BaseModel):
    """A city."""

    name: str
    country: str


@pytest.fixture(scope="module")
def converted(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChatModel]:
    """The embedded model on OpenVINO in float32.

    In the CPU's fastest format the rows of a step are rounded together, so that of two words that are as likely
    another may be taken than alone.
    """
    home = Path(shutil.copytree(prepared_models, tmp_path_factory.mktemp("many") / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "_open_engine", lambda folder: OpenVinoEngine(folder, precision="f32"))
        patch.setattr(scheduler, "_process", Scheduler(slots=8))
        model = LocalChatModel(home=home, max_new_tokens=24, engine="openvino")
        model.convert()
        yield model


class Steps:
    """Counts how many answers each step of the engine served."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        run = PagedModel.run

        def counting(paged: PagedModel, rows: Sequence[Row]) -> object:
            self.rows.append(len(rows))
            return run(paged, rows)

        monkeypatch.setattr(PagedModel, "run", counting)


def whole(model: LocalChatModel, question: str, user: str = "") -> str:
    joined = AIMessageChunk(content="")
    for chunk in model.stream(question, user=user):
        joined = joined + chunk
    return str(joined.content)


@real_openvino
def test_eight_threads_share_the_steps_and_read_what_each_reads_alone(
    converted: LocalChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [whole(converted, question) for question in QUESTIONS]
    steps = Steps(monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda place: whole(converted, QUESTIONS[place], f"user {place}"), range(8)))
    assert together == alone
    assert max(steps.rows) == 8


@real_openvino
def test_a_form_and_a_stop_beside_free_answers(converted: LocalChatModel) -> None:
    alone = [whole(converted, question) for question in QUESTIONS[:6]]
    cancel = threading.Event()
    stopped: list[AIMessageChunk] = []

    def stop_after_five() -> None:
        for chunk in converted.stream("Tell a long story.", cancel=cancel, max_new_tokens=400):
            stopped.append(chunk)
            if len(stopped) == 5:
                cancel.set()

    with ThreadPoolExecutor(8) as pool:
        free = [pool.submit(whole, converted, question) for question in QUESTIONS[:6]]
        form = pool.submit(converted.with_structured_output(City).invoke, "Paris is the capital of France.")
        story = pool.submit(stop_after_five)
        assert [answer.result(300) for answer in free] == alone
        assert isinstance(form.result(300), City)
        story.result(300)
    assert len(stopped) <= 8
    assert "cancelled" in [chunk.response_metadata.get("finish_reason") for chunk in stopped]
    assert process_scheduler().running == 0
