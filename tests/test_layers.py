"""The house's one-way street: rooms never import a door, the ground floor never the upper one (HOUSE.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOORS = {"hearth", "chainlit_app", "chat"}
ALLOWED = {
    "models": set(),
    "retrieval": set(),
    "agent": {"models", "retrieval"},
    "training": {"models", "retrieval"},
    "chat": {"agent", "models", "retrieval", "training"},
}
HEAVY = ("torch", "transformers", "sentence_transformers", "faiss", "chainlit", "langchain_core", "datasets")


def imported(file: Path) -> set[str]:
    """Every module name imported anywhere in the file, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_arrows_run_one_way(room: str) -> None:
    rooms = set(ALLOWED) | DOORS
    wrong = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / room).rglob("*.py")
        for name in imported(file)
        if (top := name.partition(".")[0]) in rooms - {room} and top not in ALLOWED[room]
    }
    assert not wrong
    assert list((ROOT / room).rglob("*.py")), f"the room {room} is empty"


def test_the_check_itself_sees_a_wrong_arrow(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("def f():\n    from agent.events import Token\n    import chat.guard\n", encoding="utf-8")
    assert imported(file) == {"agent.events", "chat.guard"}


def test_from_pretrained_stands_in_one_file() -> None:
    callers = {
        str(file.relative_to(ROOT))
        for room in ("agent", "retrieval", "models", "chat")
        for file in (ROOT / room).rglob("*.py")
        if ".from_pretrained(" in file.read_text(encoding="utf-8")
    }
    assert callers <= {"models/loading.py", "models/prepare.py"}


def test_the_environment_is_read_by_its_owners_alone() -> None:
    readers = {
        str(file.relative_to(ROOT))
        for room in (*ALLOWED, "hearth.py", "chainlit_app.py")
        for file in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))
        if "HEARTH_HOME" in file.read_text(encoding="utf-8") and "os.environ" in file.read_text(encoding="utf-8")
    }
    assert readers <= {"models/home.py", "agent/settings.py"}


@pytest.mark.parametrize("module", ["agent.events", "hearth", "agent.settings"])
def test_light_imports_stay_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"
