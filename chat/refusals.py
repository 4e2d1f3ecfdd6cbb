"""What the guard says when it refuses: a status, a stable code and one sentence, as JSON or as a plain page.

The sentences name no address and echo nothing of the request.
"""

from __future__ import annotations

from enum import Enum

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hearth</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto; padding: 0 1.5rem }}
h1 {{ font-size: 1.4rem }} small {{ opacity: .6 }}
</style></head><body><h1>Hearth</h1><p>{sentence}</p><p><small>{code}</small></p></body></html>
"""


class Refusal(Enum):
    """One reason to refuse: status, code, sentence."""

    FOREIGN_HOST = 421, "foreign_host", "This page answers only under the address that the terminal printed."
    FOREIGN_ORIGIN = (
        403,
        "foreign_origin",
        "This request came from another page and was refused: paste the link from the terminal into the address bar.",
    )
    NO_SESSION = (
        401,
        "no_session",
        "This browser has not been let in yet: open the link that the terminal printed when the chat started. "
        "A link works once; after each use the terminal prints a new one.",
    )
    SIGNED_OUT = 401, "not_signed_in", "Nobody is signed in here, or no longer: open the page and sign in."
    CLOSED = 404, "not_there", "There is nothing under this address."
    USED_LINK = (
        403,
        "used_link",
        "This link was used before or is incomplete: open the newest one that the terminal shows.",
    )
    TOO_LARGE = 413, "too_large", "This is larger than the {limit} that the chat accepts here, so it was not read."
    MALFORMED = 400, "malformed_request", "The request's length is not a number, so it was not read."

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.value[0])

    @property
    def code(self) -> str:
        """The stable code that scripts may rely on."""
        return str(self.value[1])

    def sentence(self, limit_bytes: int) -> str:
        """What the person reads."""
        return str(self.value[2]).format(limit=f"{limit_bytes // 2**20} MB")


def refusal_page(refusal: Refusal, limit_bytes: int) -> bytes:
    """The refusal as a page for a browser window."""
    return _PAGE.format(sentence=refusal.sentence(limit_bytes), code=refusal.code).encode()
