"""One task of the table with one model: local files and texts in, a plain JSON-able result out, also as a tool."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.catalog import find
from models.errors import BrokenModel, MissingPackage, ModelError, WrongRole
from models.files import read_config
from models.pipelines.elsewhere import ALIASES, HUB, OWN, REMOVED, Served
from models.pipelines.errors import BadTaskOption, TaskFailed, UnknownTask
from models.pipelines.media import Source, read_audio, read_image
from models.pipelines.table import PIPELINE_TASKS, Input, PipelineRow
from models.pipelines.writing import Writer, stem_of
from models.prepare import folder_of
from models.scheduler import process_scheduler
from models.tasks.base import as_texts

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

Progress = Callable[[int, int], None]


class PipelineTask:
    """A task and the model that does it; the model loads at the first call.

    Attributes:
        row: The task's line in the table.
        name: The model's name, with its revision where it has one.
    """

    def __init__(self, row: PipelineRow, name: str, folder: Path) -> None:
        self.row, self.name, self.folder = row, name, folder
        self._model_class = self._fitting_class()

    @classmethod
    def open(cls, task: str, model: str, home: Path) -> PipelineTask:
        """A task by its name or its tool's name, with `org/name[@revision]`, a local folder or a catalog name.

        Raises:
            UnknownTask: the table does not offer it; says why, or who serves it.
            ModelNotFound, ModelNotLocal: no such model here.
            WrongRole: the model is for something else.
        """
        row = row_of(task)
        entry = find(model, None, home)
        return cls(row, entry.label, folder_of(entry, home))

    def __call__(self, *inputs: Source, folder: Path | None = None, **options: Any) -> Any:
        """The result for one set of inputs, in the row's order, as its `output` says.

        Args:
            inputs: Paths or bytes for pictures, recordings and videos; texts as they are.
            folder: Where pictures and recordings of the result go; the current folder where none is given.
            options: The row's options.

        Raises:
            BadTaskOption: an unknown option or an impossible value.
            NotALocalFile, UnsupportedMedia, BrokenMedia, MediaTooLarge, EmptyText: an input cannot be used.
            TaskFailed: the model could not do it.
        """
        chosen = self.options(options)
        given = self._inputs(inputs)
        writer = Writer(folder or Path(), stem_of(inputs[0], is_path=self.row.inputs[0].kind != "text"))
        module, _, function = self.row.call.partition(".")
        run = getattr(import_module(f"models.pipelines.{module}"), function)
        pipe = self.pipe
        with process_scheduler().slot(), self._named_failures():
            return run(pipe, given, chosen, writer)

    def options(self, given: dict[str, Any]) -> Any:
        """The row's options from names and values, texts understood as a command line gives them.

        Raises:
            BadTaskOption: an unknown option or an impossible value.
        """
        try:
            return self.row.options.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            unknown = first["type"] == "extra_forbidden"
            reason = f"there is no option {where}" if unknown else f"{where}: {first['msg']}"
            raise BadTaskOption(self.row.task, reason, list(self.row.options.model_fields)) from error

    @cached_property
    def pipe(self) -> Any:
        """transformers' own pipeline over the model and processors that models/loading.py loaded."""
        import transformers

        from models.loading import load_part

        model = load_part(self.folder, name=self.name, model_class=self._model_class, fast=self.row.writes)
        parts: dict[str, Any] = {_PART[name]: part for name, part in self._processors()}
        if self.row.task == "decision" and not hasattr(model, "decide"):
            from transformers.decision import DecisionConfig

            parts["decision_config"] = DecisionConfig()
        own = import_module("models.pipelines.own")
        pipeline_class = getattr(own, self.row.pipeline, None) or getattr(transformers, self.row.pipeline)
        with self._named_failures():
            return pipeline_class(model=model, task=self.row.task, device=model.device, **parts)

    def as_tool(self, folder: Path) -> BaseTool:
        """The task as a LangChain tool; its files go into `folder`."""
        return pipeline_tool(self.row, lambda: self, folder)

    def _processors(self) -> Iterator[tuple[str, Any]]:
        from transformers import ProcessorMixin

        from models.loading import load_processor

        for name in self.row.processors:
            yield name, load_processor(self.folder, name)
        for name in self.row.optional:
            try:
                part = load_processor(self.folder, name)
            except BrokenModel:
                continue  # most models of the task do without
            if name != "AutoProcessor" or isinstance(part, ProcessorMixin):
                yield name, part

    def _inputs(self, given: tuple[Source, ...]) -> dict[str, Any]:
        """The row's inputs by name, pictures and sound decoded; a video is read when its model says how many frames."""
        row, values = self.row, {}
        for index, wanted in enumerate(row.inputs):
            value = given[index] if index < len(given) else wanted.default
            if value is None or (value == "" and wanted.default is None):
                raise BadTaskOption(row.task, f"the input {wanted.name} is missing", [one.name for one in row.inputs])
            values[wanted.name] = self._read(wanted, value)
        if len(given) > len(row.inputs):
            raise BadTaskOption(row.task, f"{len(given)} inputs", [one.name for one in row.inputs])
        return values

    def _read(self, wanted: Input, value: Source) -> Any:
        if value == "":
            return None
        if wanted.kind == "image":
            return read_image(value)
        if wanted.kind == "audio":
            return read_audio(value, self._sampling_rate())
        return as_texts(str(value), wanted.name)[0] if wanted.kind == "text" else value

    def _sampling_rate(self) -> int:
        """Samples a second that the model wants."""
        extractor = self.pipe.feature_extractor or getattr(self.pipe.processor, "feature_extractor", None)
        if extractor is None:
            raise WrongRole(self.name, wanted="sound", serves="pictures", default=self.row.examples[0])
        return int(extractor.sampling_rate)

    def _fitting_class(self) -> str:
        """The class to load the model with.

        Raises:
            WrongRole: config.json names a model for something else.
        """
        from transformers.models.auto import modeling_auto

        config = read_config(self.folder)
        architectures = config.get("architectures") or []
        kind = config.get("model_type")
        for auto in self.row.model_classes:
            names = getattr(modeling_auto, auto)._model_mapping._model_mapping
            known = names.get(kind, ())
            fits = (
                not architectures
                or auto == "AutoModel"
                or architectures[0] in ([known] if isinstance(known, str) else known)
            )
            if known and fits and (not self.row.model_types or kind in self.row.model_types):
                return auto
        serves = str(architectures[0] if architectures else kind or "unknown")
        raise WrongRole(self.name, wanted=self.row.task, serves=serves, default=self.row.examples[0])

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        """What transformers raises over a model or an input that it cannot work with, as one sentence."""
        from models.transformers_calls import quiet

        try:
            with quiet():
                yield
        except ModelError:
            raise
        except ImportError as error:
            named = re.search(r"pip install (\S+)", str(error))  # transformers' own sentence has several lines
            package = named[1] if named else str(error.name or error)
            raise MissingPackage(f"The task {self.row.task} with {self.name}", package) from error
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError, AttributeError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise TaskFailed(self.row.task, self.name, reason) from error


