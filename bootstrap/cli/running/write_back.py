"""What a command has changed goes back into the inventory that states otherwise, or the user is told what to edit.

`up` and `rebuild` go by the inventory: where it is left behind, they would undo a `scale` or refuse after an `upgrade`.
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
    """Something that is true now, and where an inventory may state it.

    Attributes:
        places: Keys in the order in which they are looked for.
        value: As it is to be written.
        advice: What to edit, where the file is not written; empty where nothing has to be.
    """

    places: tuple[Keys, ...]
    value: str
    advice: str


def inventory_file(work: Work, *, inventory: Path | None, lab: bool) -> Path | None:
    """The user's own inventory file; None where the inventory is the environment, or the lab's."""
    path = Path(work.homelab.inventory.source)
    return path if (inventory is not None or not lab) and path.is_file() else None


def write_back(facts: list[Fact], *, file: Path | None, write: bool) -> list[str]:
    """Write facts into the file where it states them; what was done, or is to be done, in lines."""
    lines: list[str] = []
    for fact in facts:
        found = _stated(fact, file) if file is not None else None
        if file is None or found is None or isinstance(found, HomelabError):
            lines += [str(found)] if isinstance(found, HomelabError) else []
            lines += [fact.advice] if fact.advice else []
        elif found.text == fact.value:
            continue
        elif not write:
            lines.append(
                f"{file} says {'.'.join(found.keys)}: {found.text}; --no-write: change it to {fact.value} yourself"
            )
        else:
            lines += _written(fact, found, file)
    return lines


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


def tell(work: Work, lines: list[str]) -> list[str]:
    """The lines where the result is text; else they are told as events, and the result is a document alone."""
    if work.output is Output.TEXT:
        return lines
    for line in lines:
        work.session.sink(Told(message=line))
    return []
