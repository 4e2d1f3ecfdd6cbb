"""The OpenVINO engine on a tiny converted Llama: the same answers alone, together, guessed ahead and remembered."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

pytest.importorskip("openvino", reason="openvino is not installed here")
pytest.importorskip("nncf", reason="nncf is not installed here")

from models.engines.base import Engine, GenerationOptions
from models.engines.lora import AdapterMismatch
from models.engines.openvino import OpenVinoEngine
from models.engines.openvino_convert import convert
from models.engines.openvino_paged import BLOCK_TOKENS, EngineUnavailable, PagedModel, Row
from models.engines.parity import torch_logits
from models.engines.sampling import PromptLookup
from models.errors import PromptTooLong
from tests.models.tiny_openvino import save_adapter, save_llama

PROMPTS = [[1, *range(5 + n, 60 + 3 * n)] for n in range(6)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a tiny model in it."""
    home = tmp_path_factory.mktemp("openvino-home")
    save_llama(home / "models" / "tiny" / "1")
    return home


@pytest.fixture(scope="module")
def source(home: Path) -> Path:
    return home / "models" / "tiny" / "1"


@pytest.fixture(scope="module")
def converted(home: Path, source: Path) -> Path:
    return convert(source, home, name="tiny")


@pytest.fixture(scope="module")
def engine(converted: Path) -> Iterator[OpenVinoEngine]:
    """An engine that computes in float32, where the order of work changes no token."""
    with closing(OpenVinoEngine(converted, precision="f32", threads=2)) as engine:
        yield engine


def answer(engine: Engine, prompt: list[int], **options: Any) -> list[int]:
    return list(engine.stream(prompt, GenerationOptions(**{"max_new_tokens": 40} | options), threading.Event()))


def test_it_is_an_engine(engine: OpenVinoEngine) -> None:
    assert isinstance(engine, Engine)
    assert engine.name == "openvino"


