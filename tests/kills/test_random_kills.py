"""`up` and `down` killed with SIGKILL at random instants, then run again. `make fuzz` does it more often: KILLS."""

from __future__ import annotations

import os

from tests.kills.cluster import KillableCluster
from tests.kills.sweeps import random_kills, time_of

RANDOM_KILLS = int(os.environ.get("KILLS", "40"))
LATEST_S = 1.2
"""As long as `up` takes on a machine that does nothing else; a busy one is not to make the killing long."""


def test_up_and_down_killed_at_random_instants(simulated: KillableCluster) -> None:
    up_s, down_s = (min(LATEST_S, time_of(simulated, command)) for command in ("up", "down"))
    random_kills(simulated, kills=RANDOM_KILLS, up_s=up_s, down_s=down_s)
