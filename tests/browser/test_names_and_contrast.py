"""For those who see little or nothing: a name for every control, text that stands out, and Tab to everything.

Source of the least contrasts: WCAG 2.2, success criterion 1.4.3 (4.5 to 1, large text 3 to 1).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.visitor import Visitor
from tests.chat.server_process import ServerProcess, scripted_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
SECONDS = 60
_NAMELESS = re.compile(
    r"- (?:button|link|checkbox|radio|textbox|combobox|slider|searchbox|tab|menuitem)(?: \[[^\]]*\])*:?$"
)
# Of every visible text of its own in a part of the page: its words, its contrast with what is painted behind it, and
# the least that its size needs. Colours are read back from a canvas, which knows every way to write one.
_WEAK = """part => {
    const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const parsed = colour => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
    const light = colour => colour.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        const layers = [];
        for (let e = element; e; e = e.parentElement) layers.unshift(parsed(getComputedStyle(e).backgroundColor));
        return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
    };
    const found = [];
    for (const element of document.querySelectorAll(`${part}, ${part} *`)) {
        const words = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
        const style = getComputedStyle(element);
        if (!words || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
        if (element.closest(":disabled, [aria-hidden=true], .only-read, .sr-only, .react-pdf__Page")) continue;
        const under = behind(element);
        let seen = parsed(style.color);
        for (let e = element; e; e = e.parentElement) seen[3] *= Number(getComputedStyle(e).opacity);
        const [a, b] = [light(over(seen, under)), light(under)];
        const size = parseFloat(style.fontSize);
        const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < least) found.push([words.slice(0, 60), Number(ratio.toFixed(2))]);
    }
    return found;
}"""
# The controls that can be seen and used, and those among them that Tab has been at.
_CONTROLS = """() => [...document.querySelectorAll(
        "button, a[href], input, select, textarea, [role=button], [contenteditable]")]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && e.type !== "file" && e.tabIndex >= 0
        && e.getBoundingClientRect().width > 1)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with scripted_server(tmp_path_factory.mktemp("names")) as running:
        yield running


def test_everything_has_a_name_and_can_be_read(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    _check(visitor, "the welcome")
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n\nThe silo holds forty tonnes.")
    visitor.drop([notes])
    visitor.ask("what mood is this?")
    visitor.keep_screenshot("10-classes")
    _check(visitor, "classes")
    visitor.ask("How big is the silo?")
    page.locator('button:has-text("[1] notes.md")').last.click()
    page.wait_for_selector('#side-view-content :text("The silo holds forty tonnes.")')
    _check(visitor, "a source")
    page.keyboard.press("Escape")
    visitor.ask("propose")
    _check(visitor, "a proposal")
    page.click("#library-button")
    page.wait_for_selector("#library-panel[open] tbody tr")
    visitor.keep_screenshot("11-library")
    _check(visitor, "the library", "#library-panel")
    page.keyboard.press("Escape")
    page.click("#export-button")
    page.wait_for_selector("#export-panel[open]")
    visitor.keep_screenshot("9-export")
    _check(visitor, "export", "#export-panel")
    page.keyboard.press("Escape")
    page.click("#chat-settings-open-modal")
    page.wait_for_selector("#chat-settings")
    visitor.keep_screenshot("12-settings")
    _check(visitor, "settings", '[role="dialog"]')
    assert visitor.complaints == []


def test_tab_reaches_every_control_once_in_the_order_of_the_page(visitor: Visitor) -> None:
    page = visitor.page
    visitor.ask("propose")
    page.wait_for_selector("#export-button")
    page.evaluate("window.reached = []; document.activeElement.blur()")
    count = page.evaluate(f"({_CONTROLS})().length")
    for _ in range(count + 30):
        page.keyboard.press("Tab")
        page.evaluate("window.reached.push(document.activeElement)")
    missed = page.evaluate(
        f"({_CONTROLS})().filter(e => !window.reached.includes(e)).map(e => e.outerHTML.slice(0, 200))"
    )
    assert missed == []
    steps_back = page.evaluate(
        """() => {
            const again = window.reached.findIndex((e, i) => e !== document.body && window.reached.indexOf(e) !== i);
            const once = window.reached.slice(0, again < 0 ? undefined : again).filter(e => e !== document.body);
            return once.slice(1).filter((e, i) =>
                !(once[i].compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)).length;
        }"""
    )
    assert steps_back <= 1, "the way round, from the page's last control to its first, is the only step back"


def _check(visitor: Visitor, place: str, part: str = "body") -> None:
    """Every control in a part of the page has a name, and every text stands out from what is behind it."""
    _until_empty(lambda: _nameless(visitor, part), f"without a name on {place}")
    _until_empty(lambda: visitor.page.evaluate(_WEAK, part), f"hard to read on {place}")


def _nameless(visitor: Visitor, part: str) -> list[str]:
    tree = visitor.page.locator(part).last.aria_snapshot()
    return [line for line in tree.splitlines() if _NAMELESS.search(line.rstrip())]


def _until_empty(look: Callable[[], list[Any]], trouble: str) -> None:
    """Names come a moment after their buttons, and colours fade in."""
    deadline = time.monotonic() + SECONDS / 6
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found == [], trouble
