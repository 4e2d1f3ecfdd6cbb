"""Tool routing: what the loss is, what a run learns and serves, and the recipes that are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from models.adapted import is_adapted
from models.tasks import ToolRouter
from tests.training.conftest import BAD, GOOD, opinions
from tests.training.tiny import tiny_recipe
from training.data import load_data
from training.errors import BadLabel, RecipeError
from training.recipe import Recipe
from training.run import run
from training.tasks import open_task

TOOLS = {"praise": ["fine bright calm", "helpful quick"], "blame": ["broken dull loud", "useless slow"]}
TASK = {"kind": "tool-routing", "tools": TOOLS, "no_tool": ["the a one this that"], "temperature": 0.1}


def messages() -> list[dict[str, Any]]:
    """Messages whose tool one word decides, and some without such a word."""
    named = {"good": "praise", "bad": "blame"}
    rows: list[dict[str, Any]] = [{"message": r["text"], "tool": named[r["label"]]} for r in opinions(80)]
    fillers = "the a one this that lamp door book fox dog".split()
    return (
        rows + [{"message": f"{a} {b} {c}", "tool": None} for a in fillers for b in fillers for c in fillers[:4]][::9]
    )


@pytest.fixture
def recipe(tmp_path: Path, bert: Path) -> Recipe:
    return tiny_recipe(
        tmp_path, bert, messages(), TASK, data={"limits": {"leaks": 1.0}},
        training={"steps": 150, "batch_rows": 16, "learning_rate": 1e-2},
        method={"kind": "lora", "rank": 8, "alpha": 16},
    )  # fmt: skip


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_run_learns_which_word_wants_which_tool_and_its_adapter_serves(recipe: Recipe, tmp_path: Path) -> None:
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["model"]["score"] > max(0.7, report["baseline"]["score"])
    folder = tmp_path / "run" / "model"
    assert is_adapted(folder)
    router = ToolRouter(str(folder), home=tmp_path)
    tools = {name: wordings[0] for name, wordings in TOOLS.items()}
    found = router.route(f"{GOOD[0]} the lamp", tools)
    assert found[0].tool == "praise"
    assert {one.tool for one in found} == {None, "praise", "blame"}
    assert math.isclose(sum(one.probability for one in found), 1.0, rel_tol=1e-5)
    assert router.route(f"{BAD[0]} the lamp", tools)[0].tool == "blame"


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_the_router_compares_the_same_vectors_as_sentence_transformers(recipe: Recipe, tmp_path: Path) -> None:
    """The probabilities are a softmax over cosines of mean vectors, computed here from the merged model by hand."""
    from models.adapted import put_together

    run(recipe, home=tmp_path, folder=tmp_path / "run")
    router = ToolRouter(str(tmp_path / "run" / "model"), home=tmp_path)
    model = put_together(router.folder, Path(str(recipe.base)), "AutoModel", torch.float32).eval()
    texts = ["broken door", *TASK["no_tool"], *(wordings[0] for wordings in TOOLS.values())]
    vectors = []
    for text in texts:
        inputs = router.load().tokenizer(text, return_tensors="pt")
        mean = model(**inputs).last_hidden_state[0].mean(0)
        vectors.append(mean / mean.norm())
    wanted = torch.softmax(torch.stack(vectors[1:]) @ vectors[0] / 0.1, -1).tolist()
    tools = {name: wordings[0] for name, wordings in TOOLS.items()}
    said = {one.tool: one.probability for one in router.route(texts[0], tools)}
    assert [said[None], said["praise"], said["blame"]] == pytest.approx(wanted, abs=1e-4)


def test_a_tool_without_a_wording_is_named_with_its_line(tmp_path: Path, bert: Path) -> None:
    recipe = tiny_recipe(tmp_path, bert, [*messages(), {"message": "dance", "tool": "dance"}], TASK)
    task = open_task(recipe)
    with pytest.raises(BadLabel, match="dance") as refused:
        task.prepare(load_data(recipe, task.columns, tmp_path, task.layout))
    assert f"line {len(messages()) + 1}" in str(refused.value)


@pytest.mark.parametrize("tools", [{}, {"one": ["x"]}, {"one": ["x"], "two": []}, {"none": ["x"], "two": ["y"]}])
def test_too_few_tools_or_wordings_are_refused(tools: dict[str, list[str]], tmp_path: Path, bert: Path) -> None:
    with pytest.raises(RecipeError, match="two or more"):
        open_task(tiny_recipe(tmp_path, bert, messages(), {**TASK, "tools": tools}))
