"""A run of a script on a simulated guest, and its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.lab.simulated.machine.machine import Machine


@dataclass(frozen=True)
class Outcome:
    """Result of a command; `unknown`: the simulation does not know it."""

    code: int = 0
    out: str = ""
    err: str = ""
    unknown: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """A run of a script: the guest, the directory, the environment."""

    guest: Machine
    directory: Path
    env: dict[str, str]


Effect = Callable[[Call], Awaitable[Outcome]]
