"""The catalogue's entries: read from YAML, every mistake in them an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CATALOGUE = Path(__file__).parent / "catalogue"
COMMANDS = ("up", "down", "status")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How the command is to end.

    Attributes:
        exit: Its code.
        brief, details, resolution: Words that each part of the one error has.
        says: Words in its warnings or, for `status`, in its problems.
        never: Words that no part of the error has.
    """

    exit: int
    brief: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    resolution: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One case.

    Attributes:
        name: The test's id.
        fault: A word of the lab's faults endpoint or of `tests/faults/local.py`.
        values: The fault's parameters (`with` in YAML).
        also: Further faults of the lab's, as its endpoint takes them.
        at_step: The fault comes when so many steps of the run have ended; None: before the command.
        command: What is run under the fault.
        given: What there is before: `nothing` or a `cluster`.
        expect: How it ends.
        within_s: And by when, in seconds.
        leaves: Names of our machines that have a VM then; None: not looked at.
        then_off: Machines that are powered off afterwards, since the fault took effect at their boot.
        heals: Whether the same command, run again without the fault, ends as an unbroken run does.
    """

    name: str
    fault: str
    values: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Mapping[str, Any], ...] = ()
    at_step: int | None = None
    command: str = "up"
    given: str
    expect: Expected
    within_s: float = 60.0
    leaves: tuple[str, ...] | None = None
    then_off: tuple[str, ...] = ()
    heals: bool = True


def load_entries() -> tuple[Entry, ...]:
    """All entries of all files, in order. Raises ValueError, TypeError where one cannot be meant."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CATALOGUE.glob("*.yaml"))]
    entries = [_entry(raw) for raws in files for raw in raws]
    names = [entry.name for entry in entries]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two entries of one name: {', '.join(sorted(twice))}")
    return tuple(entries)


def _entry(raw: dict[str, Any]) -> Entry:
    name = raw.get("name", raw)
    told = raw.pop("expect")
    expect = Expected(exit=told.pop("exit"), **{key: _words(value) for key, value in told.items()})
    command = raw.get("command", "up")
    if command not in COMMANDS:
        raise ValueError(f"{name}: the command {command!r} is none of {', '.join(COMMANDS)}")
    if expect.exit and not (expect.brief and expect.resolution) and command != "status":
        raise ValueError(f"{name}: what fails has words expected of its brief and its resolution")
    raw.setdefault("given", "nothing" if command == "up" else "cluster")
    for key in ("leaves", "then_off", "also"):
        if key in raw:
            raw[key] = _words(raw[key])
    return Entry(values=raw.pop("with", {}), expect=expect, **raw)


def _words(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
