"""The page in a real Chromium over the scripted assistant: sources beside the chat, Stop, inert answers, S08."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.visitor import Visitor
from tests.chat.server_process import ServerProcess, scripted_server
from tests.pdf import write_pdf

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with scripted_server(tmp_path_factory.mktemp("browser")) as running:
        yield running


def test_a_visit(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    visitor.keep_screenshot("1-welcome")
    second = "It rained in June, so the upper field was cut late. The quarterly harvest was nine tonnes. Then it froze."
    pdf = write_pdf(tmp_path / "harvest 2023.pdf", ["The farm.", second, "Outlook."])
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n\nSee [this](https://evil.example).\nThe silo holds forty tonnes.")
    visitor.drop([pdf, notes])
    visitor.ask("How big was the harvest?")
    visitor.keep_screenshot("2-answer")
    assert "Nine tonnes were harvested" in visitor.answer()

    page.locator('a[href="#source-1"]').last.click()
    page.wait_for_selector(".side-pdf canvas")
    page.wait_for_selector("text=2 / 3")
    assert page.locator("#side-view-title").inner_text().endswith("[1] harvest 2023.pdf, page 2")
    # The quote is marked where it stands on the page, over the end of a line.
    page.wait_for_function(
        """() => [...(CSS.highlights.get("cited") ?? [])].map(range => range.toString().replace(/\\W/g, "")).join()
            === "Thequarterlyharvestwasninetonnes" """
    )
    # The panel slides in, so both edges are read at one moment, and until they are as they should be.
    page.wait_for_function(
        """() => {
            const paper = document.querySelector(".side-pdf canvas").getBoundingClientRect();
            const panel = document.querySelector(".side-pdf").getBoundingClientRect();
            return paper.width > 0 && paper.left >= panel.left && paper.right <= panel.right;
        }"""
    )
    visitor.keep_screenshot("3-pdf-beside-the-chat")
    if visitor.screenshots.name == "phone":
        page.keyboard.press("Escape")

    page.locator('button:has-text("[2] notes.md")').last.click()
    page.wait_for_selector('#side-view-content :text("The silo holds forty tonnes.")')
    marked = page.locator("#side-view-content .font-bold")
    assert marked.inner_text() == "The silo holds forty tonnes."
    assert page.locator('#side-view-content a[href*="evil"]').count() == 0
    visitor.keep_screenshot("4-passage-beside-the-chat")
    assert visitor.off_origin() == []
    assert visitor.complaints == []


def test_q08_stop(visitor: Visitor) -> None:
    visitor.send("slow")
    visitor.page.wait_for_selector("text=word20")
    visitor.page.click("#stop-button")
    visitor.page.wait_for_selector("text=Stopped.", timeout=3000)
    visitor.keep_screenshot("5-stopped")
    visitor.ask("nothing")
    assert visitor.answer().startswith("There is nothing about this")


def test_p02_an_answer_full_of_exfiltration_fetches_nothing(visitor: Visitor) -> None:
    visitor.ask("evil")
    visitor.page.wait_for_timeout(1000)
    visitor.keep_screenshot("6-inert")
    answer = visitor.page.locator('[data-step-type="assistant_message"]').last
    targets = answer.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert [target for target in targets if not target.startswith("#source-")] == []
    sources = answer.locator(".message-content img, .message-content video").count()
    assert sources == 0
    assert visitor.off_origin() == []
    assert visitor.complaints == []


def test_errors_hints_and_help(visitor: Visitor) -> None:
    visitor.ask("fail")
    assert "too_long" in visitor.answer()
    visitor.ask("crash")
    assert "the log has the details" in visitor.answer()
    visitor.ask("?!")
    assert visitor.answer().startswith("Type a question")
    visitor.keep_screenshot("7-errors")
    visitor.page.click("#readme-button")
    visitor.page.wait_for_selector("text=Check the sources.")
    visitor.keep_screenshot("8-help")
    assert visitor.off_origin() == []


def test_s09_a_dropped_web_page_does_not_open_in_the_server(
    chromium: Any, server: ServerProcess, tmp_path: Path, screenshots: Path
) -> None:
    visitor = Visitor(chromium, server, screenshots)
    visitor.arrive()
    hostile = tmp_path / "page.html"
    hostile.write_text("<script>document.title = 'owned'</script>")
    visitor.drop([hostile])
    visitor.ask("nothing")
    with visitor.page.expect_download():
        visitor.page.locator('a[href*="/project/file/"]').first.click()
    assert visitor.page.title() == "Hearth"
    visitor.leave()


def test_a_used_link_shows_a_plain_page(chromium: Any, server: ServerProcess, screenshots: Path) -> None:
    visitor = Visitor(chromium, server, screenshots)
    answer = visitor.page.goto(server.links()[0])
    assert answer.status == 403
    visitor.page.wait_for_selector("text=used before")
    visitor.keep_screenshot("used-link")
    visitor.leave()


def test_s08_the_page_is_complete_with_the_network_cut(chromium: Any, server: ServerProcess, screenshots: Path) -> None:
    visitor = Visitor(chromium, server, screenshots)
    refused: list[str] = []

    def allow_local(route: Any) -> None:
        if route.request.url.startswith(server.url):
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    visitor.page.route("**/*", allow_local)
    visitor.arrive()
    visitor.ask("nothing")
    assert refused == []
    assert visitor.complaints == []
    visitor.leave()
