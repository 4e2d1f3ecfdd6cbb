"""Text from a model or a document, made safe to render: no image is fetched and no link can be clicked (rule 23, P02).

Works while the text streams in. Rather than guess how the page's Markdown parser will read a piece, everything that
could be read in two ways is escaped, so that the parser is left with one reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

# What can start a construct that matters; `h` and `w` only where an address may begin, also at the end of what came.
_SPECIAL = re.compile(r"[\\`!\[\]<&:~\n]|h(?=t?t?$|ttp)|w(?=w?$|ww)", re.IGNORECASE)
# Everything the parser would turn into a link by itself; the backslashes are ones it would look through.
_ADDRESS = re.compile(r"(?:https?\\?:\\?/\\?/|www\\?\.)[^\s<>`|]*", re.IGNORECASE)
_MAYBE_ADDRESS = re.compile(r"(?:h(?:t(?:t(?:ps?)?)?)?\\?:?\\?/?\\?|w{1,3}\\?)\Z", re.IGNORECASE)
_LINK = re.compile(r"\[((?:[^\[\]\n\\]|\\[^\n]|\[[^\[\]\n]*\])*)\]\(\s*<?([^\s()<>]*)>?(?:\s[^()\n]*)?\)")
_CITATION = re.compile(r"\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})([^\n]*)\Z")
_MAYBE_FENCE = re.compile(r"[ \t]*(?:`*|~*)\Z|[ \t]*(?:`{3,}[^`\n]*|~{3,}[^\n]*)\Z")
_INFO = re.compile(r"[\w+#.-]*")
# A cell of a table ends at a bar even inside backquotes, so a span that holds both is no span.
_LIVE_IN_A_CELL = re.compile(r"\]\(|\]:|<|!\[|://|www\.|&", re.IGNORECASE)
_MARKUP = re.compile(r"([\\*_~|`#<>+=!&\[\]\-])")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# No construct is waited for longer than this; what is longer is escaped piece by piece.
_LONGEST = 2000
# Controls, direction overrides and the zero-width space that the page draws its cursor with.
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]")


def inert(text: str, citations: Collection[int] = ()) -> str:
    """The whole text, safe to render.

    Args:
        text: Markdown from a model or a document.
        citations: the numbers that may stand as `[1]` and become `[1](#source-1)`, the page's link to a source.
    """
    stream = InertStream(citations)
    return stream.feed(text) + stream.close()


def plain(text: str) -> str:
    """The text as it is, with no Markdown at all: for names, quotes and messages of others."""
    stream = InertStream()
    lines = [_MARKUP.sub(r"\\\1", line.strip()) for line in _DROPPED.sub("", text).splitlines()]
    numbered = [re.sub(r"^(\d+)([.)])", r"\1\\\2", line) for line in lines]
    return stream.feed("\n".join(numbered)) + stream.close()


def code(text: str) -> str:
    """One line of text in a code span that nothing in it can leave."""
    line = " ".join(_DROPPED.sub("", text).split())
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    if not line:
        return ""
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line.replace('|', chr(0x2502))}{pad}{fence}"


class InertStream:
    """`inert` for text that arrives in pieces; the result does not depend on where it was cut."""

    def __init__(self, citations: Collection[int] = ()) -> None:
        self._citations = frozenset(citations)
        self._text = ""
        # While inside a code block: its mark, the mark's length, and how far the block was indented.
        self._fence: tuple[str, int, int] | None = None
        self._at_line_start = True
        self._in_fence_line = False
        self._last = ""

    def feed(self, piece: str) -> str:
        """What can be shown now, having seen `piece`; the rest is held until its meaning is clear."""
        self._text += piece
        held = ""
        if self._text.endswith("\r"):
            self._text, held = self._text[:-1], "\r"
        self._text = _DROPPED.sub("", self._text.replace("\r\n", "\n").replace("\r", "\n"))
        shown = self._drain(final=False)
        self._text += held
        return shown

    def close(self) -> str:
        """What was held back; the text is over, and a code block left open is closed."""
        self._text = self._text.replace("\r", "\n")
        rest = self._drain(final=True)
        if self._fence:
            rest += f"{'' if self._last == chr(10) else chr(10)}{self._fence[0] * self._fence[1]}\n"
            self._fence = None
        return rest

    def _drain(self, final: bool) -> str:
        pieces = []
        while self._text:
            in_code = self._fence is not None
            piece = self._next(final)
            if piece is None:
                break
            if piece.startswith("`") and self._last == "`" and not in_code:
                # Two spans side by side would be read as one longer run.
                piece = " " + piece
            if piece:
                pieces.append(piece)
                self._last = piece[-1]
        return "".join(pieces)

    def _next(self, final: bool) -> str | None:
        """Take the next construct off the text and return what to show for it; None to wait for more."""
        if self._fence:
            return self._next_in_fence(final)
        if self._at_line_start:
            opened = self._open_fence(final)
            if opened is None or opened:
                return opened
            self._at_line_start = False
        found = _SPECIAL.search(self._text)
        if found is None:
            return self._take(len(self._text))
        if found.start():
            return self._take(found.start())
        return self._special(final)

    def _take(self, length: int) -> str:
        taken, self._text = self._text[:length], self._text[length:]
        return taken

    # Code blocks ----------------------------------------------------------------------------------------------------

    def _open_fence(self, final: bool) -> str | None:
        """A code block's first line, moved to the margin; "" when the line is something else; None to wait."""
        line, ended, _ = self._text.partition("\n")
        if not ended and not final and len(line) < _LONGEST and _MAYBE_FENCE.match(line):
            return None
        fence = _FENCE.match(line)
        if fence is None or (fence[2][0] == "`" and "`" in fence[3]):
            return ""
        self._take(len(line) + len(ended))
        self._fence = (fence[2][0], len(fence[2]), len(fence[1]))
        self._in_fence_line = False
        info = _INFO.match(fence[3].strip())
        return f"{fence[2]}{info[0] if info else ''}\n"

    def _next_in_fence(self, final: bool) -> str | None:
        assert self._fence is not None
        mark, length, indent = self._fence
        line, ended, _ = self._text.partition("\n")
        if self._in_fence_line:
            self._in_fence_line = not ended
            return self._take(len(line) + len(ended))
        margin = len(line) - len(line.lstrip(" \t"))
        content = line[min(indent, margin) :]
        may_close = re.match(rf"[ ]{{0,3}}{re.escape(mark)}*[ \t]*\Z", content) is not None or not content.strip()
        if may_close and not ended and not final and len(line) < _LONGEST:
            return None
        self._take(len(line) + len(ended))
        if may_close and content.count(mark) >= length:
            self._fence = None
            self._at_line_start = True
            return f"{mark * length}\n"
        self._in_fence_line = not ended
        return content + ended

    # Inside a line --------------------------------------------------------------------------------------------------

    def _special(self, final: bool) -> str | None:
        character = self._text[0]
        if character == "\n":
            self._at_line_start = True
            return self._take(1)
        if character == "`":
            return self._backquotes(final)
        if character in "hHwW":
            return self._address(final)
        if character in "![":
            return self._bracket(final)
        if character == "~":
            return self._tildes(final)
        if len(self._text) < 2 and not final:
            return None
        return self._escape(character, self._text[1:2])

    def _escape(self, character: str, following: str) -> str:
        """One character, escaped where the one after it would give it a meaning."""
        if character == "\\":
            if following in _PUNCTUATION and following:
                return self._take(2)
            self._take(1)
            return "\\" if following == "\n" else "\\\\"
        if character == "]" and following and following in "(:":
            self._take(2)
            return f"]\\{following}"
        self._take(1)
        gives_meaning = {
            "]": False,
            "<": following.isalpha() or following in ("/", "!", "?"),
            "&": following.isalnum() or following == "#",
            # A directive such as `:name[...]` would be swallowed by the page's parser.
            ":": following.isalpha(),
        }[character]
        return f"\\{character}" if gives_meaning else character

    def _tildes(self, final: bool) -> str | None:
        run = len(self._text) - len(self._text.lstrip("~"))
        if run == len(self._text) and not final and run < _LONGEST:
            return None
        self._take(run)
        return "~" * run if run < 3 else "\\~" * run

    def _backquotes(self, final: bool) -> str | None:
        """A code span that ends on its own line is kept; lone backquotes are escaped, so that none opens a span."""
        line, ended, _ = self._text.partition("\n")
        run = len(line) - len(line.lstrip("`"))
        close = re.compile(rf"(?<!`)`{{{run}}}(?!`)").search(line, run)
        if not ended and not final and len(line) < _LONGEST and (close is None or close.end() == len(line)):
            return None
        if close is not None:
            content = line[run : close.start()]
            if not ("|" in content and _LIVE_IN_A_CELL.search(content)):
                return self._take(close.end())
        self._take(run)
        return "\\`" * run

    def _address(self, final: bool) -> str | None:
        """An address becomes code: the parser links a bare one, whatever escapes stand in it."""
        line = self._text.partition("\n")[0]
        whole = len(line) == len(self._text) and not final and len(line) < _LONGEST
        if whole and _MAYBE_ADDRESS.match(self._text):
            return None
        found = _ADDRESS.match(line)
        if found is None:
            return self._take(1)
        if whole and found.end() == len(line):
            return None
        address = found[0].rstrip(".,;:!?)]}*_'\"\\")
        self._take(len(address))
        return code(address.replace("\\", ""))

    def _bracket(self, final: bool) -> str | None:
        """Links and images become their words and their host; citations of known sources become the page's own."""
        line, ended, _ = self._text.partition("\n")
        waiting = not ended and not final and len(line) < _LONGEST
        is_image = line.startswith("!")
        start = 1 if is_image else 0
        if waiting and len(line) == start:
            return None
        if line[start : start + 1] != "[":
            return self._take(1)
        if waiting and _unfinished(line[start:]):
            return None
        link = _LINK.match(line, start)
        if link is not None:
            self._take(link.end())
            return _shown_link(link[1], link[2], is_image)
        if is_image:
            self._take(1)
            return "\\!"
        return self._citation(line)

    def _citation(self, line: str) -> str:
        found = _CITATION.match(line)
        numbers = [int(number) for number in re.findall(r"\d+", found[1])] if found else []
        if found is None or not numbers or not self._citations.issuperset(numbers) or line[found.end() :][:1] == "(":
            return self._take(1)
        self._take(found.end())
        return "".join(f"[{number}](#source-{number})" for number in numbers)


def _unfinished(text: str) -> bool:
    """True while a bracket at the start of the text may still become a link."""
    depth = 0
    escaped = False
    for index, character in enumerate(text):
        if not escaped:
            depth += {"[": 1, "]": -1}.get(character, 0)
        escaped = character == "\\" and not escaped
        if depth == 0:
            after = text[index + 1 :]
            return not after or (after[0] == "(" and ")" not in after)
    return True


def _shown_link(words: str, target: str, is_image: bool) -> str:
    try:
        host = urlsplit(target.replace("\\", "")).hostname or target
    except ValueError:
        host = target
    where = code(host[:200])
    if is_image:
        return f"{inert(words) or 'image'} (image not shown{f', from {where}' if where else ''})"
    return f"{inert(words)} ({where})" if where else inert(words)
