"""The attention maps as a picture: each layer and head in a grid, their mean with the tokens, and each head's entropy.

Cells are drawn pixel by pixel, so that 500 maps take no longer than one.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.inspection.reading import AttentionMaps, Reading, most_bits

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image

DPI = 144
_COLOURS = ("#fbf8f2", "#f6d9a8", "#ec9a4e", "#cf4a3c", "#7d1f4f", "#2b1036")  # paper, amber, ember, night
_INK, _FAINT, _PAPER, _LINE = "#2a2430", "#8b8493", "#ffffff", "#d9d4cb"
_MARGIN, _GAP, _TITLE, _NUMBERS, _CAPTION = 64, 6, 116, 44, 40  # pixels
_CELL = (96, 280)  # least and most pixels of a cell's side, between which a grid of usual width is aimed at
_USUAL_WIDTH, _LONGEST = 1400, 12_000  # pixels of a grid's side; tokens beyond the second are left out
_PANEL = 560  # pixels of the mean map's longer side
_HEAD_CELL = 56  # most pixels of a head's side in the panel of entropies
_LEAST_WIDTH = 1500
_LABELLED = 64  # tokens beyond which names cannot be read
_WIDE = 1.5  # a grid with so many times more layers than heads is laid on its side


@dataclass(frozen=True)
class Layout:
    """Where one kind of attention lies, in pixels: its two panels above, its grid of cells below.

    `sideways` grids have the layers across and the heads down. `names` are the pixels left of and above the mean map.
    """

    sideways: bool
    across: int
    down: int
    scale: int
    grid_width: int
    grid_height: int
    mean_width: int
    mean_height: int
    names: tuple[int, int]
    head_cell: int

    @property
    def panels_height(self) -> int:
        """Pixels of both panels with their names."""
        return max(self.names[1] + self.mean_height, _NUMBERS + self.down * self.head_cell)

    @property
    def panels_width(self) -> int:
        """Pixels of both panels side by side, the scale included."""
        return self.names[0] + self.mean_width + 2 * _MARGIN + self.across * self.head_cell + 80

    @property
    def height(self) -> int:
        """Pixels of everything, captions and margins included."""
        return 2 * _CAPTION + self.panels_height + _NUMBERS + self.grid_height + 2 * _MARGIN

    @property
    def width(self) -> int:
        """Pixels of everything, margins included."""
        return 2 * _MARGIN + max(self.panels_width, _NUMBERS + self.grid_width)


def layout(maps: AttentionMaps) -> Layout:
    """The places of a kind of attention: whole pixels a token, so that no cell is blurred."""
    layers, heads, rows, columns = maps.weights.shape
    sideways = layers > _WIDE * heads
    across, down = (layers, heads) if sideways else (heads, layers)
    scale = -(-max(_CELL[0], min(_CELL[1], _USUAL_WIDTH // across)) // max(rows, columns))
    size = _font_size(maps) * DPI / 72
    names = tuple(
        round(16 + 0.62 * size * max((len(readable(token)) for token in side), default=0)) if labelled(maps) else 8
        for side in (maps.rows, maps.columns)
    )
    return Layout(
        sideways,
        across,
        down,
        scale,
        across * (columns * scale + _GAP) - _GAP,
        down * (rows * scale + _GAP) - _GAP,
        round(_PANEL * min(1.0, columns / rows)),
        round(_PANEL * min(1.0, rows / columns)),
        (names[0], names[1]),
        max(16, min(_HEAD_CELL, _PANEL // down)),
    )


def picture_size(reading: Reading) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        ValueError: the reading holds no attention.
    """
    if not reading.attention:
        raise ValueError("the model gives no attention weights")
    plans = [layout(trimmed(maps)) for maps in reading.attention]
    return max(_LEAST_WIDTH, *(plan.width for plan in plans)), _TITLE + sum(plan.height for plan in plans)


