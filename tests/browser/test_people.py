"""Coming back to a thread in a real Chromium, with its feedback; signing in and out; two users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chat import passwords
from chat.feedback import Feedback
from chat.people import People
from chat.store import Store
from tests.browser.visitor import Visitor
from tests.chat.server_process import free_port, scripted_server
from tests.pdf import write_pdf

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PASSWORD = "correct horse"


def test_a_thread_and_its_feedback_are_there_after_a_restart(chromium: Any, tmp_path: Path, screenshots: Path) -> None:
    port = free_port()
    with scripted_server(tmp_path, port=port) as server:
        visitor = Visitor(chromium, server, screenshots)
        visitor.arrive()
        page = visitor.page
        pdf = write_pdf(tmp_path / "harvest 2023.pdf", ["The farm.", "The quarterly harvest was nine tonnes."])
        visitor.drop([pdf])
        visitor.ask("How big was the harvest?")
        page.wait_for_selector('button:enabled:has-text("Correct")')
        answer = page.locator(".ai-message:has-text('Nine tonnes')").last
        answer.locator(".negative-feedback-off").click()
        page.locator('[role="dialog"] textarea').fill("too short")
        page.locator('[role="dialog"] button[type="submit"], #submit-feedback').first.click()
        page.wait_for_selector(".negative-feedback-on")
        assert "/thread/" in page.url
    with scripted_server(tmp_path, port=port):
        page.reload()
        page.wait_for_selector("text=Nine tonnes were harvested")
        page.wait_for_selector(".negative-feedback-on")
        page.locator('a[href="#source-1"]').last.click()
        page.wait_for_selector(".side-pdf canvas")
        page.wait_for_selector("text=2 / 2")
        visitor.keep_screenshot("people-1-resumed")
        visitor.ask("nothing")
        assert visitor.answer().startswith("There is nothing about this")
        answer.locator('button:has-text("Correct")').click()
        page.locator('button:has-text("The answer")').click()
        page.wait_for_selector("text=What should the answer have been?")
        visitor.send("Nine tonnes of barley.")
        page.wait_for_selector("text=Kept for the review list")
        page.wait_for_selector('button:enabled:has-text("Correct")')
        visitor.keep_screenshot("people-2-corrected")
        assert "What should the answer have been?" not in page.inner_text("body")
        page.click("#export-button")
        with page.expect_download() as saved:
            page.click('#export-panel a[data-form="markdown"]')
        assert saved.value.suggested_filename == "hearth-how-big-was-the-harvest.md"
        text = Path(saved.value.path()).read_text()
        assert "Marked bad: too short" in text
        assert "Corrected, the answer should have been: Nine tonnes of barley." in text
        assert "> The quarterly harvest was nine tonnes." in text
        assert visitor.off_origin() == []
        visitor.leave()
    [review] = Feedback(Store(tmp_path / "home")).reviews()
    assert (review["good"], review["comment"]) == (False, "too short")
    assert [one["right"] for one in review["corrections"]] == ["Nine tonnes of barley."]


def test_two_users_sign_in_and_see_their_own(
    chromium: Any, tmp_path: Path, screenshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_LOG_COST", 4)
    people = People(Store(tmp_path / "home"))
    people.add("ann", PASSWORD)
    people.add("ben", PASSWORD)
    with scripted_server(tmp_path) as server:
        ann, ben = (Visitor(chromium, server, screenshots) for _ in range(2))
        for visitor, name in ((ann, "ann"), (ben, "ben")):
            visitor.page.goto(server.link)
            visitor.page.wait_for_selector("text=Sign in to Hearth")
            if name == "ann":
                visitor.sign_in(name, "wrong password")
                visitor.page.wait_for_selector("text=not right")
                visitor.keep_screenshot("people-3-sign-in")
            visitor.sign_in(name, PASSWORD)
            visitor.page.wait_for_selector("#starters button:enabled")
        ann.ask("nothing canary")
        ben.ask("nothing mine")
        ben.page.reload()
        ben.page.wait_for_selector("text=nothing mine")
        assert "canary" not in ben.page.content()
        ben.keep_screenshot("people-4-ben")
        ben.page.goto(ann.page.url)
        ben.page.wait_for_timeout(1500)
        assert "canary" not in ben.page.inner_text("body")
        ben.keep_screenshot("people-5-another-persons-address")
        ann.page.locator("#user-nav-button").click()
        ann.page.locator('[role="menuitem"]:has-text("Sign out")').click()
        ann.page.wait_for_selector("text=Sign in to Hearth")
        ann.page.go_back()
        ann.page.wait_for_timeout(1000)
        assert "canary" not in ann.page.inner_text("body")
        assert ann.off_origin() == ben.off_origin() == []
        for visitor in (ann, ben):
            visitor.leave()
