"""The table against the transformers that is installed: a task that comes, goes or changes its parts fails here."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import pytest
import transformers
from transformers.pipelines import REMOVED_TASKS, SUPPORTED_TASKS, TASK_ALIASES

import hearth
from agent.settings import Settings
from agent.tools import NAMES
from models.pipelines.elsewhere import ALIASES, HUB, OWN, REMOVED, Served
from models.pipelines.errors import UnknownTask
from models.pipelines.table import PIPELINE_TASKS
from models.pipelines.task import row_of

SERVED = {task: other for task, other in {**OWN, **REMOVED, **HUB}.items() if isinstance(other, Served)}
LEFT_OUT = {
    "text-to-audio": {"AutoModelForTextToSpectrogram"},  # needs a second model, the vocoder
    "decision": {"AutoModelForImageTextToText"},  # the question is about a text
}
FLAGS = {
    "AutoTokenizer": "_load_tokenizer",
    "AutoImageProcessor": "_load_image_processor",
    "AutoFeatureExtractor": "_load_feature_extractor",
    "AutoProcessor": "_load_processor",
}


def test_every_pipeline_of_transformers_has_its_place() -> None:
    assert set(PIPELINE_TASKS) | set(OWN) == set(SUPPORTED_TASKS)
    assert not set(PIPELINE_TASKS) & set(OWN)


def test_every_removed_task_and_other_name_has_its_place() -> None:
    assert set(REMOVED_TASKS) == (set(REMOVED) | set(ALIASES)) & set(REMOVED_TASKS)
    assert set(REMOVED) <= set(REMOVED_TASKS)
    assert TASK_ALIASES.items() <= ALIASES.items()
    assert set(ALIASES.values()) <= set(PIPELINE_TASKS) | set(OWN)
    names = [*PIPELINE_TASKS, *OWN, *REMOVED, *HUB, *ALIASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_a_row_says_what_transformers_says(task: str) -> None:
    row, known = PIPELINE_TASKS[task], SUPPORTED_TASKS[task]
    assert row.pipeline == known["impl"].rpartition(".")[2]
    assert {one.__name__ for one in known["pt"]} - set(row.model_classes) == LEFT_OUT.get(task, set())
    pipeline = getattr(transformers, row.pipeline)
    for part, flag in FLAGS.items():
        wanted = getattr(pipeline, flag)
        if wanted:
            assert part in row.processors
        if wanted is False:
            assert part not in (*row.processors, *row.optional)
    module, _, function = row.call.partition(".")
    assert callable(getattr(import_module(f"models.pipelines.{module}"), function))


def test_tools_have_names_of_their_own_and_say_when_to_use_them() -> None:
    tools = [row.tool for row in PIPELINE_TASKS.values()]
    assert len({*tools, *NAMES}) == len(tools) + len(NAMES)
    assert all("Use it when" in row.prompt for row in PIPELINE_TASKS.values())


@pytest.mark.parametrize("task", SERVED)
def test_who_serves_a_task_exists(task: str) -> None:
    served = SERVED[task]
    module, _, name = served.by.rpartition(".")
    assert getattr(import_module(module), name) is not None
    assert served.setting in {field.name for field in dataclasses.fields(Settings)}
    with pytest.raises(SystemExit) as stopped:
        hearth.build_parser().parse_args([served.verb.split()[1], "--help"])
    assert stopped.value.code == 0


def test_a_task_is_found_by_any_of_its_names() -> None:
    names = ("image-text-to-text", "describe_image", "visual-question-answering")
    assert {row_of(name).task for name in names} == {"image-text-to-text"}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("summarization", "hearth summarize"),
        ("sentence-similarity", "hearth similarity"),
        ("ner", "hearth entities"),
        ("text-to-image", "diffusers"),
        ("image-clasification", "did you mean image-classification"),
        ("zzz", "hearth task list"),
    ],
)
def test_another_task_says_who_serves_it_or_why_nobody_does(task: str, words: str) -> None:
    with pytest.raises(UnknownTask, match=words):
        row_of(task)
