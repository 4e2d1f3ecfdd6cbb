"""The tools of the tasks on pictures, sound and video, one for each task that a model serves."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.assembly import House


def pipeline_tools(house: House) -> list[BaseTool]:
    """The tools of the configured tasks, in the order of the table; their files go into the home's `results`."""
    from models.pipelines.table import PIPELINE_TASKS
    from models.pipelines.task import PipelineTask, pipeline_tool
    from models.serving import Roles

    tools = []
    models = Roles.of(house).task_models(house.settings.tasks)
    for task, row in PIPELINE_TASKS.items():
        if model := models.get(task):
            opened = functools.cache(functools.partial(PipelineTask.open, task, model, house.home))
            tools.append(pipeline_tool(row, opened, house.home / "results"))
    return tools
