"""Who may change a VM's options can write our lock record into it: such a VM is neither taken over nor removed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.clusters import all_clusters
from bootstrap.commands.verbs.adopt import Adopt
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.model.ids import Vmid
from bootstrap.records.vms.lock import LockRecord
from bootstrap.records.vms.seal import SEAL
from tests.fakes.keys import FakeKeys, unsealed
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import FakeVm, World
from tests.fakes.world.markers import lock_text, marker_vm

LAST = Vmid(7999)
SPEC = cluster(1, 1)
DEAD = LockRecord(cluster=DEMO, who="me@here", pid=42, process="here/42", run="abc", command="up", since="long ago")


def by_hand(vm: FakeVm) -> None:
    vm.description = unsealed(vm.description)


def with_a_key_of_ones_own(vm: FakeVm) -> None:
    vm.description = lock_text(vm, DEAD, keys=FakeKeys("a neighbour's"))


def copied_from_another_marker(vm: FakeVm) -> None:
    vm.description = marker_vm(DEAD).description


def on_a_vm_with_a_disk(vm: FakeVm) -> None:
    """Even with our own signature: nobody's data goes with a marker."""
    vm.settings["scsi0"] = "local:7999/vm-7999-disk-0.qcow2,size=3G"


def built() -> World:
    world = World(dead={"here/42"})
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    world.journal.clear()
    return world


@pytest.mark.parametrize("forge", [by_hand, with_a_key_of_ones_own, copied_from_another_marker, on_a_vm_with_a_disk])
def test_a_forged_marker_is_neither_taken_over_nor_removed(forge: Callable[[FakeVm], None]) -> None:
    """One with a disk of 3 GiB was, and the disk with it: its holder seemed dead."""
    world = built()
    forgery = world.vms[LAST] = marker_vm(DEAD)
    forge(forgery)
    before = deepcopy(forgery)
    world.vms[Vmid(7001)].running = False
    with pytest.raises(PreflightError, match="has an invalid lock record") as caught:
        Up().plan(SPEC, world.ports)
    assert "`homelab-k8s adopt demo`" in caught.value.resolution
    plan = Down().plan(SPEC, world.ports)
    assert not plan.marked
    assert [note for note in plan.notes if note.startswith("demo-lock (vmid 7999 on pve1) is ignored: it")]
    with pytest.raises(HomelabError, match="has an invalid lock record"):
        Down().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert world.vms[LAST] == before
    assert not any(summary.at_work for summary in all_clusters(world.ports))
    assert world.journal == []


def test_a_signed_marker_of_a_dead_holder_is_taken_over_by_who_has_the_key_and_removed() -> None:
    world = built()
    world.vms[LAST] = marker_vm(DEAD)
    assert Up().plan(SPEC, world.ports).marked
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert LAST not in world.vms


def test_a_marker_that_a_holder_makes_bears_its_signature_and_no_disk() -> None:
    world = World()
    seen: list[FakeVm] = []
    world.on_look = lambda: seen.extend(deepcopy(vm) for vm in world.vms.values() if vm.vmid == LAST)
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert seen
    assert all(SEAL in vm.description and not vm.drives for vm in seen)


def test_the_lock_that_an_earlier_release_left_is_adopted_with_its_cluster() -> None:
    world = built()
    for vm in world.vms.values():
        vm.description = unsealed(vm.description)
    marker = world.vms[LAST] = marker_vm(DEAD)
    by_hand(marker)
    plan = Adopt().plan(SPEC, world.ports)
    assert "the lock that VM 7999 (demo-lock) on pve1 holds is signed too: it has no disks" in plan.notes
    Adopt().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert LAST not in world.vms, "taken over, and given back"
    assert Up().plan(SPEC, world.ports).empty


def test_a_lock_with_a_disk_is_not_even_adopted() -> None:
    world = built()
    marker = world.vms[LAST] = marker_vm(DEAD)
    by_hand(marker)
    on_a_vm_with_a_disk(marker)
    assert Adopt().plan(SPEC, world.ports).empty
    before = deepcopy(marker)
    with pytest.raises(PreflightError, match="has an invalid lock record"):
        Adopt().run(
            replace(Adopt().plan(SPEC, world.ports), marked=True),
            SPEC,
            world.ports,
            sink=lambda _event: None,
            options=RunOptions(),
        )
    assert world.vms[LAST] == before


def test_a_down_that_is_killed_before_it_gives_the_lock_back_can_be_run_again() -> None:
    """Its marker is signed with a key that follows from the cluster's SSH key: that goes last."""
    world = built()
    world.state[DEMO, "id_ed25519"] = "the cluster's own SSH key"
    kept: list[bool] = []

    def look() -> None:
        if not [vm for vm in world.vms.values() if vm.vmid != LAST]:
            kept.append((DEMO, "id_ed25519") in world.state)

    world.on_look = look
    Down().run(Down().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert kept
    assert all(kept)
    assert not [key for key in world.state if key[0] == DEMO]


def test_the_lock_of_a_down_that_is_killed_when_its_key_is_gone_is_believed() -> None:
    """Seen with a kill just before the marker goes: a new key was made, and nobody could take the lock any more."""
    world = built()
    world.markers_stay = True
    Down().run(Down().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert list(world.vms) == [LAST]
    assert DEMO in world.keys.lacks
    world.markers_stay = False
    world.dead.add(world.ports.processes.this().mark)
    Up().run(Up().plan(SPEC, world.ports), SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert LAST not in world.vms
    assert Up().plan(SPEC, world.ports).empty
