"""Broken inputs of every kind end in an error of ours or in nothing: never in an exception that nobody expects.

`make fuzz` runs more of them, from other seeds: FUZZ_TIMES is how many times as many, FUZZ_SEED where to begin.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.fuzz import commands, files, guests, kubernetes, proxmox, records, transport
from tests.fuzz.mutations import Untouched
from tests.fuzz.running import Area, run

AREAS = (
    *commands.AREAS,
    *files.AREAS,
    *guests.AREAS,
    *kubernetes.AREAS,
    *proxmox.AREAS,
    *records.AREAS,
    *transport.AREAS,
)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name.replace(" ", "-"))
def test_no_broken_input_ends_in_a_raw_exception(area: Area) -> None:
    outcome = run(
        area, inputs=area.inputs * int(os.environ.get("FUZZ_TIMES", "1")), seed=int(os.environ.get("FUZZ_SEED", "0"))
    )
    assert not outcome.raw, str(outcome)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name.replace(" ", "-"))
def test_what_is_whole_is_read(area: Area) -> None:
    """Else an area would find nothing whatever it breaks."""
    area.read(area.make(Untouched(Random(area.name))))
