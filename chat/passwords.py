"""Passwords as they are kept: salted, slow to guess, compared in constant time.

Source: Percival and Josefsson, RFC 7914 (scrypt); cost as OWASP's password storage cheat sheet asks (N = 2^17, r = 8).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import cache

from chat.errors import WeakPassword

LEAST_CHARACTERS, MOST_CHARACTERS = 8, 256
_LOG_COST, _BLOCK, _PARALLEL = 17, 8, 1
# scrypt needs 128 * N * r bytes; a little more, or OpenSSL refuses.
_MEMORY_BYTES = 160 * 2**20


def hashed(password: str) -> str:
    """A password's record: `scrypt$log2 N$r$p$salt$hash`.

    Raises:
        WeakPassword: shorter or longer than a password may be.
    """
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise WeakPassword(LEAST_CHARACTERS, MOST_CHARACTERS)
    salt = secrets.token_bytes(16)
    found = _scrypt(password, salt, _LOG_COST, _BLOCK, _PARALLEL)
    encoded = (base64.b64encode(part).decode() for part in (salt, found))
    return "$".join(("scrypt", str(_LOG_COST), str(_BLOCK), str(_PARALLEL), *encoded))


def fits(password: str, record: str | None) -> bool:
    """Whether a password belongs to a record; takes as long where there is no record, so that no name is given away."""
    _, log_cost, block, parallel, salt, expected = (record or _nobody()).split("$")
    given = password[:MOST_CHARACTERS]
    found = _scrypt(given, base64.b64decode(salt), int(log_cost), int(block), int(parallel))
    return hmac.compare_digest(found, base64.b64decode(expected)) and bool(record)


@cache
def _nobody() -> str:
    return hashed(secrets.token_urlsafe(32))


def _scrypt(password: str, salt: bytes, log_cost: int, block: int, parallel: int) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=2**log_cost, r=block, p=parallel, maxmem=_MEMORY_BYTES, dklen=32)
