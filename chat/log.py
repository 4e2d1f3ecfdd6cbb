"""The page's log: the full trace of what went wrong goes here, the person sees a sentence with an id.

Lines are escaped and the file is rotated, so that names and questions can neither forge lines nor fill the disk (S12).
"""

from __future__ import annotations

import logging
import logging.handlers
import secrets
from pathlib import Path

LOGGER = logging.getLogger("hearth.chat")
_MOST_BYTES = 2**20
_OLDER_FILES = 3


class EscapingFormatter(logging.Formatter):
    """Writes control characters of the message as escapes; only the trace keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for the record, and the trace indented below it."""
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        line = f"{self.formatTime(record)} {record.levelname} {record.getMessage()}"
        return escaped(line) + escaped(trace, keep="\n").replace("\n", "\n    ")


def escaped(text: str, keep: str = "") -> str:
    """The text with every unprintable character, line ends included, written as an escape."""
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def start_log(home: Path) -> Path:
    """Send the page's log to a rotated file in the data home; returns where it is."""
    path = home / "logs" / "chat.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=_MOST_BYTES, backupCount=_OLDER_FILES, encoding="utf-8", delay=True
    )
    handler.setFormatter(EscapingFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    return path


def report_unexpected(what: str) -> str:
    """Log the exception being handled; returns the id that the person may quote."""
    error_id = secrets.token_hex(4)
    LOGGER.exception("error %s while %s", error_id, what)
    return error_id
