"""API tokens as users copy them: from Proxmox's dialogue, `pveum`, a shell or a request."""

from __future__ import annotations

import re
from typing import Final

from bootstrap.inventory.values.string_formats import FULL_TOKEN_ID, token_id

_TOKEN: Final = re.compile(rf"(?P<id>{FULL_TOKEN_ID})(?:=(?P<secret>\S+))?")
_BEFORE: Final = re.compile(
    r"(?:export\s+)?(?:[A-Z_][A-Z0-9_]*=)?[\s'\"]*(?:Authorization:\s*)?(?:PVEAPIToken=)?", re.IGNORECASE
)
"""Prefixes of a token in a shell command or an HTTP request."""
_AROUND: Final = " \t\r\n'\"\ufeff"
_ID_IN_TEXT: Final = re.compile(r"[^\s:/!='\",;|\u2502{}\[\]()]+@[A-Za-z][A-Za-z0-9._-]*![A-Za-z][A-Za-z0-9._-]*")
_SECRET_IN_TEXT: Final = re.compile(
    r"(?<![0-9A-Za-z-])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z-])"
)


def pasted_token(text: str) -> tuple[tuple[str, str] | None, str]:
    """User and name (None without) and secret (empty without) of a token, however it was copied.

    `user@realm!name=secret`, as an HTTP header or a line of a shell, in quotes, over several lines, and all that
    `pveum user token add` prints; in a longer text the secret is its one UUID, as Proxmox makes them.
    """
    text = text.strip(_AROUND)
    before = _BEFORE.match(text)
    text = text[before.end() if before else 0 :].strip(_AROUND)
    whole = _TOKEN.fullmatch(text)
    if whole:
        return token_id(whole["id"]), whole["secret"] or ""
    ids, secrets = set(_ID_IN_TEXT.findall(text)), {each.lower() for each in _SECRET_IN_TEXT.findall(text)}
    if len(secrets) == 1 and len(ids) <= 1:
        return (token_id(ids.pop()) if ids else None), secrets.pop()
    return None, text
