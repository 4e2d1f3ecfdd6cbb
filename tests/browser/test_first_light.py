"""From the command to a cited answer, with the real models: `hearth chat`, a PDF, a question, the page it came from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.visitor import Visitor
from tests.chat.server_process import ServerProcess, free_port
from tests.pdf import write_pdf

pytestmark = [pytest.mark.browser, pytest.mark.real_model, pytest.mark.timeout(600)]

PAGES = (
    "The Brightwater farm lies in the northern valley beside the river Tarn. It was founded in 1921 by the sisters "
    "Ada and Ruth Coleman, who kept sheep. Today it is run by a cooperative of fourteen members.",
    "In 2023 the farm harvested nine tonnes of barley from the upper field. The summer was dry, and the irrigation "
    "pump failed twice in July.",
    "The cooperative plans to build a new stone barn in 2025. The barn will hold forty bales of hay. A grant from the "
    "county covers half of the cost.",
)


def test_a_pdf_is_uploaded_asked_about_and_opened_at_the_cited_page(
    chromium: Any, embedded_home: Path, tmp_path: Path, screenshots: Path
) -> None:
    port = str(free_port())
    command = [sys.executable, "-m", "hearth", "chat", "--headless", "--home", str(embedded_home), "--port", port]
    with ServerProcess(command, tmp_path / "server.log") as server:
        visitor = Visitor(chromium, server, screenshots)
        visitor.arrive()
        visitor.drop([write_pdf(tmp_path / "brightwater.pdf", PAGES)])
        visitor.ask("How much barley did the farm harvest in 2023?")
        visitor.page.wait_for_selector("text=3 pages")
        assert "nine tonnes" in visitor.answer()
        visitor.keep_screenshot("first-light-answer")

        visitor.page.locator('a[href="#source-1"]').last.click()
        visitor.page.wait_for_selector("text=2 / 3")
        # The viewer names the page before it has laid the page's words over the picture.
        visitor.page.wait_for_function(
            """() => (document.querySelector(".side-pdf .textLayer")?.innerText ?? "").replace(/\\s+/g, " ")
                .includes("harvested nine tonnes of barley")"""
        )
        visitor.keep_screenshot("first-light-source")

        visitor.page.locator('button:has-text("Keep in library")').click()
        visitor.page.wait_for_selector("text=kept in the library")
        visitor.ask("What is the capital of Mongolia?")
        assert "not in your documents" in visitor.answer()
        visitor.keep_screenshot("first-light-abstains")
        assert visitor.off_origin() == []
        assert visitor.complaints == []
        visitor.leave()
