"""Which engine serves a model: OpenVINO where its checked conversion is ready, torch everywhere else.

A conversion that finishes while a process runs is taken up by that process at its next answer.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from models.engines.base import Engine
from models.errors import ModelError
from models.memory import kept
from models.scheduler import process_scheduler

if TYPE_CHECKING:
    from models.engines.openvino import OpenVinoEngine
    from models.engines.openvino_convert import Conversion
    from models.engines.openvino_forms import FormName

EngineName = Literal["auto", "torch", "openvino"]
ENGINES: tuple[EngineName, ...] = ("auto", "torch", "openvino")
Opened = TypeVar("Opened")
_LOOK_AGAIN_SECONDS = 5.0


class ConvertedChoice(Generic[Opened]):
    """A model's converted form, opened once it is ready; safe to ask from several threads."""

    def __init__(
        self, folder: Path, home: Path, name: str, form: FormName, open_converted: Callable[[Path], Opened]
    ) -> None:
        """Nothing is opened yet.

        Args:
            folder: the model's files.
            home: the data folder, where the conversion is looked for.
            name: what a person calls the model.
            form: which converted form is wanted.
            open_converted: opens the converted folder; a ModelError of it leaves torch serving.
        """
        self._folder, self._home, self._name, self._form = folder, home, name, form
        self._open_converted = open_converted
        self._may_convert = _installed()
        self._lock = threading.Lock()
        self._converted: Opened | None = None
        self._look_after = 0.0
        self._conversion: Conversion | None = None

    @property
    def folder(self) -> Path:
        """Where the converted form is, or will be."""
        from models.engines.openvino_convert import converted_folder

        return converted_folder(self._folder, self._home, self._form)

    @property
    def may_convert(self) -> bool:
        """Whether this machine has what it takes."""
        return self._may_convert

    def let_go(self) -> bool:
        """Closes the converted form if nobody uses it, and says whether memory was given back."""
        with self._lock:
            opened, self._converted = self._converted, None
            if opened is None:
                return False
            alive = weakref.ref(opened)
            del opened
            gc.collect()
            self._converted = alive()
            return self._converted is None

    def converted(self) -> Opened | None:
        """The converted form where it is ready now."""
        with self._lock:
            if self._converted is None and self._may_convert and time.monotonic() >= self._look_after:
                self._converted = self._open()
                if self._converted is None:
                    self._look_after = time.monotonic() + _LOOK_AGAIN_SECONDS
            return self._converted

    def demanded(self) -> Opened:
        """The converted form.

        Raises:
            EngineUnavailable: it cannot serve here yet.
        """
        found = self.converted()
        if found is None:
            from models.engines.openvino_convert import refusal
            from models.engines.openvino_paged import EngineUnavailable

            reason = "it is not installed, or no CPU serves"
            if self._may_convert:
                reason = refusal(self._folder, self._home, self._form) or (
                    f"{self._name} is not converted (`hearth models convert {self._name}`)"
                )
            raise EngineUnavailable(reason)
        return found

    def begin_conversion(self) -> None:
        """Convert in a child process of low priority, unless that is done, under way or known to fail."""
        if not self._may_convert or self.converted() is not None:
            return
        from models.engines.openvino_convert import convert_in_background, refusal

        with self._lock:
            if self._conversion is None and refusal(self._folder, self._home, self._form) is None:
                self._conversion = convert_in_background(self._folder, self._home, name=self._name, form=self._form)

    def stop_conversion(self) -> None:
        """End a conversion that this process began; what it had done is thrown away."""
        with self._lock:
            if self._conversion is not None:
                self._conversion.stop()
                self._conversion = None

    def _open(self) -> Opened | None:
        from models.engines.openvino_convert import converted_folder, is_ready

        if not is_ready(self._folder, self._home, self._form):
            return None
        try:
            return self._open_converted(converted_folder(self._folder, self._home, self._form))
        except ModelError:  # it was checked when it was made; what cannot be opened now must not stop torch
            self._may_convert = False
            return None


class EngineChoice(ConvertedChoice["OpenVinoEngine"]):
    """The engines of one loaded chat model beside torch, which is always there."""

    def __init__(self, folder: Path, home: Path, name: str, device: str) -> None:
        """Nothing is opened yet.

        Args:
            folder: the model's files.
            home: the data folder, where the conversion is looked for.
            name: what a person calls the model.
            device: where torch runs; OpenVINO is for CPUs.
        """
        super().__init__(folder, home, name, "chat", _open_engine)
        self._may_convert = self._may_convert and device == "cpu"

    def engine(self, wanted: EngineName = "auto") -> Engine | None:
        """The converted engine to answer with now; None where torch does.

        Raises:
            EngineUnavailable: "openvino" was asked for by name and cannot serve here yet.
        """
        if wanted == "torch":
            return None
        return self.demanded() if wanted == "openvino" else self.converted()


def _open_engine(converted: Path) -> OpenVinoEngine:
    from models.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine(converted)
    process_scheduler().slots = max(process_scheduler().slots, engine.at_once)
    return engine


def engine_choice(folder: Path, home: Path, name: str, device: str) -> EngineChoice:
    """The one choice of a chat model's folder in this process; arguments as for EngineChoice."""
    found: EngineChoice = kept(("converted", folder, home, "chat"), lambda: EngineChoice(folder, home, name, device))
    return found


def encoder_choice(
    folder: Path, home: Path, name: str, form: FormName, open_converted: Callable[[Path], Opened]
) -> ConvertedChoice[Opened]:
    """The one choice of an encoder's folder in this process; arguments as for ConvertedChoice."""
    found: ConvertedChoice[Opened] = kept(
        ("converted", folder, home, form), lambda: ConvertedChoice(folder, home, name, form, open_converted)
    )
    return found


def _installed() -> bool:
    from models.engines.openvino import available

    return available()
