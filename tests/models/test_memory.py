"""Models in memory: the least recently used idle ones make room, one that answers stays, and the estimate holds."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models import device, loading
from models.catalog import MINILM, SMOLLM2
from models.chat import LocalChatModel, open_chat_model
from models.device import DeviceChoice, available_memory_bytes
from models.embeddings import open_embeddings
from models.errors import DoesNotFit
from models.files import read_config, read_weights
from models.memory import kept, loaded_keys, make_room, unload_all
from models.prepare import prepared_folder
from tests.models.conftest import chat_tokenizer, save_tiny_chat, save_tiny_encoder
from tests.models.tiny_openvino import save_adapter, save_llama

pytestmark = pytest.mark.usefixtures("no_kept_models")
QUESTION = "Which fox jumps over the lazy dog?"
GIB = 1024**3


class Thing:
    """Something that takes memory."""


def keep(*names: str) -> None:
    for name in names:
        kept(("thing", name), Thing)


def held() -> list[str]:
    return [key[1] for key in loaded_keys() if key[0] == "thing"]


def free_with_each(size: int, total: int) -> Callable[[], int]:
    """Free memory where each kept thing takes so much."""
    return lambda: total - size * len(held())


def test_the_least_recently_used_go_first_and_only_as_many_as_needed() -> None:
    keep("a", "b", "c", "d", "a")
    assert held() == ["b", "c", "d", "a"]
    assert make_room(50, free_with_each(10, 70)) == 50
    assert held() == ["d", "a"]
    assert make_room(50, free_with_each(10, 70)) == 50
    assert held() == ["d", "a"]


def test_what_somebody_holds_stays_and_keeps_its_place() -> None:
    keep("a", "b", "c")
    mine = kept(("thing", "b"), Thing)
    keep("c")
    assert make_room(100, free_with_each(10, 40)) == 30
    assert held() == ["b"]
    assert kept(("thing", "b"), Thing) is mine


def test_tokenizers_are_never_let_go() -> None:
    kept(("tokenizer", "t"), Thing)
    make_room(1, lambda: 0)
    assert loaded_keys() == [("tokenizer", "t")]


def test_a_thing_that_is_asked_for_meanwhile_is_not_loaded_twice() -> None:
    loads: list[int] = []

    def load() -> Thing:
        loads.append(1)
        return Thing()

    stop = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not stop.is_set():
            one = kept(("thing", "x"), load)
            if kept(("thing", "x"), load) is not one:
                wrong.append(one)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        make_room(1, lambda: 0)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []
    assert len(held()) <= 1


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has memory for two models: each one there leaves a GiB less free."""

    def free() -> int:
        return 2 * GIB + GIB // 10 - GIB * sum(key[0] in ("chat", "embed", "task") for key in loaded_keys())

    monkeypatch.setattr(loading, "available_memory_bytes", free)


@pytest.mark.usefixtures("small_machine")
def test_m05_idle_models_make_room_for_the_next_whatever_they_do(tmp_path: Path) -> None:
    one, two = (
        open_chat_model(str(save_tiny_chat(tmp_path / name, seed=seed)), home=tmp_path, max_new_tokens=4)
        for seed, name in enumerate(("one", "two"))
    )
    encoder = open_embeddings(str(save_tiny_encoder(tmp_path / "encoder")), home=tmp_path)
    first = one.invoke(QUESTION).content
    vector = encoder.embed_query(QUESTION)
    assert {key[0] for key in loaded_keys()} >= {"chat", "embed"}
    two.invoke(QUESTION)
    encoder.embed_query(QUESTION)
    loaded = [key[1].name for key in loaded_keys() if key[0] in ("chat", "embed")]
    assert "one" not in loaded
    assert one.invoke(QUESTION).content == first
    assert encoder.embed_query(QUESTION) == vector


def test_m05_a_model_that_is_answering_is_not_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (
        LocalChatModel(model=str(save_tiny_chat(tmp_path / name)), home=tmp_path, max_new_tokens=30, engine="torch")
        for name in ("one", "two")
    )
    whole = one.invoke(QUESTION).content
    monkeypatch.setattr(loading, "available_memory_bytes", lambda: 0 if loaded_keys() else GIB)
    stream = one.stream(QUESTION)
    text = str(next(stream).content)
    with pytest.raises(DoesNotFit):
        two.invoke(QUESTION)
    assert text + "".join(str(chunk.content) for chunk in stream) == whole
    monkeypatch.setattr(
        loading, "available_memory_bytes", lambda: 0 if any(key[0] == "chat" for key in loaded_keys()) else GIB
    )
    assert two.invoke(QUESTION).content
    assert [key[1].name for key in loaded_keys() if key[0] == "chat"] == ["two"]


