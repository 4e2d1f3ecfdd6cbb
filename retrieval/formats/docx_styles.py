"""Which styles of a Word document are headings, and the numbers that Word itself writes before list items."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats.xmltree import all_inside, attribute, inside, local

_HEADING = re.compile(r"heading (\d)")
_MAX_DEPTH = 20
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
_LARGEST = 3999


def heading_levels(styles: etree._Element | None) -> dict[str, int]:
    """Style id -> heading level from 1, by the style's own name or outline level or that of the one it is based on."""
    own: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in all_inside(styles, "style"):
        identifier = attribute(style, "styleId") or ""
        name = (_value(inside(style, "name")) or "").lower()
        outline = _value(inside(style, "pPr", "outlineLvl"))
        numbered = _HEADING.fullmatch(name)
        if numbered or name == "title":
            own[identifier] = int(numbered[1]) if numbered else 1
        elif outline in tuple("012345678"):
            own[identifier] = int(outline) + 1
        based[identifier] = _value(inside(style, "basedOn")) or ""
    for identifier in based:
        above, steps = identifier, 0
        while above and above not in own and steps < _MAX_DEPTH:
            above, steps = based.get(above, ""), steps + 1
        if above in own:
            own[identifier] = own[above]
    return own


def _value(element: etree._Element | None) -> str | None:
    return None if element is None else attribute(element, "val")


@dataclass(frozen=True)
class _Level:
    """How one depth of a list is numbered: "%1.%2" with the kind of number of each depth, and where it starts."""

    pattern: str
    kind: str
    start: int


@dataclass
class Numbering:
    """Counts list items as Word does, so that a text that speaks of section 3.2 can be found by it."""

    lists: dict[str, str] = field(default_factory=dict)
    levels: dict[tuple[str, int], _Level] = field(default_factory=dict)
    by_style: dict[str, tuple[str, int]] = field(default_factory=dict)
    counts: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def read(cls, trees: dict[str, etree._Element | None]) -> Numbering:
        """From the parts "numbering" and "styles"."""
        made = cls()
        for item in all_inside(trees.get("numbering"), "abstractNum"):
            identifier = attribute(item, "abstractNumId") or ""
            for level in all_inside(item, "lvl"):
                start = _value(inside(level, "start")) or "1"
                facts = _Level(
                    _value(inside(level, "lvlText")) or "",
                    _value(inside(level, "numFmt")) or "decimal",
                    int(start) if re.fullmatch(r"\d{1,6}", start) else 1,
                )
                made.levels[identifier, _depth(attribute(level, "ilvl"))] = facts
        for item in all_inside(trees.get("numbering"), "num"):
            made.lists[attribute(item, "numId") or ""] = _value(inside(item, "abstractNumId")) or ""
        for style in all_inside(trees.get("styles"), "style"):
            settings = inside(style, "pPr", "numPr")
            if settings is not None:
                number = _value(inside(settings, "numId")) or ""
                depth = _depth(_value(inside(settings, "ilvl")))
                made.by_style[attribute(style, "styleId") or ""] = (number, depth)
        return made

    def mark(self, paragraph: etree._Element) -> str:
        """What Word shows before this paragraph: "2.1 ", "- " or nothing; counts it."""
        settings = inside(paragraph, "pPr")
        style = _value(inside(settings, "pStyle")) or ""
        number, depth = self.by_style.get(style, ("", 0))
        own = inside(settings, "numPr")
        if own is not None:
            number = _value(inside(own, "numId")) or number
            depth = _depth(_value(inside(own, "ilvl"))) if inside(own, "ilvl") is not None else depth
        family = self.lists.get(number, "")
        level = self.levels.get((family, depth))
        if level is None or not any(local(child) == "r" or len(child) for child in paragraph):
            return ""
        counts = self.counts[family]
        counts[depth] = counts.get(depth, level.start - 1) + 1
        for deeper in [one for one in counts if one > depth]:
            del counts[deeper]
        if level.kind == "bullet":
            return "- "
        return f"{self._filled(family, level, counts)} " if level.kind != "none" and level.pattern else ""

    def _filled(self, family: str, level: _Level, counts: dict[int, int]) -> str:
        def number(match: re.Match[str]) -> str:
            depth = int(match[1]) - 1
            known = self.levels.get((family, depth))
            count = counts.get(depth, known.start if known else 1)
            return _written(count, known.kind if known else "decimal")

        return re.sub(r"%(\d)", number, level.pattern)


def _depth(value: str | None) -> int:
    return int(value) if value and value in tuple("012345678") else 0


def _written(count: int, kind: str) -> str:
    """A number as letters, Roman or Arabic figures."""
    if kind in ("lowerLetter", "upperLetter") and count > 0:
        letters = chr(ord("a") + (count - 1) % 26) * min(9, (count - 1) // 26 + 1)
        return letters.upper() if kind == "upperLetter" else letters
    if kind in ("lowerRoman", "upperRoman") and 0 < count <= _LARGEST:
        letters = ""
        for value, sign in _ROMAN:
            letters += sign * (count // value)
            count %= value
        return letters.upper() if kind == "upperRoman" else letters
    return str(count)
