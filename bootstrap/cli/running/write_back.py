"""Writes what a command has changed into the inventory file, or prints what the user has to edit there.

`up` and `rebuild` follow the inventory: with old values in it they would undo a `scale`, or refuse after an `upgrade`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.text.documents import Output
from bootstrap.errors import HomelabError
from bootstrap.events import Told

if TYPE_CHECKING:
    from bootstrap.adapters.local.inventory_file import Keys, Stated
    from bootstrap.cli.running.command_session import Work

Write = Annotated[
    bool,
    typer.Option("--write/--no-write", help="Update the inventory file, if it states the old value."),
]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A new value, and where an inventory may state the old one.

    Attributes:
        places: Keys, in the order in which they are looked for.
        value: As it is written in YAML.
        advice: What to edit if the file is not written; may be empty.
    """

    places: tuple[Keys, ...]
    value: str
    advice: str


def write_back(work: Work, facts: list[Fact], *, write: bool) -> list[str]:
    """Write facts into the inventory file where it states them.

    Returns:
        What was changed, or is to be changed by the user, as lines for a result that is text; for documents the lines
        are reported as events, and nothing is returned.
    """
    file = work.inventory_file
    lines = [line for fact in facts for line in _lines(fact, file, write=write)]
    if work.output is Output.TEXT:
        return lines
    for line in lines:
        work.session.sink(Told(message=line))
    return []


def _lines(fact: Fact, file: Path | None, *, write: bool) -> list[str]:
    advice = [fact.advice] if fact.advice else []
    if file is None:
        return advice
    found = _stated(fact, file)
    if found is None:
        return advice
    if isinstance(found, HomelabError):
        return [str(found), *advice]
    if found.text == fact.value:
        return []
    if not write:
        where = ".".join(found.keys)
        return [f"{file} says {where}: {found.text}; --no-write: change it to {fact.value} yourself"]
    return _written(fact, found, file)


def _stated(fact: Fact, file: Path) -> Stated | HomelabError | None:
    from bootstrap.adapters.local.inventory_file import stated

    try:
        return stated(file, fact.places)
    except HomelabError as error:
        return error


def _written(fact: Fact, found: Stated, file: Path) -> list[str]:
    from bootstrap.adapters.local.inventory_file import change

    where = ".".join(found.keys)
    try:
        diff = change(file, found, fact.value)
    except HomelabError as error:
        return [f"{error}: set {where}: {fact.value} there, it says {found.text}"]
    return [f"{file}: {where} changed from {found.text} to {fact.value}:", *diff.splitlines()]
