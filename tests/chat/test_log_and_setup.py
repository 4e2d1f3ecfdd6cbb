"""The page's log (S12, C9), its folder (C11) and the Chainlit settings that ship, each one that guards something."""

from __future__ import annotations

import logging
import os
import re
import tomllib
from pathlib import Path

import pytest

from chat.chainlit_setup import SHIPPED, PageFolder, set_environment
from chat.errors import HomeNotWritable
from chat.html import without_remote_references
from chat.log import LOGGER, report_unexpected, start_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return start_log(tmp_path)


def test_s12_a_name_cannot_forge_a_line(log: Path) -> None:
    LOGGER.info("dropped %s", "a\n2026-01-01 INFO forged\x1b[31m.pdf")
    lines = log.read_text().splitlines()
    assert len(lines) == 1
    assert r"a\n2026-01-01 INFO forged\x1b[31m.pdf" in lines[0]


def test_s12_the_log_is_rotated(log: Path) -> None:
    for _ in range(60):
        LOGGER.info("x" * 100_000)
    sizes = [path.stat().st_size for path in log.parent.iterdir()]
    assert len(sizes) <= 4
    assert sum(sizes) < 5 * 2**20


def test_c9_the_trace_is_in_the_log_under_the_id(log: Path) -> None:
    try:
        raise RuntimeError("detail")
    except RuntimeError:
        error_id = report_unexpected("testing")
    text = log.read_text()
    assert f"error {error_id} while testing" in text
    assert "RuntimeError: detail" in text
    assert re.fullmatch("[0-9a-f]{8}", error_id)


def test_c11_two_pages_on_one_home_have_two_folders(tmp_path: Path) -> None:
    one, other = PageFolder(tmp_path), PageFolder(tmp_path)
    assert one.path != other.path
    one.remove()
    assert not one.path.exists()
    assert (other.path / ".chainlit" / "config.toml").is_file()
    other.remove()


def test_the_folder_of_a_killed_page_is_removed_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "chat" / "page-left"
    (left / ".files").mkdir(parents=True)
    (left / ".files" / "upload.pdf").touch()
    folder = PageFolder(tmp_path)
    assert not left.exists()
    folder.remove()


def test_k05_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(HomeNotWritable, match="file"):
        PageFolder(blocked)


def test_the_environment_keeps_chainlit_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LITERAL_API_KEY", "DATABASE_URL", "OAUTH_GITHUB_CLIENT_ID", "SLACK_BOT_TOKEN", "CHAINLIT_ROOT_PATH"):
        monkeypatch.setenv(name, "x")
    for name in (
        "CHAINLIT_APP_ROOT",
        "CHAINLIT_AUTH_COOKIE_NAME",
        "CHAINLIT_ENV_FILE",
        "TRACELOOP_TELEMETRY",
        "OTEL_SDK_DISABLED",
    ):
        monkeypatch.setenv(name, "x")
    set_environment(tmp_path, "hearth-8000")
    assert "LITERAL_API_KEY" not in os.environ
    assert "DATABASE_URL" not in os.environ
    assert "OAUTH_GITHUB_CLIENT_ID" not in os.environ
    assert os.environ["CHAINLIT_APP_ROOT"] == str(tmp_path)
    assert os.environ["CHAINLIT_AUTH_COOKIE_NAME"] == "hearth-8000"
    assert os.environ["TRACELOOP_TELEMETRY"] == "false"


def test_settings_that_guard_something() -> None:
    settings = tomllib.loads((SHIPPED / "config.toml").read_text())
    features, project = settings["features"], settings["project"]
    assert features["unsafe_allow_html"] is False
    assert features["latex"] is False
    assert features["mcp"]["enabled"] is False
    assert features["user_message_markdown"] is False
    assert project["allow_origins"] == []
    assert features["spontaneous_file_upload"]["max_size_mb"] == 100
    assert settings["UI"]["name"] == "Hearth"


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.*")), ids=lambda path: path.name)
def test_s08_no_shipped_page_file_names_another_host(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)


def test_s08_chainlits_own_page_is_cleaned() -> None:
    import importlib.util

    spec = importlib.util.find_spec("chainlit")
    assert spec is not None
    assert spec.origin is not None
    html = (Path(spec.origin).parent / "frontend" / "dist" / "index.html").read_bytes()
    assert b"https://" in html
    clean = without_remote_references(html)
    assert b"//" not in re.sub(rb"<!--.*?-->", b"", clean).replace(b"</", b"")
    assert b'<div id="root">' in clean
    assert clean.count(b"<script") == html.count(b"<script")


@pytest.mark.parametrize(
    "tag",
    [
        b'<link rel="stylesheet" href="https://cdn.example/a.css">',
        b"<link href='//cdn.example/a.css'/>",
        b"<script src=https://cdn.example/a.js></script>",
        b'<meta property="og:image" content="https://cdn.example/a.png">',
        b'<LINK\n rel="preconnect"\n HREF="HTTPS://cdn.example" />',
    ],
)
def test_s08_remote_tags_go_and_their_neighbours_stay(tag: bytes) -> None:
    page = b'<link href="/a.css">' + tag + b'<script src="/b.js"></script><p>https://stays.as/text</p>'
    assert without_remote_references(page) == page.replace(tag, b"")


def test_the_log_does_not_reach_the_terminal(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LOGGER.error("private")
    assert logging.getLogger("hearth.chat").propagate is False
    assert "private" not in capsys.readouterr().err
