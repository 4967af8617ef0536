"""One run of a script on a simulated guest, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.lab.simulated.machine import Machine


@dataclass(frozen=True)
class Outcome:
    """How a command ended; `unknown`: the simulation does not know it."""

    code: int = 0
    out: str = ""
    err: str = ""
    unknown: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run of a script: on which guest, in which directory, with which environment."""

    guest: Machine
    directory: Path
    env: dict[str, str]


Effect = Callable[[Call], Awaitable[Outcome]]
