"""The same with workers that are containers: whatever was cut off, none is left over, and none is made twice.

Containers are nobody's while Proxmox VE makes them, since their record comes with the end of that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.model.machine import MachineKind
from tests.kills.cluster import KillableCluster, killable_cluster
from tests.kills.sweeps import Sweep, add_foreign, check_down, check_up, sweep


@pytest.fixture(scope="module")
def lxc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableCluster]:
    directory = tmp_path_factory.mktemp("k")
    with killable_cluster(directory, guests="simulated", servers=1, agents=2, kind=MachineKind.LXC) as cluster:
        add_foreign(cluster)
        yield cluster


def test_up_and_down_killed_at_step_boundaries(lxc: KillableCluster) -> None:
    up, down = sweep(lxc, Sweep("up", check_up, every=5), Sweep("down", check_down, every=5))
    assert up >= 4, "a server, two agents, and the lanes for k3s and the kubeconfig have five times that many steps"
    assert down >= 1
