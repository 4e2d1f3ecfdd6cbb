"""From a dropped CSV to a promoted classifier that the next question uses, in a real browser with the real encoder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.visitor import MILLISECONDS, Visitor
from tests.chat.server_process import ServerProcess, free_port
from tests.chat.training.tables import reviews, write_csv

pytestmark = [pytest.mark.browser, pytest.mark.real_model, pytest.mark.timeout(900)]
ANSWERS = '[data-step-type="assistant_message"]'


def see(visitor: Visitor, text: str) -> None:
    """Waits until a text is on the page."""
    visitor.page.wait_for_selector(f"text={text} >> nth=-1", timeout=MILLISECONDS)


STILL = """() => {
    const buttons = document.querySelectorAll("button").length;
    const still = window.buttonsBefore === buttons;
    window.buttonsBefore = buttons;
    return still;
}"""


def press(visitor: Visitor, label: str, then: str) -> None:
    """Presses the newest button of that label and waits for a text.

    A message's buttons come after its words and move what stands below them from under the pointer, so it waits until
    half a second has brought no further ones.
    """
    visitor.page.wait_for_function(STILL, polling=500)
    visitor.page.get_by_role("button", name=label, exact=True).last.click(timeout=MILLISECONDS)
    see(visitor, then)


def test_a_csv_becomes_the_classifier_that_answers(
    chromium: Any, embedded_home: Path, tmp_path: Path, screenshots: Path
) -> None:
    port = str(free_port())
    command = [sys.executable, "-m", "hearth", "chat", "--headless", "--home", str(embedded_home), "--port", port]
    with ServerProcess(command, tmp_path / "server.log") as server:
        visitor = Visitor(chromium, server, screenshots)
        visitor.arrive()
        visitor.drop([write_csv(tmp_path / "reviews.csv", ["review", "kind"], reviews(60))])
        visitor.page.focus("#chat-input")
        visitor.page.wait_for_selector("#chat-submit:enabled")
        visitor.page.keyboard.press("Enter")
        press(visitor, "Train a classifier on this", "to judge by")
        visitor.keep_screenshot("training-1-checked")
        # A quick run may be over before the page has shown any of its steps.
        press(visitor, "Start", "/Reading the rows|tokens\\/s|is trained/")
        visitor.keep_screenshot("training-2-runs")
        see(visitor, "is trained")
        visitor.page.wait_for_selector('img[alt="curve"]')
        visitor.keep_screenshot("training-3-trained")
        assert "The gate is open." in visitor.answer()

        press(visitor, "Show report", "this model")
        visitor.page.wait_for_selector('#side-view-content img[alt="confusion"]')
        see(visitor, "Report of reviews")
        visitor.keep_screenshot("training-4-report")
        press(visitor, "Publish", "is in the registry")
        press(visitor, "Promote", "from the next question on")
        press(visitor, "Old against new", "your next message goes")
        visitor.send("The lamp that I bought is superb, really.")
        see(visitor, "no older model")
        assert "praise" in visitor.answer()
        visitor.keep_screenshot("training-5-side-by-side")

        given = visitor.page.locator(ANSWERS).count()
        visitor.page.focus("#chat-input")
        visitor.page.keyboard.type("/classify")
        visitor.page.wait_for_selector(".command-item")
        visitor.page.keyboard.press("Enter")
        visitor.page.keyboard.type("The radio that I bought is dreadful, truly.")
        visitor.page.keyboard.press("Enter")
        visitor.page.locator(ANSWERS).nth(given).wait_for(timeout=MILLISECONDS)
        see(visitor, "reviews@1")
        visitor.page.wait_for_selector("#chat-submit", state="attached", timeout=MILLISECONDS)
        assert "complaint" in visitor.answer()
        visitor.keep_screenshot("training-6-next-question")
        assert visitor.off_origin() == []
        assert visitor.complaints == []
        visitor.leave()
