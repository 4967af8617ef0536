"""A value's place, and the list of all problems."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bootstrap.errors import Problem

_TOKEN_SECRET: Final = re.compile(r"(![A-Za-z][A-Za-z0-9._-]*=)(?!secret(?:[\s,]|$))[^\s'\"]+")
"""Not `!name=secret`, which hints contain."""
_USERINFO: Final = re.compile(r"//[^/@\s]+@")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Where:
    """A place in the inventory.

    Attributes:
        path: Keys joined by dots, indexes in brackets; or the name of a flag or an environment variable.
        line: Line in the file from 1, or None for a value that is not from the file.
    """

    path: str
    line: int | None = None

    def key(self, name: str, line: int | None) -> Where:
        """The place of a key in the mapping here."""
        return Where(path=f"{self.path}.{name}" if self.path else name, line=line)

    def item(self, index: int, line: int | None) -> Where:
        """The place of an item in the list here."""
        return Where(path=f"{self.path}[{index}]", line=line)


class Problems:
    """Collects problems, and masks in them what looks like a token's secret."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: Where, message: str, hint: str = "") -> None:
        """Add a problem; the same one at the same place is added once."""
        problem = Problem(path=mask(where.path), line=where.line, message=mask(message), hint=mask(hint))
        if problem not in self._found:
            self._found.append(problem)

    def in_order(self) -> tuple[Problem, ...]:
        """All problems by line; those of flags and environment, which have none, come last."""
        return tuple(sorted(self._found, key=lambda problem: (problem.line is None, problem.line or 0)))


def mask(text: str) -> str:
    """The text with masked secrets: of a Proxmox API token (a UUID, as Proxmox creates them) or in a URL."""
    return _USERINFO.sub("//***@", _UUID.sub("***", _TOKEN_SECRET.sub(r"\1***", text)))


def shown(text: str) -> str:
    """A value as it appears in a message: quoted, and cut where it is long."""
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}...'"
