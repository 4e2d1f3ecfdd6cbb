"""The README's commands exist, its Python runs, and what it says of files is true."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import hearth
from agent.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced code blocks of one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Every command line of the sh blocks that starts with the program, split as a shell would."""
    lines = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.split(" ")[0].rpartition("/")[2] == program]


@pytest.mark.parametrize("arguments", commands("hearth"), ids=" ".join)
def test_every_hearth_command_is_understood(arguments: list[str]) -> None:
    assert hearth.build_parser().parse_args(arguments).handler


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {name for line in commands("make") for name in line}
    assert named
    assert named <= targets


def test_every_path_it_names_exists() -> None:
    named = {name for name in re.findall(r"`([\w./-]+\.(?:py|sh|txt|md|toml))`", README) if name != "hearth.toml"}
    missing = [
        name
        for name in named
        if not any((ROOT / room / name).exists() for room in (".", "training")) and name != "handbook.pdf"
    ]
    assert not missing


def test_the_settings_example_is_the_defaults() -> None:
    example = tomllib.loads(blocks("toml")[0])
    assert example == {name: getattr(Settings(home=ROOT), name) for name in example}


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    wheels = (ROOT / "requirements-models.txt").read_text(encoding="utf-8").splitlines()
    wanted += [line for line in wheels if "==" in line]
    table = README[README.index("## Why each dependency") :]
    for requirement in wanted:
        name = re.split(r"[<>=\[; ]", requirement)[0]
        assert re.search(rf"\b{re.escape(name)}\b", table), f"the README does not say why {name} is there"


@pytest.mark.real_model
def test_the_python_example_runs(embedded_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.pdf import write_pdf

    monkeypatch.chdir(tmp_path)
    write_pdf(tmp_path / "handbook.pdf", ["Welcome to the company.", "Every employee has 27 days of leave a year."])
    said: list[str] = []
    exec(blocks("python")[0], {"print": lambda *parts: said.append(" ".join(map(str, parts)))})
    assert "27" in said[0]
    assert said[1].startswith("1 handbook.pdf 2 ")


@pytest.mark.real_model
def test_the_structured_example_runs(embedded_home: Path) -> None:
    said: list[object] = []
    exec(blocks("python")[1], {"print": said.append, "__name__": "example"})
    assert said[0].age == 31
