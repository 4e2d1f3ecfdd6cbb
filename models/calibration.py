"""What this machine does in about ten seconds of trying: tokens a second, chunks a second, bytes of memory a second.

Writing one token reads all weights once, so for one answer at a time
    tokens per second = bytes of memory read per second / bytes of weights read per token,
at most. Source: Pope et al. 2022, "Efficiently Scaling Transformer Inference", section 2 (arXiv:2211.05102): at small
batches decoding is bound by the time that loading the weights takes.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.home import models_folder
from models.machine import Machine
from models.manifest import read_manifest

if TYPE_CHECKING:
    from models.chat import LocalChatModel
    from models.embeddings import LocalEmbeddings

FILE_NAME = "calibration.json"
_FORMAT = 1
_CHAT_SECONDS, _EMBED_SECONDS, _MEMORY_SECONDS = 4.0, 3.0, 1.0
_LEAST_PIECES = 3
_ARRAY_BYTES = 512 * 2**20  # far beyond any cache of a processor
_PROMPT = "Write a long story about a lighthouse keeper who counts the ships that pass, ship by ship."
_CHUNK = (
    "The harbour of Varn lies open to the west, and ships of every size come in with the tide. {number} of them were "
    "counted in a single week, most with grain and timber, some with wool, a few with ballast alone and bad news. "
)


@dataclass(frozen=True)
class Calibration:
    """What was measured, and with what.

    `chat` and `embed` name the models; the fingerprints tell which weights and engine; `chat_bytes_per_token` is what
    the engine reads for a token and `chat_parameters` how many numbers that is.
    """

    machine: str
    chat: str
    chat_fingerprint: str
    engine: str
    tokens_per_second: float
    chat_bytes_per_token: int
    chat_parameters: int
    embed: str
    embed_fingerprint: str
    chunks_per_second: float
    memory_bytes_per_second: float

    def tokens_per_second_of(self, parameters: int) -> float:
        """What to expect of another chat model in the same engine, by the formula above.

        The share of the memory's speed that this machine reached with its own chat model is taken to hold there, too,
        and never to be above 1.
        """
        bytes_per_token = self.chat_bytes_per_token / self.chat_parameters * parameters
        reached = min(self.memory_bytes_per_second, self.tokens_per_second * self.chat_bytes_per_token)
        return reached / bytes_per_token


def cached(home: Path, machine: Machine, chat: LocalChatModel, embeddings: LocalEmbeddings) -> Calibration | None:
    """What was measured earlier on this machine with these models, None where something is different now."""
    try:
        value = json.loads((models_folder(home) / FILE_NAME).read_text(encoding="utf-8"))
        found = Calibration(**value["calibration"]) if value["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    wanted = (_machine_words(machine), _fingerprint(chat.folder), _engine_of(chat.folder, chat), embeddings.fingerprint)
    same = found and (found.machine, found.chat_fingerprint, found.engine, found.embed_fingerprint) == wanted
    return found if same else None


def calibrate(home: Path, machine: Machine, chat: LocalChatModel, embeddings: LocalEmbeddings) -> Calibration:
    """Measures, about ten seconds beside the loading, and keeps the figures in the home where it can be written."""
    loaded = chat.load()
    engine = _engine_of(loaded.folder, chat)
    found = Calibration(
        machine=_machine_words(machine),
        chat=chat.model,
        chat_fingerprint=_fingerprint(loaded.folder),
        engine=engine,
        tokens_per_second=round(_tokens_per_second(chat), 1),
        chat_bytes_per_token=_bytes_per_token(loaded, home, engine),
        chat_parameters=sum(int(tensor.numel()) for tensor in loaded.model.parameters()),
        embed=embeddings.model,
        embed_fingerprint=embeddings.fingerprint,
        chunks_per_second=round(_chunks_per_second(embeddings), 1),
        memory_bytes_per_second=round(_memory_bytes_per_second(loaded.choice.device)),
    )
    _keep(home, found)
    return found


def _tokens_per_second(chat: LocalChatModel) -> float:
    """Tokens after the first of each answer, by the time from the first to the last."""
    chat.invoke(_PROMPT, max_new_tokens=4)  # opens what is opened at the first answer
    tokens, seconds, deadline = 0, 0.0, time.monotonic() + _CHAT_SECONDS
    while time.monotonic() < deadline:
        cancel = threading.Event()
        first: float | None = None
        new = 0
        for pieces, chunk in enumerate(chat.stream(_PROMPT, max_new_tokens=256, cancel=cancel)):
            first = first or time.monotonic()
            new = chunk.usage_metadata["output_tokens"] if chunk.usage_metadata else new
            if pieces >= _LEAST_PIECES and time.monotonic() >= deadline:  # however slow the machine, something is timed
                cancel.set()
        if first is not None and new > 1:
            tokens += new - 1
            seconds += time.monotonic() - first
    return tokens / seconds if seconds else 0.0


def _chunks_per_second(embeddings: LocalEmbeddings) -> float:
    """Passages of about 900 characters, sixteen at a time."""
    embeddings.embed_documents(["warm up"])
    done, started = 0, time.monotonic()
    while (spent := time.monotonic() - started) < _EMBED_SECONDS:
        embeddings.embed_documents([_CHUNK.format(number=number) * 4 for number in range(done, done + 16)])
        done += 16
    return done / spent if done else 0.0


def _memory_bytes_per_second(device: str) -> float:
    """How fast memory is read by every thread at once: the best of as many sums over a large array as fit a second."""
    import torch

    array = torch.ones(_ARRAY_BYTES // 4, dtype=torch.float32, device=device)
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    best, deadline = float("inf"), time.monotonic() + _MEMORY_SECONDS
    while time.monotonic() < deadline:
        started = time.perf_counter()
        array.sum()
        wait()
        best = min(best, time.perf_counter() - started)
    return _ARRAY_BYTES / best


def _bytes_per_token(loaded: Any, home: Path, engine: str) -> int:
    if engine == "torch":
        return sum(int(tensor.numel()) * tensor.element_size() for tensor in loaded.model.parameters())
    from models.engines.openvino_convert import converted_folder

    return sum(path.stat().st_size for path in converted_folder(loaded.folder, home).glob("*.bin"))


def _engine_of(folder: Path, chat: LocalChatModel) -> str:
    """The engine that would answer now, without loading it."""
    from models.device import choose_device
    from models.engines.openvino import available
    from models.engines.openvino_convert import is_ready

    if chat.engine == "torch" or choose_device().device != "cpu" or not available():
        return "torch"
    return "openvino" if is_ready(folder, chat.home) else "torch"


def _fingerprint(folder: Path) -> str:
    """Which weights: their hash where there is a manifest, else the path, size and time of the files."""
    manifest = read_manifest(folder)
    if manifest:
        return manifest.weights_sha256()
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.safetensors"))]
    return json.dumps(facts)


def _machine_words(machine: Machine) -> str:
    return f"{machine.processor}, {machine.cores} cores, {machine.gpu or 'no GPU'}"


def _keep(home: Path, calibration: Calibration) -> None:
    target = models_folder(home) / FILE_NAME
    temporary = target.with_name(f".{FILE_NAME}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps({"format": _FORMAT, "calibration": asdict(calibration)}), encoding="utf-8")
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)  # a home that cannot be written: measured again next time
