"""Commands killed with SIGKILL at every step boundary and at random instants, then run again.

Whatever was cut off: the cluster ends as an unbroken run makes it, and nothing is left over or lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from bootstrap.lab.guests.choose import why_not
from tests.bridge import bridge
from tests.kills.cluster import Ended, KillableCluster, killable_cluster

SEED = 20260501
RANDOM_KILLS = 145
FOREIGN = {"somebody-elses": 7001, "demo-workers-9": 7950}
"""One sits on a vmid of ours, one has a name like ours."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableCluster]:
    with killable_cluster(tmp_path_factory.mktemp("k"), guests="simulated", servers=1, agents=2) as cluster:
        for name, vmid in FOREIGN.items():
            cluster.call("POST", "/nodes/pve1/qemu", vmid=vmid, name=name, memory=512)
        yield cluster


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableCluster]:
    reason = why_not("container")
    if reason is not None:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("k")
    with bridge(), killable_cluster(directory, guests="container", servers=1, agents=2) as cluster:
        for name, vmid in FOREIGN.items():
            cluster.call("POST", "/nodes/pve1/qemu", vmid=vmid, name=name, memory=512)
        yield cluster


def at_boundary(number: int) -> Callable[[int], bool]:
    return lambda boundaries: boundaries >= number


def after(seconds: float) -> Callable[[int], bool]:
    end_s = time.monotonic() + seconds
    return lambda _boundaries: time.monotonic() >= end_s


def finish(cluster: KillableCluster, command: str) -> Ended:
    ended = cluster.run(command)
    assert ended.code == 0, f"{command} after a kill: exit {ended.code}: {ended.error}"
    return ended


def check_up(cluster: KillableCluster) -> None:
    expected = {"demo-cp-1", "demo-workers-1", "demo-workers-2"}
    vms = cluster.vms()
    assert set(vms) == expected | set(FOREIGN)
    assert FOREIGN.items() <= vms.items()
    assert cluster.status() == tuple((name, "running", True) for name in sorted(expected))
    assert cluster.kubeconfig_contexts() == ["demo"]
    assert cluster.volume_owners() <= {9000, *vms.values()}


def check_down(cluster: KillableCluster) -> None:
    assert cluster.vms() == FOREIGN
    assert cluster.kubeconfig_contexts() == []
    assert cluster.volume_owners() <= {9000}


def sweep(
    cluster: KillableCluster, command: str, undo: str, check: Callable[[KillableCluster], None], *, every: int = 1
) -> int:
    """Kill a command at its 1st, 2nd, ... boundary (or each `every`th) until it gets through; then finish and check."""
    kills = 0
    while True:
        ended = cluster.run(command, until=at_boundary(kills * every + 1))
        finish(cluster, command)
        check(cluster)
        if not ended.killed:
            return kills
        kills += 1
        finish(cluster, undo)


def test_up_killed_at_every_step_boundary(simulated: KillableCluster) -> None:
    kills = sweep(simulated, "up", "down", check_up)
    print(f"\nup: {kills} kills")
    assert kills >= 22, "a server, two agents, and the lanes for k3s and the kubeconfig have that many steps"


def test_down_killed_at_every_step_boundary(simulated: KillableCluster) -> None:
    finish(simulated, "up")
    kills = sweep(simulated, "down", "up", check_down)
    print(f"\ndown: {kills} kills")
    assert kills >= 6
    finish(simulated, "down")


def check_workers(number: int) -> Callable[[KillableCluster], None]:
    """What must stand once the pool has its size: nobody left over, nobody marked, nobody cordoned."""

    def check(cluster: KillableCluster) -> None:
        vms = {name: vmid for name, vmid in cluster.vms().items() if name not in FOREIGN}
        assert FOREIGN.items() <= cluster.vms().items()
        assert len(vms) == number + 1
        assert cluster.status(workers=number) == tuple((name, "running", True) for name in sorted(vms))
        assert cluster.volume_owners() <= {9000, *cluster.vms().values()}

    return check


@pytest.mark.parametrize(("number", "least"), [(3, 5), (1, 3)])
def test_scale_killed_at_every_step_boundary(simulated: KillableCluster, number: int, least: int) -> None:
    finish(simulated, "up")
    kills = sweep(simulated, f"scale {number}", "scale 2", check_workers(number), every=2)
    print(f"\nscale {number}: {kills} kills")
    assert kills >= least
    finish(simulated, "down")


@pytest.mark.parametrize("command", ["replace", "replace first"])
def test_replace_killed_at_every_step_boundary(simulated: KillableCluster, command: str) -> None:
    finish(simulated, "up")
    kills = sweep(simulated, command, "up", check_workers(2), every=3)
    print(f"\n{command}: {kills} kills")
    assert kills >= 7
    finish(simulated, "down")


def random_kills(cluster: KillableCluster, *, kills: int, seed: int, longest_s: float) -> None:
    """Kill `up` and `down` in turn, several times each, at random instants; then let them finish, and check."""
    chance = random.Random(seed)
    done = 0
    while done < kills:
        for command, check in (("up", check_up), ("down", check_down)):
            for _ in range(chance.randint(1, 8)):
                ended = cluster.run(command, until=after(chance.uniform(0.0, longest_s)))
                done += ended.killed
                assert ended.killed or ended.code == 0, ended.error
            finish(cluster, command)
            check(cluster)
    print(f"\n{done} kills at random instants, seed {seed}")


def test_up_and_down_killed_at_random_instants(simulated: KillableCluster) -> None:
    random_kills(simulated, kills=RANDOM_KILLS, seed=SEED, longest_s=1.2)


@pytest.mark.container
def test_up_and_down_killed_on_container_guests(container: KillableCluster) -> None:
    random_kills(container, kills=6, seed=SEED, longest_s=6.0)
