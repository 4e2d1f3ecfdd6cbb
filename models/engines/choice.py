"""Which engine serves a loaded model: OpenVINO where its checked conversion is ready, torch everywhere else.

A conversion that finishes while a process runs is taken up by that process at its next answer.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.engines.base import Engine
from models.errors import ModelError
from models.scheduler import process_scheduler

if TYPE_CHECKING:
    from models.engines.openvino_convert import Conversion

EngineName = Literal["auto", "torch", "openvino"]
ENGINES: tuple[EngineName, ...] = ("auto", "torch", "openvino")
_LOOK_AGAIN_SECONDS = 5.0


class EngineChoice:
    """The engines of one loaded model; safe to ask from several threads."""

    def __init__(self, reference: Engine, folder: Path, home: Path, name: str, device: str) -> None:
        """Nothing is opened yet.

        Args:
            reference: the torch engine, which is always there.
            folder: the model's files.
            home: the data folder, where the conversion is looked for.
            name: what a person calls the model.
            device: where torch runs; OpenVINO is for CPUs.
        """
        self.reference, self._folder, self._home, self._name = reference, folder, home, name
        self._may_convert = device == "cpu" and _installed()
        self._lock = threading.Lock()
        self._converted: Engine | None = None
        self._look_after = 0.0
        self._conversion: Conversion | None = None

    def engine(self, wanted: EngineName = "auto") -> Engine:
        """The engine to answer with now.

        Raises:
            EngineUnavailable: "openvino" was asked for by name and cannot serve here yet.
        """
        if wanted == "torch":
            return self.reference
        found = self._openvino()
        if found is None and wanted == "openvino":
            from models.engines.openvino_convert import refusal
            from models.engines.openvino_paged import EngineUnavailable

            reason = refusal(self._folder, self._home) if self._may_convert else "it is not installed, or no CPU serves"
            raise EngineUnavailable(reason or f"{self._name} is not converted (`hearth models convert {self._name}`)")
        return found or self.reference

    def begin_conversion(self) -> None:
        """Convert in a child process of low priority, unless that is done, under way or known to fail."""
        if not self._may_convert or self._openvino() is not None:
            return
        from models.engines.openvino_convert import convert_in_background, refusal

        with self._lock:
            if self._conversion is None and refusal(self._folder, self._home) is None:
                self._conversion = convert_in_background(self._folder, self._home, name=self._name)

    def stop_conversion(self) -> None:
        """End a conversion that this process began; what it had done is thrown away."""
        with self._lock:
            if self._conversion is not None:
                self._conversion.stop()
                self._conversion = None

    def _openvino(self) -> Engine | None:
        with self._lock:
            if self._converted is None and self._may_convert and time.monotonic() >= self._look_after:
                self._converted = self._open()
                self._look_after = time.monotonic() + _LOOK_AGAIN_SECONDS
            return self._converted

    def _open(self) -> Engine | None:
        from models.engines.openvino import OpenVinoEngine
        from models.engines.openvino_convert import converted_folder, is_ready

        if not is_ready(self._folder, self._home):
            return None
        try:
            engine = OpenVinoEngine(converted_folder(self._folder, self._home))
        except ModelError:  # it was checked when it was made; what cannot be opened now must not stop torch
            self._may_convert = False
            return None
        process_scheduler().slots = max(process_scheduler().slots, engine.at_once)
        return engine


_choices: dict[tuple[Path, Path], EngineChoice] = {}
_guard = threading.Lock()


def engine_choice(reference: Engine, folder: Path, home: Path, name: str, device: str) -> EngineChoice:
    """The one choice of a model's folder in this process; arguments as for EngineChoice."""
    with _guard:
        found = _choices.get((folder, home))
        if found is None or found.reference is not reference:  # the model was unloaded and loaded again
            found = _choices[folder, home] = EngineChoice(reference, folder, home, name, device)
        return found


def _installed() -> bool:
    from models.engines.openvino import available

    return available()
