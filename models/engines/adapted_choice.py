"""Which engine serves a base with an adapter: OpenVINO once the two together passed a parity check there, else torch.

The check's figures, or its refusal, are kept beside the converted base, so it is made once for an adapter.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.engines.adapter_note import AdapterNote
from models.engines.base import Engine, GenerationOptions
from models.engines.choice import EngineChoice, EngineName
from models.engines.parity import ANSWER_TOKENS, ParityReport, check_parity, probe_prompts
from models.errors import ModelError

if TYPE_CHECKING:
    from models.engines.openvino import AdaptedOpenVinoEngine, OpenVinoEngine
    from models.loading import LoadedChat

_WAIT_SECONDS = 5.0  # between looks whether the base is converted


class AdaptedChoice:
    """The engines of a base with one adapter; safe to ask from several threads."""

    def __init__(self, base: EngineChoice, adapter: Path, name: str) -> None:
        """Nothing is opened yet.

        Args:
            base: the base model's choice.
            adapter: the adapter's folder.
            name: what a person calls the adapter.
        """
        self._base, self._adapter, self._name = base, adapter, name
        self._note = AdapterNote(base.folder, adapter)
        self._lock = threading.Lock()
        self._opened: AdaptedOpenVinoEngine | None = None
        self._stop = threading.Event()
        self._checking: threading.Thread | None = None

    def engine(self, wanted: EngineName = "auto") -> Engine | None:
        """The OpenVINO engine with the adapter where it may serve now; None where torch does.

        Raises:
            EngineUnavailable: "openvino" was asked for by name and cannot serve here yet.
        """
        if wanted == "torch":
            return None
        base = self._base.demanded() if wanted == "openvino" else self._base.converted()
        if base is None:
            return None
        problem = self._problem()
        if problem is None:
            return self._open(base)
        if wanted == "openvino":
            from models.engines.openvino_paged import EngineUnavailable

            raise EngineUnavailable(problem)
        return None

    def check(self, loaded: LoadedChat) -> ParityReport:
        """Compares the adapter on OpenVINO with itself on torch, and notes whether it may serve there.

        Args:
            loaded: the base with the adapter, on torch.

        Raises:
            EngineUnavailable: the base is not converted.
            ParityFailed: the two differ by more than the bounds; torch serves.
        """
        engine = self._open(self._base.demanded())
        options = GenerationOptions(max_new_tokens=ANSWER_TOKENS, stop_token_ids=loaded.stop_token_ids)

        def answer(prompt: Sequence[int]) -> list[int]:
            return list(engine.stream(prompt, options, threading.Event()))

        try:
            report = check_parity(loaded.engine.logits, engine.logits, answer, probe_prompts(loaded.tokenizer))
        except ModelError as error:
            self._note.write({"message": str(error)})
            raise
        self._note.write({"report": report.to_json()})
        return report

    def begin_conversion(self, load: Callable[[], LoadedChat]) -> None:
        """Converts the base in a child process and then checks the adapter, both in the background."""
        self._base.begin_conversion()
        with self._lock:
            if self._checking is None and self._note.read() is None:
                self._checking = threading.Thread(target=self._wait_and_check, args=(load,), daemon=True)
                self._checking.start()

    def stop_conversion(self) -> None:
        """Ends what `begin_conversion` began."""
        self._stop.set()
        self._base.stop_conversion()

    def let_go(self) -> bool:
        """Gives back the adapter's room and its hold on the base, unless somebody is being answered with it."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is None:
                return False
            alive = weakref.ref(opened)
            del opened
            gc.collect()
            self._opened = alive()
            return self._opened is None

    def _wait_and_check(self, load: Callable[[], LoadedChat]) -> None:
        while self._base.may_convert and not self._stop.is_set():
            if self._base.converted() is not None:
                with contextlib.suppress(ModelError):  # noted; torch serves
                    self.check(load())
                return
            self._stop.wait(_WAIT_SECONDS)

    def _open(self, base: OpenVinoEngine) -> AdaptedOpenVinoEngine:
        with self._lock:
            if self._opened is None or self._opened.base is not base:
                self._opened = base.adapted(self._adapter)
            return self._opened

    def _problem(self) -> str | None:
        noted = self._note.read()
        if noted is None:
            return f"{self._name} is not checked there (`hearth models convert {self._name}`)"
        return str(noted["message"]) if "message" in noted else None
