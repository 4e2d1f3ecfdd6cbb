"""A visit without a mouse: the menu of commands, a proposal, the library and the settings, each by keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.visitor import Visitor
from tests.chat.server_process import ServerProcess, scripted_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with scripted_server(tmp_path_factory.mktemp("keyboard")) as running:
        yield running


@pytest.fixture
def visitor(chromium: Any, server: ServerProcess, screenshots: Path) -> Iterator[Visitor]:
    opened = Visitor(chromium, server, screenshots / "keyboard")
    opened.screenshots.mkdir(exist_ok=True)
    opened.arrive()
    yield opened
    opened.leave()


def _tab_to(page: Any, selector: str, most: int = 40) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(most):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab")


def test_a_command_is_chosen_from_the_menu(visitor: Visitor) -> None:
    page = visitor.page
    page.focus("#chat-input")
    page.keyboard.type("/trans")
    page.wait_for_selector(".command-item")
    visitor.keep_screenshot("1-commands")
    page.keyboard.press("Enter")
    page.keyboard.type("to German: echo")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Translate to German: echo {")


def test_the_library(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    files = [tmp_path / name for name in ("barley.txt", "hay <b>2023.txt", "empty.txt")]
    for number, file in enumerate(files):
        file.write_text(f"Tonnes: {number}." if number < 2 else "")
    visitor.drop(files)
    visitor.ask("nothing")
    _tab_to(page, "#library-button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#library-panel[open] tbody tr")
    assert page.locator("#library-panel tbody th span").all_inner_texts() == ["barley.txt", "hay <b>2023.txt"]
    visitor.keep_screenshot("2-library")
    _tab_to(page, '[aria-label="Limit questions to barley.txt"]')
    page.keyboard.press("Space")
    page.wait_for_selector("text=The next questions use only the 1 ticked document.")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Limit questions to barley.txt"
    _tab_to(page, '[aria-label^="Remove hay"]')
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Press again to remove")
    visitor.keep_screenshot("3-library-removing")
    # a late answer of the server draws the rows anew; the first press still counts
    page.evaluate("document.querySelector('#library-panel tbody tr').id = 'old-row'")
    page.evaluate("window.postMessage({ hearth: 'library', ask: 'show' }, location.origin)")
    page.wait_for_selector("#old-row", state="detached")
    assert page.inner_text('[aria-label^="Remove hay"]') == "Remove for good?"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=was removed.")
    page.wait_for_function("document.querySelectorAll('#library-panel tbody tr').length === 1")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "library-button"
    assert page.inner_text("#library-button") == "Library (1 chosen)"
    visitor.ask("echo")
    assert "documents" in visitor.answer()
    assert visitor.complaints == []
    assert visitor.off_origin() == []


def test_a_proposal_is_confirmed(visitor: Visitor) -> None:
    page = visitor.page
    visitor.ask("propose")
    visitor.keep_screenshot("4-proposal")
    _tab_to(page, "button:has(svg.lucide-check)")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Sent to ann@example.org.")


def test_the_settings(visitor: Visitor) -> None:
    page = visitor.page
    _tab_to(page, "#chat-settings-open-modal")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chat-settings")
    visitor.keep_screenshot("5-settings")
    page.focus("#strategy")
    page.keyboard.press("Enter")
    page.wait_for_selector('[role="option"]:focus')
    page.keyboard.press("ArrowDown")
    page.wait_for_selector('[role="option"]:focus:not([data-state="checked"])')
    page.keyboard.press("Enter")
    page.wait_for_selector('[role="option"]', state="detached")
    _tab_to(page, "#confirm")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chat-settings", state="detached")
    visitor.ask("echo")
    assert '"strategy": "router"' in visitor.answer()
