"""A real Chromium for the browser tests: found on the path; without one the tests say why they are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.visitor import Visitor
from tests.chat.server_process import ServerProcess

SCREENSHOTS = Path(__file__).resolve().parents[2] / "test-output" / "browser"


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """One browser for this folder's tests; its event loop would stand in the way of the async tests after them."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine: run tests/install-browser.sh, or install one")
    sync_api = pytest.importorskip("playwright.sync_api")
    # Chromium refuses its sandbox to the superuser, which is who runs tests in a container.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where screenshots are kept for a person to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


@pytest.fixture(params=["light", "dark", "phone"])
def visitor(
    request: pytest.FixtureRequest, chromium: Any, server: ServerProcess, screenshots: Path
) -> Iterator[Visitor]:
    """A visit by light, by dark and with a phone, at the file's own `server`."""
    window: dict[str, Any] = {
        "light": {"color_scheme": "light"},
        "dark": {"color_scheme": "dark"},
        "phone": {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True},
    }[request.param]
    opened = Visitor(chromium, server, screenshots / request.param, **window)
    opened.screenshots.mkdir(exist_ok=True)
    opened.arrive()
    yield opened
    opened.leave()
