"""Numbers of spreadsheets as a person reads them: dates by their format, no figures that only the arithmetic made."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

_QUOTED = re.compile(r'"[^"]*"|\\.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|_.|\*.', re.IGNORECASE)
_DAYS_TO_1904 = 1462
_LARGEST_DAY = 2_958_466


def is_date_format(pattern: str) -> bool:
    """Whether an Excel number format shows a date or a time."""
    section = _QUOTED.sub("", pattern).split(";")[0].lower()
    return section != "general" and re.search(r"[ymdhs]", section) is not None


def date_text(raw: str, pattern: str, from_1904: bool = False) -> str:
    """A day count as ISO 8601, with only what the format shows; hours beyond a day as "30:15:00"."""
    days = _finite(raw)
    if days is None or not 0 <= days < _LARGEST_DAY:
        return raw
    shown = _QUOTED.sub("", pattern).lower()
    if "[" in shown or (days < 1 and not re.search(r"[yd]", shown)):
        minutes, seconds = divmod(round(days * 86_400), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if "s" in shown else "")
    days += _DAYS_TO_1904 if from_1904 else 0
    # Excel counts a 29 February 1900 that never was: day 60; before it, day 1 is 1 January.
    start = datetime(1899, 12, 30) if days >= 60 else datetime(1899, 12, 31)
    moment = start + timedelta(seconds=round(days * 86_400))
    has_time = re.search(r"[hs]", shown) is not None
    has_date = re.search(r"[yd]", shown) is not None or "mmm" in shown
    if has_date and not has_time:
        return moment.strftime("%Y-%m-%d")
    clock = moment.strftime("%H:%M:%S" if "s" in shown or moment.second else "%H:%M")
    return f"{moment:%Y-%m-%d} {clock}" if has_date else clock


def number_text(raw: str, pattern: str = "") -> str:
    """A number in at most fifteen figures, as a percentage where its format says so."""
    value = _finite(raw)
    if value is None:
        return raw
    if "%" in _QUOTED.sub("", pattern):
        return f"{_plain(value * 100)}%"
    return _plain(value)


def _plain(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.15g}"


def _finite(raw: str) -> float | None:
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
