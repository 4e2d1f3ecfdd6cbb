"""`hearth task` as a person types it: the list, one call, a file of rows, the settings, and wrong use."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.errors import UnknownSetting
from agent.settings import Settings, load_settings
from agent.tools.pipelines import pipeline_tools
from hearth import main
from models.pipelines.table import PIPELINE_TASKS
from tests.models import tiny_pipelines as tiny

TASK = "image-classification"


@pytest.fixture
def model(tmp_path: Path, float32: None) -> str:
    return str(tiny.build(tiny.vit, tmp_path / "model"))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    return str(tiny.picture(tmp_path / "photo.png"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    """The JSON value of a verb."""
    capsys.readouterr()
    assert main(["task", *arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_the_list_holds_every_task_and_what_is_configured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_TASKS", f"{TASK}=org/model, depth-estimation = other/model")
    rows = {row["task"]: row for row in run(capsys, "list")}
    assert set(PIPELINE_TASKS) <= set(rows)
    assert (rows[TASK]["state"], rows[TASK]["model"]) == ("configured", "org/model")
    assert rows["object-detection"]["state"] == "needs a model"
    assert rows["object-detection"]["output"]["type"] == "array"
    assert rows["summarization"]["verb"] == "hearth summarize"
    assert rows["text-to-image"]["reason"]
    assert rows["vqa"]["same_as"] == "image-text-to-text"
    assert main(["task", "list"]) == 0
    assert "classify_image" in capsys.readouterr().out


def test_one_picture(capsys: pytest.CaptureFixture[str], model: str, photo: str) -> None:
    found = run(capsys, TASK, photo, "--model", model, "--option", "top_k=2")
    assert [set(one) for one in found] == [{"label", "score"}] * 2
    assert main(["task", "classify_image", photo, "--model", model]) == 0
    assert "boat" in capsys.readouterr().out


def test_the_model_of_the_settings_serves(
    capsys: pytest.CaptureFixture[str], model: str, photo: str, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "hearth.toml").write_text(f'[tasks]\n{TASK} = "{model}"\n', encoding="utf-8")
    assert len(run(capsys, TASK, photo)) == 3


def test_a_file_of_rows(capsys: pytest.CaptureFixture[str], model: str, photo: str, tmp_path: Path) -> None:
    other = str(tiny.picture(tmp_path / "other.png", seed=3))
    rows = [{"id": 1, "image": photo}, {"id": 2, "image": other, "top_k": 1}]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run(capsys, TASK, "--model", model, "--input", str(source), "--output", str(target))
    assert report["rows"] == 2
    done = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in done] == [1, 2]
    assert done[0]["result"] == run(capsys, TASK, photo, "--model", model)
    assert len(done[1]["result"]) == 1


def test_a_row_that_fails_leaves_no_output(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"image": "/nowhere.png"}\n')
    found = run(capsys, TASK, "--model", model, "--input", str(source), "--output", str(target), status=1)
    assert found["error"]["code"] == "not_a_local_file"
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([TASK, "photo.png"], "no_task_model"),
        (["image-to-video", "x"], "unknown_task"),
        ([TASK, "photo.png", "--model", "/nowhere/model"], "model_not_found"),
    ],
)
def test_a_failure_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], code: str) -> None:
    assert run(capsys, *arguments, status=1)["error"]["code"] == code


@pytest.mark.parametrize("option", ["top_k=0", "top_k=many", "colour=red"])
def test_a_bad_option_is_named(capsys: pytest.CaptureFixture[str], model: str, photo: str, option: str) -> None:
    assert run(capsys, TASK, photo, "--model", model, "--option", option, status=1)["error"]["code"] == "bad_option"


def test_a_model_for_another_task_is_named(capsys: pytest.CaptureFixture[str], model: str, photo: str) -> None:
    found = run(capsys, "depth-estimation", photo, "--model", model, status=1)
    assert found["error"]["code"] == "wrong_role"
    assert "ViTForImageClassification" in found["error"]["message"]


def test_a_pages_words_are_typed_as_json(
    capsys: pytest.CaptureFixture[str], photo: str, tmp_path: Path, float32: None
) -> None:
    model = str(tiny.build(tiny.layoutlm, tmp_path / "reader"))
    asked = ("read_page", photo, "who wrote ?", "--model", model, "--option")
    assert run(capsys, *asked, 'words=[["ada", [0, 0, 9, 9]]]')[0]["answer"] == "ada"
    assert run(capsys, *asked, "words=ada", status=1)["error"]["code"] == "bad_option"


def test_a_processor_that_needs_another_package_names_it(
    capsys: pytest.CaptureFixture[str], photo: str, tmp_path: Path, float32: None
) -> None:
    if importlib.util.find_spec("torchvision"):
        pytest.skip("torchvision is installed here")
    folder = tiny.build(tiny.sam, tmp_path / "sam")
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "Sam2ImageProcessor"}')
    error = run(capsys, "mask-generation", photo, "--model", str(folder), status=1)["error"]
    assert (error["code"], "torchvision" in error["message"]) == ("missing_package", True)


@pytest.mark.parametrize("arguments", [["--option", "top_k"], ["--input", "a.jsonl"]])
def test_wrong_use_is_status_2(capsys: pytest.CaptureFixture[str], model: str, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["task", TASK, "photo.png", "--model", model, *arguments])
    assert stopped.value.code == 2


def test_a_code_of_its_own_in_a_processor_is_refused(
    capsys: pytest.CaptureFixture[str], model: str, photo: str
) -> None:
    path = Path(model) / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoImageProcessor": "x.Y"}}))
    assert run(capsys, TASK, photo, "--model", model, status=1)["error"]["code"] == "unsafe_model"


def test_an_unknown_task_in_the_settings_gets_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text('[tasks]\nimage-clasification = "org/model"\n', encoding="utf-8")
    with pytest.raises(UnknownSetting, match="image-classification"):
        load_settings({"home": tmp_path}, {})


def test_only_configured_tasks_are_the_agents_tools(model: str, photo: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, tasks={TASK: model, "depth-estimation": "/nowhere/model"})
    house: Any = SimpleNamespace(settings=settings, home=tmp_path)
    tools = {tool.name: tool for tool in pipeline_tools(house)}
    assert list(tools) == ["classify_image", "estimate_depth"]
    assert "boat" in tools["classify_image"].invoke({"image": photo})
    assert tools["estimate_depth"].invoke({"image": photo}).startswith("model_not_found: ")
