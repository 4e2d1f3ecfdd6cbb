"""The command line's manners: one sentence, a stable code, the right exit status, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hearth
from agent.assembly import House

ROOT = Path(__file__).resolve().parents[1]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of one call in this process."""
    try:
        status = hearth.main(arguments)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_an_unknown_verb_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "serch", "x")
    assert (status, out) == (2, "")
    assert "did you mean 'search'?" in err
    assert err.count("\n") == 1


def test_wrong_usage_is_one_sentence_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["ask"], ["search", "x", "--mode", "dens"], ["search", "x", "--top-k", "many"]):
        status, out, err = run(capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("hearth: usage: ")
        assert err.count("\n") == 1


def test_settings_are_printed_with_their_origin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text("top_k = 7\n", encoding="utf-8")
    status, out, _ = run(capsys, "settings", "--json", "--home", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["top_k"]["value"] == 7
    assert rows["top_k"]["origin"].endswith("hearth.toml")
    assert rows["home"]["origin"] == "flag"
    assert "top_k" in run(capsys, "settings", "--home", str(tmp_path))[1]


def test_a_named_error_is_one_json_value_and_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text("top_k = 0\n", encoding="utf-8")
    status, out, err = run(capsys, "settings", "--json", "--home", str(tmp_path))
    assert status == 1
    assert json.loads(out)["error"]["code"] == "bad_setting"
    assert err.startswith("hearth: bad_setting: The setting top_k is 0")


def test_an_unexpected_error_keeps_its_traceback_in_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def explode(self: House) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(House, "library", explode)
    status, out, err = run(capsys, "documents", "list", "--home", str(tmp_path))
    assert (status, out) == (1, "")
    assert "internal_error" in err
    assert "Traceback" not in err
    assert "ZeroDivisionError: boom" in (tmp_path / "logs" / "errors.log").read_text(encoding="utf-8")


def test_k04_a_full_disk_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(self: House) -> None:
        raise OSError(28, "No space left on device", "library.sqlite")

    monkeypatch.setattr(House, "library", full)
    status, _, err = run(capsys, "documents", "list", "--home", str(tmp_path))
    assert status == 1
    assert err.startswith("hearth: disk_full: The disk is full at library.sqlite")


def test_ctrl_c_says_that_what_was_finished_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(self: House) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(House, "library", interrupt)
    status, _, err = run(capsys, "documents", "list", "--home", str(tmp_path))
    assert status == 130
    assert "what was finished is kept" in err


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for verb in ("chat", "ask", "ingest", "documents", "search", "explain", "eval", "models", "doctor", "settings"):
        assert f"    {verb}" in out
        assert run(capsys, verb, "--help")[0] == 0


@pytest.mark.parametrize("words", ["documents list", "collections list", "verify"])
def test_what_asks_no_model_loads_no_torch(tmp_path: Path, words: str) -> None:
    """A list of documents would take seconds instead of one."""
    lines = f"import sys, hearth; status = hearth.main({words.split()!r} + ['--home', {str(tmp_path)!r}])"
    check = "sys.exit(status or 'torch' in sys.modules or 'transformers' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", f"{lines}; {check}"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