def draw(reading: Reading, title: str) -> Image:
    """The picture of a reading; its size is `picture_size`.

    Raises:
        ValueError: the reading holds no attention.
    """
    import matplotlib
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    width, height = picture_size(reading)
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "text.parse_math": False, "axes.linewidth": 0.6}):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=_PAPER)
        canvas: Any = FigureCanvasAgg(figure)
        page = _Page(figure, width, height)
        top = page.heading(title, reading)
        for maps in map(trimmed, reading.attention):
            page.panels(maps, top)
            page.grid(maps, top)
            top += layout(maps).height
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def trimmed(maps: AttentionMaps) -> AttentionMaps:
    """The maps cut to as many tokens as a picture of bearable size shows."""
    most = max(8, _LONGEST // max(maps.weights.shape[:2]))
    return AttentionMaps(maps.kind, maps.weights[..., :most, :most], maps.rows[:most], maps.columns[:most])


def grid_pixels(maps: AttentionMaps) -> NDArray[np.float32]:
    """All maps in one array of shape (height, width), NaN between them."""
    import numpy as np

    plan = layout(maps)
    cells = maps.weights.swapaxes(0, 1) if plan.sideways else maps.weights
    pixels = np.full((plan.grid_height, plan.grid_width), np.nan, dtype=np.float32)
    for down, row in enumerate(cells):
        for across, weights in enumerate(row):
            cell = weights.repeat(plan.scale, 0).repeat(plan.scale, 1)
            top, left = down * (cell.shape[0] + _GAP), across * (cell.shape[1] + _GAP)
            pixels[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return pixels


class _Page:
    """A figure measured in pixels from its upper left corner."""

    def __init__(self, figure: Figure, width: int, height: int) -> None:
        from matplotlib.colors import LinearSegmentedColormap, PowerNorm

        self._figure, self._width, self._height = figure, width, height
        self._colours = LinearSegmentedColormap.from_list("hearth", _COLOURS).with_extremes(bad=_PAPER)
        self._norm = PowerNorm(0.5, 0, 1)  # most weights are small, and differences among them matter

    def heading(self, title: str, reading: Reading) -> int:
        """The title and how to read the picture; gives where the rest begins."""
        more = f" of {reading.tokens_total}" if reading.tokens_total > len(reading.tokens) else ""
        words = (
            f"{len(reading.tokens)}{more} tokens. A row is the token that looks, a column the token it looks at: the "
            "darker, the more. The scale is a square root, so that small weights show."
        )
        shown = "".join(letter if _drawable(letter) else "\u25a1" for letter in title)
        self._words(_MARGIN, 48, shown, 15, _INK, weight="bold")
        self._words(_MARGIN, 86, words, 8, _FAINT)
        return _TITLE

    def panels(self, maps: AttentionMaps, top: int) -> None:
        """The mean over all layers and heads with the tokens' names, and each head's entropy."""
        plan = layout(maps)
        layers, heads, _, columns = maps.weights.shape
        self._words(
            _MARGIN, top + 12, f"{_kind(maps)}: mean of {_count(layers, 'layer')} and {_count(heads, 'head')}", 10, _INK
        )
        left, below = _MARGIN + plan.names[0], top + _CAPTION
        mean = self._axes(left, below + plan.names[1], plan.mean_width, plan.mean_height)
        mean.imshow(maps.weights.mean((0, 1)), cmap=self._colours, norm=self._norm, aspect="auto")
        _name_ticks(mean, maps)
        beside = left + plan.mean_width + 2 * _MARGIN
        self._words(beside, top + 12, "Bits of entropy of each head: a dark one looks at a single token", 10, _INK)
        wide, high = plan.across * plan.head_cell, plan.down * plan.head_cell
        spread = self._axes(beside, below + _NUMBERS, wide, high)
        bits = maps.entropy_bits().T if plan.sideways else maps.entropy_bits()
        shown = spread.imshow(bits, cmap=self._colours.reversed(), vmin=0, vmax=most_bits(columns), aspect="auto")
        spread.set_axis_off()
        self._number(beside, below + _NUMBERS, plan, plan.head_cell, plan.head_cell)
        bar = self._figure.colorbar(shown, cax=self._axes(beside + wide + 16, below + _NUMBERS, 14, high))
        bar.ax.tick_params(labelsize=6, colors=_FAINT, length=2)
        for side in bar.ax.spines.values():
            side.set_visible(False)

    def grid(self, maps: AttentionMaps, top: int) -> None:
        """Every head of every layer."""
        plan = layout(maps)
        rows, columns = maps.weights.shape[2:]
        top += _CAPTION + plan.panels_height + _MARGIN
        order = "layers across, heads down" if plan.sideways else "layers down, heads across"
        self._words(_MARGIN, top + 12, f"{_kind(maps)}: every layer and head ({order})", 10, _INK)
        left, top = _MARGIN + _NUMBERS, top + _CAPTION + _NUMBERS
        axes = self._axes(left, top, plan.grid_width, plan.grid_height)
        axes.imshow(grid_pixels(maps), cmap=self._colours, norm=self._norm, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        self._number(left, top, plan, columns * plan.scale + _GAP, rows * plan.scale + _GAP)

    def _number(self, left: int, top: int, plan: Layout, wide: int, high: int) -> None:
        """Numbers of layers and heads, from 1, above and left of cells."""
        for across in range(plan.across):
            self._words(left + (across + 0.5) * wide, top - 14, str(across + 1), 6.5, _FAINT, ha="center")
        for down in range(plan.down):
            self._words(left - 12, top + (down + 0.5) * high, str(down + 1), 6.5, _FAINT, ha="right")

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        x, y = left / self._width, 1 - (top + height) / self._height
        return self._figure.add_axes((x, y, width / self._width, height / self._height))

    def _words(self, left: float, top: float, words: str, size: float, colour: str, **more: Any) -> None:
        x, y = left / self._width, 1 - top / self._height
        self._figure.text(x, y, words, fontsize=size, color=colour, va="center", **more)


def labelled(maps: AttentionMaps) -> bool:
    """Whether the tokens' names fit beside the mean map."""
    return max(len(maps.rows), len(maps.columns)) <= _LABELLED


def readable(token: str, longest: int = 14) -> str:
    """A token as a label: line breaks visible, what the font lacks as its code, cut where it is long."""
    inner = token.replace("\u2581", " ").replace("\n", "\u21b5").replace("\t", "\u21e5").strip(" ")
    shown = "".join(letter if _drawable(letter) else f"U+{ord(letter):04X}" for letter in inner)
    return (shown if len(shown) <= longest else f"{shown[: longest - 1]}\u2026") or "\u00b7"


def _kind(maps: AttentionMaps) -> str:
    return maps.kind[0].upper() + maps.kind[1:]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _font_size(maps: AttentionMaps) -> float:
    return max(3.5, min(8.0, 260 / max(len(maps.rows), len(maps.columns))))


def _name_ticks(axes: Axes, maps: AttentionMaps) -> None:
    rows, columns = (maps.rows, maps.columns) if labelled(maps) else ((), ())
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=4, colors=_INK, labelsize=_font_size(maps))
    axes.set_xticks(range(len(columns)), [readable(token) for token in columns], rotation=90)
    axes.set_yticks(range(len(rows)), [readable(token) for token in rows])
    for side in axes.spines.values():
        side.set_color(_LINE)


def _drawable(letter: str) -> bool:
    """Whether the picture's font has a letter."""
    return ord(letter) in _font_letters() and unicodedata.category(letter)[0] != "C"


@functools.cache
def _font_letters() -> frozenset[int]:
    from matplotlib import font_manager, ft2font

    return frozenset(ft2font.FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())
