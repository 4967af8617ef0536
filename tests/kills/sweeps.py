"""How commands are killed, run again, and what must stand then."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.kills.cluster import Ended, KillableCluster

SEED = 20260501
FOREIGN = {"somebody-elses": 7001, "demo-workers-9": 7950}
"""One sits on a vmid of ours, one has a name like ours."""

Check = Callable[[KillableCluster], None]


def add_foreign(cluster: KillableCluster) -> None:
    """Make the VMs that no command may touch."""
    for name, vmid in FOREIGN.items():
        cluster.call("POST", "/nodes/pve1/qemu", vmid=vmid, name=name, memory=512)


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


def check_workers(number: int) -> Check:
    """What must stand once the pool has its size: nobody left over, nobody marked, nobody cordoned."""

    def check(cluster: KillableCluster) -> None:
        vms = {name: vmid for name, vmid in cluster.vms().items() if name not in FOREIGN}
        assert FOREIGN.items() <= cluster.vms().items()
        assert len(vms) == number + 1
        assert cluster.status(workers=number) == tuple((name, "running", True) for name in sorted(vms))
        assert cluster.volume_owners() <= {9000, *cluster.vms().values()}

    return check


@dataclass
class Sweep:
    """A command that is killed at its 1st, 2nd, ... boundary, or at each `every`th, until it gets through.

    Attributes:
        kills: How often it was.
        through: Whether it got through.
    """

    command: str
    check: Check
    every: int = 1
    kills: int = 0
    through: bool = False

    def go_on(self, cluster: KillableCluster) -> None:
        """Kill it at the next boundary, where it has one; then finish and check."""
        if not self.through:
            ended = cluster.run(self.command, until=at_boundary(self.kills * self.every + 1))
            self.through = not ended.killed
            self.kills += ended.killed
        finish(cluster, self.command)
        self.check(cluster)


def sweep(cluster: KillableCluster, *sweeps: Sweep) -> list[int]:
    """Sweep through commands that follow each other in turn, and say how often each was killed."""
    while not all(one.through for one in sweeps):
        for one in sweeps:
            one.go_on(cluster)
    kills = [one.kills for one in sweeps]
    print("\n" + ", ".join(f"{one.command}: {one.kills} kills" for one in sweeps))
    return kills


def time_of(cluster: KillableCluster, command: str) -> float:
    """How long a command takes that nobody kills, in seconds."""
    began_s = time.monotonic()
    finish(cluster, command)
    return time.monotonic() - began_s


def random_kills(cluster: KillableCluster, *, kills: int, up_s: float, down_s: float) -> None:
    """Kill `up` and `down` in turn, several times each, at any instant; then let them finish, and check.

    Args:
        cluster: Which does not exist.
        kills: How many at least.
        up_s: When `up` is killed at the latest, after its start.
        down_s: And `down`.
    """
    chance = random.Random(SEED)
    done = 0
    while done < kills:
        for command, longest_s, check in (("up", up_s, check_up), ("down", down_s, check_down)):
            for _ in range(chance.randint(1, 8)):
                ended = cluster.run(command, until=after(chance.uniform(0.0, longest_s)))
                done += ended.killed
                assert ended.killed or ended.code == 0, ended.error
            finish(cluster, command)
            check(cluster)
    print(f"\n{done} kills at random instants, seed {SEED}")
