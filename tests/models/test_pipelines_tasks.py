"""Every task of the table on a tiny model: the result has the promised shape, twice the same, also as a tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import TypeAdapter

from models.pipelines.table import PIPELINE_TASKS
from models.pipelines.task import PipelineTask
from tests.models.tiny_pipelines import BUILDERS, build, picture, recording

WORDS = [["ada", [0, 0, 20, 10]], ["wrote", [22, 0, 40, 10]], ["notes", [0, 12, 30, 22]]]
OPTIONS: dict[str, dict[str, Any]] = {
    "zero-shot-image-classification": {"labels": "river,fish"},
    "object-detection": {"threshold": 0},
    "zero-shot-object-detection": {"labels": ["river", "fish"], "threshold": 0},
    "mask-generation": {"points_per_side": 4, "quality": 0, "stability": 0},
    "keypoint-matching": {"threshold": 0},
    "image-text-to-text": {"max_new_tokens": 4},
    "document-question-answering": {"words": WORDS, "top_k": 2},
    "any-to-any": {"max_new_tokens": 4},
    "zero-shot-audio-classification": {"labels": "river,fish"},
    "decision": {"labels": "river,fish,hill"},
}
TEXTS = {"text": "who wrote the notes ?", "question": "is it about fish ?"}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a task's tiny model, built at first use."""
    folders: dict[str, Path] = {}

    def folder_of(task: str) -> Path:
        if task not in folders:
            folders[task] = build(BUILDERS[task], tmp_path_factory.mktemp(task))
        return folders[task]

    return folder_of


@pytest.fixture
def given(tmp_path: Path) -> Any:
    """A task's inputs, by its line in the table."""
    frames = [Image.new("RGB", (32, 24), (shade, 90, 0)) for shade in range(0, 240, 30)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:])
    files = {
        "image": picture(tmp_path / "photo.png"),
        "audio": recording(tmp_path / "voice.wav"),
        "video": tmp_path / "clip.gif",
    }

    def inputs_of(task: str) -> list[Any]:
        wanted = PIPELINE_TASKS[task].inputs
        kinds = ["" if task == "any-to-any" and one.kind == "image" else one.kind for one in wanted]
        return [
            TEXTS[one.name] if kind == "text" else files.get(kind, "") for one, kind in zip(wanted, kinds, strict=True)
        ]

    return inputs_of


def without_paths(value: Any) -> Any:
    """A result with the files' contents in place of their paths."""
    if isinstance(value, list):
        return [without_paths(one) for one in value]
    if isinstance(value, dict):
        return {name: without_paths(one) for name, one in value.items()}
    return Path(value).read_bytes() if isinstance(value, str) and value.startswith("/") else value


@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_a_task_gives_what_the_table_promises(task: str, built: Any, given: Any, tmp_path: Path, float32: None) -> None:
    opened = PipelineTask.open(task, str(built(task)), tmp_path)
    options, output = OPTIONS.get(task, {}), tmp_path / "made"
    first = opened(*given(task), folder=output, **options)
    TypeAdapter(opened.row.output).validate_python(first, strict=True)
    assert json.loads(json.dumps(first)) == first
    assert first
    again = opened(*given(task), folder=output, **options)
    assert without_paths(again) == without_paths(first)


@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_a_task_is_a_tool(task: str, built: Any, given: Any, tmp_path: Path, float32: None) -> None:
    opened = PipelineTask.open(task, str(built(task)), tmp_path)
    tool = opened.as_tool(tmp_path / "made")
    assert tool.name == opened.row.tool
    assert all("description" in facts for facts in tool.args.values())
    inputs = {one.name: str(value) for one, value in zip(opened.row.inputs, given(task), strict=True)}
    call = {"name": tool.name, "args": inputs | OPTIONS.get(task, {}), "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    assert message.status == "success", message.content
    assert message.content
    TypeAdapter(opened.row.output).validate_python(message.artifact, strict=True)


def test_a_tools_error_is_its_answer(built: Any, tmp_path: Path) -> None:
    tool = PipelineTask.open("image-classification", str(built("image-classification")), tmp_path).as_tool(tmp_path)
    assert tool.invoke({"image": "https://example.org/cat.png"}).startswith("not_a_local_file: ")