def test_logits_are_the_original_models_but_for_the_rounding_of_weights(engine: OpenVinoEngine, source: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    for prompt in PROMPTS:
        ours, theirs = engine.logits(prompt), torch_logits(model)(prompt)
        assert ours.shape == theirs.shape
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999


def test_an_answer_is_greedy_over_the_same_models_logits(engine: OpenVinoEngine) -> None:
    for prompt in PROMPTS:
        made = answer(engine, prompt)
        assert len(made) == 40
        chosen = engine.logits([*prompt, *made]).argmax(-1)[len(prompt) - 1 : -1]
        assert made == chosen.tolist()


def test_many_at_once_answer_as_each_does_alone(engine: OpenVinoEngine) -> None:
    alone = [answer(engine, prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        together = list(pool.map(lambda prompt: answer(engine, prompt), PROMPTS))
    assert together == alone


@pytest.mark.parametrize(("wrong_at", "most_steps"), [(99, 10), (3, 14), (0, 40)])
def test_guessing_ahead_changes_no_token_and_saves_steps(
    engine: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch, wrong_at: int, most_steps: int
) -> None:
    """Guesses of eight ids that are right up to `wrong_at`: what is right is taken in one step, the rest never."""
    plain = answer(engine, PROMPTS[0])
    steps = []
    run = PagedModel.run

    def guess(self: PromptLookup, ids: list[int], most: int) -> list[int]:
        ahead = plain[len(ids) - len(PROMPTS[0]) :][: min(8, most)]
        return [*ahead[:wrong_at], *((token + 1) % 400 for token in ahead[wrong_at:])]

    def counting(self: PagedModel, rows: list[Row]) -> Any:
        steps.append(len(rows))
        return run(self, rows)

    monkeypatch.setattr(PromptLookup, "guess", guess)
    monkeypatch.setattr(PagedModel, "run", counting)
    assert answer(engine, PROMPTS[0], prompt_lookup=True) == plain
    assert len(steps) <= most_steps


def test_guessing_ahead_from_the_text_itself(engine: OpenVinoEngine) -> None:
    for prompt in PROMPTS:
        plain = answer(engine, prompt)
        for text in (prompt, [*prompt, *plain, *prompt], [*plain, *plain]):
            assert answer(engine, text, prompt_lookup=True) == answer(engine, text)


def test_a_seen_beginning_is_not_read_again(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = [1, *(n * 7 % 200 + 5 for n in range(5 * BLOCK_TOKENS))]
    read: list[int] = []
    run = PagedModel.run

    def counting(self: PagedModel, rows: list[Row]) -> Any:
        read.append(sum(len(row.ids) for row in rows))
        return run(self, rows)

    with closing(OpenVinoEngine(converted, precision="f32")) as engine:
        first = answer(engine, prompt, max_new_tokens=5)
        monkeypatch.setattr(PagedModel, "run", counting)
        assert answer(engine, prompt, max_new_tokens=5) == first
        assert sum(read) == 1 + 4, "one id of the prompt, and each new one but the last"
        read.clear()
        follow_up = [*prompt, *first, 9, 9, 9]
        answer(engine, follow_up, max_new_tokens=1)
        assert sum(read) <= BLOCK_TOKENS + 9


def test_the_same_question_gets_the_same_answer_in_the_fast_precision(converted: Path) -> None:
    """G12 for one user: what is remembered of the first time changes nothing."""
    with closing(OpenVinoEngine(converted)) as engine:
        for prompt in PROMPTS:
            assert len({tuple(answer(engine, prompt)) for _ in range(5)}) == 1


def test_it_stops_at_stop_ids_and_does_not_yield_them(engine: OpenVinoEngine) -> None:
    made = answer(engine, PROMPTS[0])
    stop = made[10]
    assert answer(engine, PROMPTS[0], stop_token_ids=(stop,)) == made[: made.index(stop)]
    assert answer(engine, PROMPTS[0], stop_token_ids=(stop,), prompt_lookup=True) == made[: made.index(stop)]
    assert answer(engine, PROMPTS[0], max_new_tokens=1) == made[:1]


def test_cancel_ends_within_a_token_and_frees_the_place(engine: OpenVinoEngine) -> None:
    cancel = threading.Event()
    made = []
    for token in engine.stream(PROMPTS[0], GenerationOptions(max_new_tokens=900), cancel):
        made.append(token)
        if len(made) == 5:
            cancel.set()
    assert len(made) == 5
    assert not engine._batcher._active


def test_a_cancelled_request_never_starts(engine: OpenVinoEngine) -> None:
    cancel = threading.Event()
    cancel.set()
    assert list(engine.stream(PROMPTS[0], GenerationOptions(), cancel)) == []


def test_closing_the_iterator_ends_the_generation(engine: OpenVinoEngine) -> None:
    stream = engine.stream(PROMPTS[0], GenerationOptions(max_new_tokens=900), threading.Event())
    next(stream)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 0.5
    assert not engine._batcher._active


class OnlyEven:
    """A logits processor that lets through even ids, and checks that it sees the answer so far."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.lengths.append(ids.shape[1])
        return scores.index_fill(1, torch.arange(1, scores.shape[1], 2), float("-inf"))


def test_a_constrained_answer_beside_free_ones(engine: OpenVinoEngine) -> None:
    free = [answer(engine, prompt) for prompt in PROMPTS[:3]]
    processor = OnlyEven()
    with ThreadPoolExecutor(4) as pool:
        constrained = pool.submit(
            answer, engine, PROMPTS[3], logits_processor=processor, prompt_lookup=True, max_new_tokens=20
        )
        assert list(pool.map(lambda prompt: answer(engine, prompt), PROMPTS[:3])) == free
    assert all(token % 2 == 0 for token in constrained.result())
    assert processor.lengths == list(range(len(PROMPTS[3]), len(PROMPTS[3]) + 20))


def test_a_failing_processor_fails_its_own_request_alone(engine: OpenVinoEngine) -> None:
    def broken(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("grammar")

    expected = answer(engine, PROMPTS[1])
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(answer, engine, PROMPTS[1])
        with pytest.raises(ZeroDivisionError, match="grammar"):
            answer(engine, PROMPTS[0], logits_processor=broken)
        assert good.result() == expected


def test_a_failing_run_reaches_every_reader_and_the_engine_goes_on(
    engine: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: PagedModel, rows: list[Row]) -> Any:
        raise MemoryError("no room")

    expected = answer(engine, PROMPTS[0])
    with monkeypatch.context() as patch:
        patch.setattr(PagedModel, "run", failing)
        with pytest.raises(MemoryError, match="no room"):
            answer(engine, PROMPTS[0])
    assert answer(engine, PROMPTS[0]) == expected


def test_sampled_answers_repeat_with_their_seed(engine: OpenVinoEngine) -> None:
    def draw(seed: int) -> list[int]:
        return answer(engine, PROMPTS[0], temperature=1.0, top_p=0.9, seed=seed, prompt_lookup=True)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def small_cache(converted: Path, blocks: int) -> OpenVinoEngine:
    """An engine whose cache has so many blocks: two layers, keys and values, two heads of 16 numbers of 4 bytes."""
    return OpenVinoEngine(converted, precision="f32", cache_bytes=blocks * BLOCK_TOKENS * 2 * 2 * 2 * 16 * 4)


def test_when_the_cache_is_short_answers_wait_and_lose_nothing(engine: OpenVinoEngine, converted: Path) -> None:
    expected = [answer(engine, prompt, max_new_tokens=90) for prompt in PROMPTS]
    with closing(small_cache(converted, 10)) as small, ThreadPoolExecutor(len(PROMPTS)) as pool:
        assert small.window == 10 * BLOCK_TOKENS
        assert list(pool.map(lambda prompt: answer(small, prompt, max_new_tokens=90), PROMPTS)) == expected


def test_an_answer_that_fills_the_cache_is_cut_off(converted: Path) -> None:
    with closing(small_cache(converted, 4)) as small:
        made = answer(small, PROMPTS[0], max_new_tokens=900)
        assert len(PROMPTS[0]) + len(made) == 4 * BLOCK_TOKENS
        assert answer(small, PROMPTS[0], max_new_tokens=3) == made[:3]


def test_a_prompt_larger_than_the_cache_is_refused_with_both_numbers(converted: Path) -> None:
    with closing(small_cache(converted, 4)) as small:
        with pytest.raises(PromptTooLong, match="has 128 tokens and this model reads at most 127"):
            answer(small, [5] * 128)
        with pytest.raises(PromptTooLong):
            small.logits([5] * 129)


def test_close_ends_what_runs(converted: Path) -> None:
    engine = OpenVinoEngine(converted, precision="f32")
    stream = engine.stream(PROMPTS[0], GenerationOptions(max_new_tokens=900), threading.Event())
    next(stream)
    engine.close()
    assert len(list(stream)) < 900


def test_an_adapter_changes_the_model_as_merging_it_does(engine: OpenVinoEngine, source: Path, tmp_path: Path) -> None:
    merged = save_adapter(source, tmp_path)
    base = LlamaForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    adapted = engine.adapted(tmp_path)
    for prompt in PROMPTS:
        ours = adapted.logits(prompt) - engine.logits(prompt)
        theirs = torch_logits(merged)(prompt) - torch_logits(base)(prompt)
        assert np.abs(theirs).mean() > 0.1, "the adapter does something"
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    made = answer(adapted, PROMPTS[0])
    chosen = torch_logits(merged)([*PROMPTS[0], *made]).argmax(-1)[len(PROMPTS[0]) - 1 : -1]
    assert np.mean(np.array(made) == chosen) >= 0.9


def test_different_adapters_answer_in_one_batch_as_each_does_alone(
    converted: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks, layers and scales differ; the same prompt is remembered apart for each of them."""
    save_adapter(source, tmp_path / "a", seed=1)
    save_adapter(source, tmp_path / "b", seed=2, r=2, target_modules=["q_proj", "down_proj"], use_rslora=True)
    prompt = [1, *range(5, 105)]
    with closing(OpenVinoEngine(converted, precision="f32", threads=2)) as engine:
        plain = answer(engine, prompt)
        engines = [engine, engine.adapted(tmp_path / "a"), engine.adapted(tmp_path / "b")]
        alone = [answer(one, prompt) for one in engines]
        assert alone[0] == plain
        assert len({tuple(made) for made in alone}) == 3
        together: list[set[int]] = []
        run = PagedModel.run

        def counting(self: PagedModel, rows: list[Row]) -> Any:
            together.append({row.adapter for row in rows})
            return run(self, rows)

        monkeypatch.setattr(PagedModel, "run", counting)
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda one: answer(one, prompt), engines * 2))
        assert found == alone * 2
        assert {0, 1, 2} in together


def test_answers_go_on_while_an_adapter_is_taken_in_and_let_go(converted: Path, source: Path, tmp_path: Path) -> None:
    save_adapter(source, tmp_path / "a", seed=1)
    with closing(OpenVinoEngine(converted, precision="f32", threads=2)) as engine:
        expected = answer(engine, PROMPTS[0], max_new_tokens=200)
        stream = engine.stream(PROMPTS[0], GenerationOptions(max_new_tokens=200), threading.Event())
        made = [next(stream) for _ in range(10)]
        first = engine.adapted(tmp_path / "a")
        with_adapter = answer(first, PROMPTS[0])
        made += list(stream)
        assert made == expected
        del first
        gc.collect()
        again = engine.adapted(tmp_path / "a")
        assert answer(again, PROMPTS[0]) == with_adapter
        assert list(engine._batcher._adapters) == [2]
        assert answer(engine, PROMPTS[0], max_new_tokens=200) == expected


def test_an_adapter_for_another_base_is_refused_with_what_does_not_fit(
    engine: OpenVinoEngine, source: Path, tmp_path: Path
) -> None:
    """M07; the engine answers afterwards as before."""
    from safetensors.torch import load_file, save_file

    before = answer(engine, PROMPTS[0])
    save_adapter(source, tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({name.replace("layers.1.", "layers.7."): tensor for name, tensor in tensors.items()}, weights)
    with pytest.raises(AdapterMismatch, match=r"no linear layer model\.layers\.7\.") as caught:
        engine.adapted(tmp_path)
    assert caught.value.code == "adapter_mismatch"
    assert len(caught.value.problems) == 7
    narrower = {name: tensor[:, :-1].clone() for name, tensor in tensors.items() if "q_proj.lora_A" in name}
    save_file(tensors | narrower, weights)
    with pytest.raises(AdapterMismatch, match=r"q_proj is 64 x 64 and the adapter's 64 x 63"):
        engine.adapted(tmp_path)
    assert answer(engine, PROMPTS[0]) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(
    engine: OpenVinoEngine, source: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """M07."""
    save_adapter(source, tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(AdapterMismatch, match=message):
        engine.adapted(tmp_path)


def test_an_adapter_with_a_damaged_tensor_is_refused(engine: OpenVinoEngine, source: Path, tmp_path: Path) -> None:
    """M07."""
    from safetensors.torch import load_file, save_file

    save_adapter(source, tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if "q_proj.lora_B" in name)
    for damaged, message in (
        (tensors | {name: tensors[name][:, :-1].clone()}, "has rank"),
        ({other: tensor for other, tensor in tensors.items() if other != name}, "no partner"),
    ):
        save_file(damaged, weights)
        with pytest.raises(AdapterMismatch, match=message):
            engine.adapted(tmp_path)


def test_a_missing_adapter_is_refused(engine: OpenVinoEngine, tmp_path: Path) -> None:
    with pytest.raises(AdapterMismatch, match="missing or damaged"):
        engine.adapted(tmp_path / "none")


def test_a_missing_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="the torch engine serves") as caught:
        OpenVinoEngine(tmp_path)
    assert caught.value.code == "engine_unavailable"
    assert "\n" not in str(caught.value)