def test_a_base_goes_after_its_adapters(tmp_path: Path) -> None:
    base = save_llama(tmp_path / "base")
    save_adapter(base, tmp_path / "adapter")
    LocalChatModel(model=str(tmp_path / "adapter"), home=tmp_path, max_new_tokens=2, engine="torch").invoke(QUESTION)
    assert {key[0] for key in loaded_keys()} >= {"chat", "adapted"}
    make_room(1, lambda: 0)
    assert {key[0] for key in loaded_keys()} <= {"tokenizer", "adapted choice", "converted"}


def test_the_gpus_own_memory_is_asked_where_it_serves(tiny_chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("a", "b")
    monkeypatch.setattr(loading, "available_memory_bytes", lambda: pytest.fail("the CPU's memory was asked"))
    monkeypatch.setattr(loading, "_free_gpu_bytes", lambda: GIB * (2 - len(held())))
    choice = DeviceChoice("cuda", "bfloat16", 1, "for the test")
    config, weights = read_config(tiny_chat_folder), read_weights(tiny_chat_folder)
    needed = loading.preflight("tiny", weights, config, choice)
    assert 0 < needed < GIB
    assert held() == ["b"]


def test_a_container_counts_files_read_before_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "/sys/fs/cgroup/memory.max": str(1 << 20),
        "/sys/fs/cgroup/memory.current": str(900 << 10),
        "/sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {500 << 10}\nactive_file 7\n",
    }
    monkeypatch.setattr(device.Path, "read_text", lambda self, **_: texts[str(self)])
    assert available_memory_bytes() == (1024 - 900 + 500) << 10


def peak_and_estimate(folder: Path, tokens: int) -> tuple[int, int]:
    """Bytes of a child process at its peak, and those of its libraries with the preflight's estimate.

    The child loads the model and fills the context that the preflight plans for, or embeds where `tokens` is 0.
    """
    code = """
import sys, threading
from pathlib import Path
import torch, sentence_transformers, langchain_huggingface
from models import loading
from models.device import choose_device
from models.engines.base import GenerationOptions
from models.engines.torch import TorchEngine
from models.files import read_config, read_weights

def resident(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) * 1024

folder, tokens = Path(sys.argv[1]), int(sys.argv[2])
libraries = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
needed = loading.preflight("it", read_weights(folder), read_config(folder), choose_device())
if tokens:
    engine = loading.load_chat(folder, name="it").engine
    list(engine.stream([5] * tokens, GenerationOptions(max_new_tokens=4), threading.Event()))
else:
    loading.load_embeddings(folder, name="it", batch_size=64).embed_documents(["word " * 200] * 64)
print(resident("VmHWM"), libraries + needed)
"""
    root = str(Path(loading.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tokens)], cwd=root, capture_output=True, text=True, check=True
    )
    peak, estimate = run.stdout.split()[-2:]
    return int(peak), int(estimate)


linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")


@linux
@pytest.mark.real_model
def test_g14_the_estimate_is_within_15_percent_of_the_measured_peak(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer()
    config = LlamaConfig(
        vocab_size=16_000,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    peak, estimate = peak_and_estimate(tmp_path, 2000)
    assert estimate == pytest.approx(peak, rel=0.15)


@linux
@pytest.mark.real_model
@pytest.mark.parametrize(("entry", "tokens"), [(SMOLLM2, 8000), (MINILM, 0)])
def test_g14_the_estimate_holds_for_the_embedded_models(prepared_models: Path, entry: object, tokens: int) -> None:
    folder = prepared_folder(entry, prepared_models)  # type: ignore[arg-type]
    assert folder is not None
    peak, estimate = peak_and_estimate(folder, tokens)
    assert estimate == pytest.approx(peak, rel=0.15)


def test_everything_can_be_unloaded(tiny_chat: LocalChatModel) -> None:
    tiny_chat.invoke(QUESTION, max_new_tokens=2)
    assert loaded_keys()
    unload_all()
    assert loaded_keys() == []
