"""A person at a browser window: opens the page, drops files, asks, clicks; keeps a log of every request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chat.server_process import ServerProcess

MILLISECONDS = 150_000
"""How long anything may take to be seen: the limit of a machine that does many other things, not of the page."""
_READY = "#starters button:enabled"
_ANSWERS = '[data-step-type="assistant_message"]'


class Visitor:
    """One browser window at one server."""

    def __init__(self, browser: Any, server: ServerProcess, screenshots: Path, **window: Any) -> None:
        self.server = server
        self.screenshots = screenshots
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **window})
        self.page = self._context.new_page()
        self.page.set_default_timeout(MILLISECONDS)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: self._hear(line.type, line.text))
        self.page.on("pageerror", self._hear_error)
        self._context.on("page", lambda page: self.requests.append(f"new window: {page.url}"))

    def _hear(self, kind: str, text: str) -> None:
        # Chainlit's own dialogs lack a title for screen readers; that is not about loading.
        if kind == "error" and "DialogTitle" not in text:
            self.complaints.append(text)

    def _hear_error(self, error: Any) -> None:
        # What the PDF viewer's worker says of a file that somebody turned from before it was read.
        if "Worker was terminated" not in str(error):
            self.complaints.append(str(error))

    def arrive(self) -> None:
        """Open the newest link and wait until the page can be used."""
        self.page.goto(self.server.links()[-1])
        self.page.wait_for_selector(_READY)
        # The page rebuilds its parts once more when its last settings arrive; no person drops a file that soon.
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(300)

    def sign_in(self, name: str, password: str) -> None:
        """Fill in the sign-in page."""
        self.page.locator("#email").fill(name)
        self.page.locator("#password").fill(password)
        self.page.locator('button[type="submit"]').click()

    def drop(self, files: Sequence[Path]) -> None:
        """Hand files to the page as a drag and drop does, and wait until they are there."""
        with self.page.expect_response(lambda response: "/project/file" in response.url):
            self.page.locator("input[type=file]").first.set_input_files([str(file) for file in files])
        self.page.wait_for_selector("#chat-input")

    def ask(self, question: str) -> None:
        """Type a question, send it and wait for the whole answer."""
        answers = self.page.locator(_ANSWERS)
        before = answers.count()
        self.send(question)
        answers.nth(before).wait_for()
        self.page.wait_for_selector("#chat-submit", state="attached")

    def send(self, question: str) -> None:
        self.page.click("#chat-input")
        self.page.keyboard.type(question)
        self.page.wait_for_selector("#chat-submit:enabled")
        self.page.keyboard.press("Enter")

    def answer(self) -> str:
        """The latest answer's text."""
        return str(self.page.locator(f"{_ANSWERS} .message-content").last.inner_text())

    def keep_screenshot(self, name: str) -> None:
        self.page.wait_for_timeout(400)  # animations
        self.page.screenshot(path=self.screenshots / f"{name}.png")

    def off_origin(self) -> list[str]:
        """Every request that went anywhere but to this server."""
        local = (self.server.url, "data:", "blob:", self.server.url.replace("http:", "ws:"))
        return [url for url in self.requests if not url.startswith(local)]

    def leave(self) -> None:
        self._context.close()
