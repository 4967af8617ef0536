"""Broken inputs of every kind end in an error of ours or in nothing: never in an exception that nobody expects.

`make fuzz` runs more of them, from other seeds: FUZZ_TIMES is how many times as many, FUZZ_SEED where to begin.
"""

from __future__ import annotations

import os

import pytest

from tests.fuzz import proxmox
from tests.fuzz.running import Area, run

AREAS = (*proxmox.AREAS,)


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name.replace(" ", "-"))
def test_no_broken_input_ends_in_a_raw_exception(area: Area) -> None:
    outcome = run(
        area, inputs=area.inputs * int(os.environ.get("FUZZ_TIMES", "1")), seed=int(os.environ.get("FUZZ_SEED", "0"))
    )
    assert not outcome.raw, str(outcome)
    assert outcome.refused < outcome.inputs
