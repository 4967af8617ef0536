"""What a simulated guest does with a command line: scripts it knows by name have their effect, all else fails."""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.lab.simulated.guest import SimulatedGuest

_FORM = re.compile(
    r"cd (?P<directory>[\w./-]+) && (?:exec )?(?P<sudo>sudo -n )?env (?P<env>.*?) ?sh \./(?P<script>[\w.-]+)"
)


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

    guest: SimulatedGuest
    directory: Path
    env: dict[str, str]


Effect = Callable[[Call], Awaitable[Outcome]]


async def execute(guest: SimulatedGuest, command: str, *, user: str) -> Outcome:
    """Do what a command line does."""
    from bootstrap.lab.simulated.scripts import EFFECTS

    found = _FORM.fullmatch(command)
    if found is None:
        return _unknown(f"the command {command!r}")
    if found["sudo"] and user != "root" and guest.struck("sudo-password"):
        return Outcome(1, err="sudo: a password is required\n")
    name = found["script"]
    effect = EFFECTS.get(name)
    if effect is None:
        return _unknown(f"the script {name}")
    if user != "root" and not found["sudo"]:
        return _unknown(f"{name} run by {user}, who is not root")
    directory = guest.disk.home(user) / found["directory"]
    if not (directory / name).is_file():
        return Outcome(2, err=f"sh: 0: cannot open ./{name}: No such file\n")
    env = dict(word.partition("=")[::2] for word in shlex.split(found["env"]))
    return await effect(Call(guest=guest, directory=directory, env=env))


def _unknown(what: str) -> Outcome:
    return Outcome(127, err=f"simulation: this guest only acts, and does not know {what}\n", unknown=True)
