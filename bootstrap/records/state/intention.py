"""The note of what a command is about to do, in the state directory, written before its first change.

It is advice and no state: `bootstrap.planning.provision.unfinished` decides by what is seen whether it still counts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from bootstrap.errors import UnreadableError
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.reading import Source, read_json

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Intention:
    """A command that acts, as the state directory has it.

    Attributes:
        command: `down`, `scale`, `replace`, `upgrade`, `restore` or `rotate`.
        again: What continues it, as typed: `scale workers 1`.
        since: When it began, by this computer's clock, such as `2025-03-01 12:00:00 UTC`.
        counts: The sizes that pools are to end with.
        machines: The machines that go, each with its VM's identity, since a successor may have its name; that is empty
            where the VM had none.
        version: The k3s version that all are to end with; empty where that is none of its business.
    """

    command: str
    again: str
    since: str
    counts: tuple[tuple[PoolName, int], ...] = ()
    machines: tuple[tuple[MachineName, str], ...] = ()
    version: str = ""


def render_intention(intention: Intention) -> str:
    """As JSON."""
    pairs = {"counts": dict(intention.counts), "machines": dict(intention.machines)}
    return json.dumps({"format": FORMAT} | asdict(intention) | pairs)


def parse_intention(text: str | None) -> Intention | None:
    """Read it back; None for nothing, and for what is no note of this format: it is advice, nothing is lost by it."""
    try:
        body = read_json(text or "{}", Source(call="read the note of a command", who="it"))
        body.at("format").integer(FORMAT, FORMAT)
        return Intention(
            command=body.at("command").text(),
            again=body.at("again").text(),
            since=body.at("since").text(),
            counts=tuple((PoolName(pool), number.integer(0, 10_000)) for pool, number in body.at("counts").entries()),
            machines=tuple((MachineName(name), identity.text()) for name, identity in body.at("machines").entries()),
            version=body.at("version").text(),
        )
    except UnreadableError:
        return None
