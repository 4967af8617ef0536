"""Areas of input, and what reading broken ones ends in."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from bootstrap.errors import HomelabError
from tests.fuzz.mutations import Mutator

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Area:
    """Inputs of one kind.

    Attributes:
        make: A broken input.
        read: Reads it as the program does; HomelabErrors are the answer that is wanted, all else is not.
        inputs: How many of them run with the other tests.
    """

    name: str
    make: Callable[[Mutator], Any]
    read: Callable[[Any], object]
    inputs: int = 500


@dataclass
class Outcome:
    """What became of an area's inputs.

    Attributes:
        refused: How many ended in an error of ours.
        raw: Exceptions of no type of ours, by where they came from, each with the first such input's seed.
    """

    inputs: int = 0
    refused: int = 0
    raw: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{sum(self.raw.values())} raw exceptions of {self.inputs} inputs"]
        for place, count in self.raw.most_common():
            lines.append(f"{count} x {place}\n{self.first[place]}")
        return "\n".join(lines)


def run(area: Area, *, inputs: int, seed: int = 0) -> Outcome:
    """Read broken inputs, the same ones for the same seed."""
    outcome = Outcome()
    for number in range(inputs):
        broken = area.make(Mutator(Random(f"{area.name}/{seed}/{number}")))
        outcome.inputs += 1
        try:
            area.read(broken)
        except HomelabError as error:
            str(error).encode(errors="replace")
            outcome.refused += 1
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            place = _place(error)
            outcome.raw[place] += 1
            outcome.first.setdefault(place, _first(error, f"{area.name}/{seed}/{number}"))
    return outcome


def _place(error: Exception) -> str:
    """The innermost line of ours that an exception came through."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(ROOT / "bootstrap"))
    ]
    where = f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}" if ours else "outside"
    return f"{type(error).__name__} at {where}"


def _first(error: Exception, seed: str) -> str:
    lines = "".join(traceback.format_exception(error, limit=-4))[-1500:]
    return f"  input {seed}\n{lines}"
