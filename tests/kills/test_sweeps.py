"""Commands killed with SIGKILL at every step boundary, then run again.

Whatever was cut off: the cluster ends as an unbroken run makes it, and nothing is left over or lost. Each file here
has a lab of its own, and can be run beside the others.
"""

from __future__ import annotations

from tests.kills.cluster import KillableCluster
from tests.kills.sweeps import Sweep, check_down, check_up, check_workers, finish, sweep


def test_up_and_down_killed_at_every_step_boundary(simulated: KillableCluster) -> None:
    up, down = sweep(simulated, Sweep("up", check_up), Sweep("down", check_down))
    assert up >= 22, "a server, two agents, and the lanes for k3s and the kubeconfig have that many steps"
    assert down >= 6


def test_scale_killed_at_every_other_step_boundary(simulated: KillableCluster) -> None:
    finish(simulated, "up")
    more, fewer = Sweep("scale 3", check_workers(3), every=2), Sweep("scale 2", check_workers(2), every=2)
    more_kills, fewer_kills = sweep(simulated, more, fewer)
    assert more_kills >= 5
    assert fewer_kills >= 3
    finish(simulated, "down")
