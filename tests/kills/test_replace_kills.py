"""Replacements killed with SIGKILL at step boundaries, then run again."""

from __future__ import annotations

import pytest

from tests.kills.cluster import KillableCluster
from tests.kills.sweeps import Sweep, check_workers, finish, sweep


@pytest.mark.parametrize("command", ["replace", "replace first"])
def test_replace_killed_at_every_third_step_boundary(simulated: KillableCluster, command: str) -> None:
    finish(simulated, "up")
    (kills,) = sweep(simulated, Sweep(command, check_workers(2), every=3))
    assert kills >= 7
    finish(simulated, "down")
