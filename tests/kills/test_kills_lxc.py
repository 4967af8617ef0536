"""The same with workers that are containers: whatever was cut off, none is left over, and none is made twice.

Containers are nobody's while Proxmox VE makes them, since their record comes with the end of that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.model.machine import MachineKind
from tests.kills.cluster import KillableCluster, killable_cluster
from tests.kills.test_kills import FOREIGN, SEED, check_up, random_kills, sweep

RANDOM_KILLS = 6


@pytest.fixture(scope="module")
def lxc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableCluster]:
    directory = tmp_path_factory.mktemp("k")
    with killable_cluster(directory, guests="simulated", servers=1, agents=2, kind=MachineKind.LXC) as cluster:
        for name, vmid in FOREIGN.items():
            cluster.call("POST", "/nodes/pve1/qemu", vmid=vmid, name=name, memory=512)
        yield cluster


def test_up_killed_at_step_boundaries(lxc: KillableCluster) -> None:
    kills = sweep(lxc, "up", "down", check_up, every=6)
    print(f"\nup: {kills} kills")
    assert kills >= 3, "a server, two agents, and the lanes for k3s and the kubeconfig have six times that many steps"


def test_up_and_down_killed_at_random_instants(lxc: KillableCluster) -> None:
    random_kills(lxc, kills=RANDOM_KILLS, seed=SEED, longest_s=1.2)
