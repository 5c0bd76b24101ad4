"""Who may send, and who may look: tokens from a file, one a line, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
from pathlib import Path
from typing import Final

_SHORTEST_TOKEN: Final = 16


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """The tokens of a file, one a line; empty lines and those that begin with # are left out.

    Raises:
        OSError: It cannot be read.
        ValueError: It has none, or one that is too short or has characters that a header cannot carry.
    """
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise ValueError(f"{path} has no token; write one a line")
    for token in tokens:
        if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError(
                f"{path} has a token that is none: write at least {_SHORTEST_TOKEN} characters of ASCII, without spaces"
            )
    return tuple(token.encode() for token in tokens)


def is_allowed(tokens: tuple[bytes, ...], authorization: str) -> bool:
    """Whether an Authorization header names a token: as a bearer, or as the password that a browser asks for."""
    scheme, _, given = authorization.partition(" ")
    try:
        if scheme.lower() == "bearer":
            named = given.strip().encode()
        elif scheme.lower() == "basic":
            named = base64.b64decode(given.strip(), validate=True).partition(b":")[2]
        else:
            return False
    except (binascii.Error, ValueError):
        return False
    # All are looked at, so that the time says nothing of which.
    return sum(hmac.compare_digest(named, token) for token in tokens) > 0