_PART = {
    "AutoTokenizer": "tokenizer",
    "AutoImageProcessor": "image_processor",
    "AutoFeatureExtractor": "feature_extractor",
    "AutoProcessor": "processor",
}


def row_of(task: str) -> PipelineRow:
    """The table's row for a task's name, another name of it, or its tool's.

    Raises:
        UnknownTask: there is none; says who serves the task instead, or why nobody does.
    """
    task = ALIASES.get(task, task)
    row = PIPELINE_TASKS.get(task) or next((row for row in PIPELINE_TASKS.values() if row.tool == task), None)
    if row is not None:
        return row
    other = OWN.get(task) or REMOVED.get(task) or HUB.get(task)
    if isinstance(other, Served):
        raise UnknownTask(task, f"use `{other.verb}` ({other.by}).")
    if other is not None:
        raise UnknownTask(task, f"{other}.")
    raise UnknownTask(task, known=difflib.get_close_matches(task, PIPELINE_TASKS, n=2))


def pipeline_tool(row: PipelineRow, opened: Callable[[], PipelineTask], folder: Path) -> BaseTool:
    """A LangChain tool for a row; the task is opened at the first call, and a named error is the tool's answer."""
    from langchain_core.tools import StructuredTool, ToolException
    from pydantic import Field, create_model

    from models.task_forms import render

    fields: dict[str, Any] = {
        one.name: (str, Field(description=one.help, default=... if one.default is None else one.default))
        for one in row.inputs
    }
    arguments = create_model(f"{row.tool}_arguments", __base__=row.options, **fields)

    def call(**values: Any) -> tuple[str, Any]:
        inputs = [values.pop(one.name, one.default or "") for one in row.inputs]
        try:
            result = opened()(*inputs, folder=folder, **values)
        except ModelError as error:
            raise ToolException(f"{error.code}: {error}") from error
        return render(result) or "Nothing was found.", result

    return StructuredTool.from_function(
        func=call,
        name=row.tool,
        description=row.prompt,
        args_schema=arguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )
