"""Rich text: its words in their fonts' encodings, with headings, tables, notes and properties."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.tables import labelled

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|[\r\n\x00]+|([^\\{}\r\n\x00]+)|\\"
)
_CODEPAGES = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gbk", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
    255: "cp437",
}  # fmt: skip
_CHARACTERS = {
    "tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“",
    "rdblquote": "”", "bullet": "•", "emspace": " ", "enspace": " ", "qmspace": " ", "nestcell": " ", "nestrow": " ",
    "softline": "\n", "lbr": "\n",
}  # fmt: skip
_SYMBOLS = {b"~": " ", b"_": "\u2011", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n", b"\t": "\t"}
_SKIPPED = frozenset(
    "colortbl pict object objdata nonshppict shppict fldinst themedata colorschememapping latentstyles datastore"
    " generator listtable listoverridetable rsidtbl xmlnstbl filetbl revtbl mmathPr atnid atnauthor atnref atntime"
    " atnicn bkmkstart bkmkend htmltag mhtmltag sn sv private panose falt template company operator category manager"
    " comment doccomm hlinkbase userprops ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn listname pgptbl"
    " wgrffmtfilter".split()
)
_ASIDES = {"footnote": "[note] {}", "annotation": "[Comment: {}]", "shptxt": "{}", "dptxbxtext": "{}"}
_MARGINS = frozenset("header headerl headerr headerf footer footerl footerr footerf".split())
_FACTS = {"title": "title", "subject": "subject", "author": "author", "keywords": "keywords"}
_OPENED = frozenset(("shpinst", "annotation", "nesttableprops", "ud", "pntext", "listtext"))
"""Groups marked as optional that hold words nevertheless."""
_MAX_GROUPS = 10_000


@dataclass
class _Group:
    """What a brace opened: where its words go, and how they are read."""

    sink: list[str]
    skip: bool = False
    unicode_skip: int = 1
    codepage: str = ""
    on_close: Callable[[str], None] | None = None
    section: str = ""
    font: int = 0


@dataclass
class _Paragraph:
    """The paragraph being read."""

    level: int = 0
    style: int = 0
    in_table: bool = False
    asides: list[str] = field(default_factory=list)


def extract_rtf(data: bytes) -> Extracted:
    """A rich text document.

    Raises:
        Refused: too_complex.
    """
    return Reader(data).read()


class Reader:
    """One document; `read` it once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._composer = Composer()
        self._words: list[str] = []
        self._group = _Group(self._words)
        self._stack: list[_Group] = []
        self._pending = bytearray()
        self._left_to_skip = 0
        self._optional = False
        self._codepage = "cp1252"
        self._fonts: dict[int, str] = {}
        self._levels: dict[int, int] = {}
        self._paragraph = _Paragraph()
        self._row: list[str] = []
        self._rows: list[list[str]] = []
        self._margins: list[str] = []

    def read(self) -> Extracted:
        """The whole document."""
        at, data = 0, self._data
        while (match := _TOKEN.match(data, at)) is not None:
            at = match.end()
            word, number, code, symbol, brace, text = match.groups()
            if brace:
                self._brace(brace)
            elif word:
                value = int(number) if number else None
                at += max(0, value or 0) if word == b"bin" else 0
                self._control(word.decode("ascii"), value)
            elif code:
                self._bytes(bytes([int(code, 16)]))
            elif symbol:
                self._symbol(symbol)
            elif text:
                self._bytes(text)
        self._end_paragraph()
        self._end_table()
        if self._margins:
            self._composer.part("Headers and footers")
            for margin in dict.fromkeys(self._margins):
                self._composer.block(margin)
        self._composer.facts["encoding"] = self._codepage
        return self._composer.extracted()

    def _brace(self, brace: bytes) -> None:
        self._decode_pending()
        self._optional = False
        if brace == b"{":
            if len(self._stack) >= _MAX_GROUPS:
                raise Refused("too_complex", "is nested deeper than any document.")
            self._stack.append(self._group)
            self._group = replace(self._group, on_close=None)
        elif self._stack:
            closed, self._group = self._group, self._stack.pop()
            if closed.on_close is not None:
                closed.on_close(_whole("".join(closed.sink)).strip())

    def _bytes(self, data: bytes) -> None:
        if self._left_to_skip:
            skipped = min(self._left_to_skip, len(data))
            self._left_to_skip -= skipped
            data = data[skipped:]
        if data and not self._group.skip:
            self._pending += data

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._optional = True
        elif symbol in _SYMBOLS:
            self._say(_SYMBOLS[symbol])

    def _say(self, text: str) -> None:
        self._decode_pending()
        if not self._group.skip:
            self._group.sink.append(text)

    def _decode_pending(self) -> None:
        if not self._pending:
            return
        data, self._pending = bytes(self._pending), bytearray()
        codepage = self._group.codepage or self._codepage
        if codepage == "symbol":
            self._group.sink.append(data.decode("latin-1").replace("\xb7", "•"))
            return
        try:
            self._group.sink.append(data.decode(codepage, "replace"))
        except LookupError:
            self._group.sink.append(data.decode("cp1252", "replace"))

    def _control(self, word: str, value: int | None) -> None:
        optional, self._optional = self._optional, False
        if word == "u" and value is not None:
            self._left_to_skip = 0
            self._say(chr(value & 0xFFFF))
            self._left_to_skip = self._group.unicode_skip
            return
        self._decode_pending()
        self._left_to_skip = 0
        if self._starts_section(word, optional) or self._sets_style(word, value):
            return
        if word in _CHARACTERS:
            self._say(_CHARACTERS[word])
        elif word in ("par", "sect", "page"):
            self._end_line()
        elif word == "cell":
            self._row.append(_whole("".join(self._words)))
            self._words.clear()
        elif word == "row":
            self._rows.append(self._row)
            self._row = []
        elif word == "ansicpg" and value:
            self._codepage = {65001: "utf-8", 10000: "mac_roman"}.get(value, f"cp{value}")

    def _starts_section(self, word: str, optional: bool) -> bool:
        """Whether a word opens a group whose words are not the text's own."""
        group = self._group
        if word in _SKIPPED or (optional and word not in _OPENED and word not in _ASIDES):
            group.skip = True
        elif word in ("fonttbl", "stylesheet", "info"):
            group.section, group.skip, group.sink = word, word == "info", []
        elif group.section == "info" and word in _FACTS:
            self._redirect(partial(self._keep_fact, _FACTS[word]))
        elif word in _ASIDES:
            self._redirect(partial(self._keep_aside, _ASIDES[word]))
        elif word in _MARGINS:
            self._redirect(self._margins.append)
        else:
            return False
        return True

    def _keep_fact(self, name: str, text: str) -> None:
        self._composer.facts[name] = text[:500]

    def _keep_aside(self, form: str, text: str) -> None:
        self._paragraph.asides.append(form.format(text))

    def _redirect(self, on_close: Callable[[str], None]) -> None:
        self._group = replace(self._group, sink=[], skip=False, on_close=on_close)

    def _sets_style(self, word: str, value: int | None) -> bool:
        """Whether a word changes how what follows is read."""
        group, number = self._group, value or 0
        if word == "f":
            group.font = number
            group.codepage = self._fonts.get(number, "")
        elif word == "fcharset" and group.section == "fonttbl":
            self._fonts[group.font] = "symbol" if number == 2 else _CODEPAGES.get(number, "")
        elif group.section == "stylesheet" and word == "s":
            group.sink = []
            group.on_close = partial(self._name_style, number)
        elif word == "uc":
            group.unicode_skip = min(max(number, 0), 32)
        elif word == "plain":
            group.codepage = ""
        elif word in ("v", "deleted", "htmlrtf"):
            group.skip = value != 0
        elif word == "pard":
            self._paragraph.level = self._paragraph.style = 0
            self._paragraph.in_table = False
        elif word == "intbl":
            self._paragraph.in_table = True
        elif word == "s":
            self._paragraph.style = number
        elif word == "outlinelevel":
            self._paragraph.level = number + 1 if 0 <= number < 9 else 0
        else:
            return False
        return True

    def _name_style(self, style: int, name: str) -> None:
        found = re.search(r"heading (\d)", name.lower())
        if found:
            self._levels[style] = int(found[1])

    def _end_line(self) -> None:
        if self._group.sink is not self._words:
            self._say("\n")
        elif self._paragraph.in_table or self._row:
            self._say(" ")
        else:
            self._end_paragraph()

    def _end_paragraph(self) -> None:
        self._decode_pending()
        self._end_table()
        text = _whole("".join(self._words)).strip()
        self._words.clear()
        level = self._paragraph.level or self._levels.get(self._paragraph.style, 0)
        if level and text:
            self._composer.heading(text, level)
        else:
            self._composer.block(text)
        self._say_asides()

    def _say_asides(self) -> None:
        for aside in self._paragraph.asides:
            self._composer.block(aside)
        self._paragraph.asides = []

    def _end_table(self) -> None:
        rows = [*self._rows, *([self._row] if self._row else [])]
        self._rows, self._row = [], []
        if rows:
            self._composer.lines(labelled(enumerate(rows, start=1)))
            self._say_asides()


def _whole(text: str) -> str:
    """Text whose characters beyond the basic plane were written as two halves, joined."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
