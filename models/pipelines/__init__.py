"""The tasks of transformers' pipelines beyond those of models/tasks: pictures, sound, video and mixtures of them.

`table` says what is offered and what is not; `task` runs one. Names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.pipelines.table import PIPELINE_TASKS, PipelineRow
    from models.pipelines.task import PipelineTask

__all__ = ["PIPELINE_TASKS", "PipelineRow", "PipelineTask"]

_HOMES = {"PIPELINE_TASKS": "table", "PipelineRow": "table", "PipelineTask": "task"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'models.pipelines' has no attribute {name!r}")
    return getattr(import_module(f"models.pipelines.{_HOMES[name]}"), name)
