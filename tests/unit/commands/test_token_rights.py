"""What a command asks the token's rights for, and what it says to a token that sees nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootstrap.commands.access.remote_access import login_to
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.privileges import new_vmids, rights_needed
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import PreflightError
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import CloneMode, ClusterSpec, TemplateRef, VmidRange
from bootstrap.model.ids import StorageName, Vmid
from bootstrap.model.machine import MachineKind, PoolNetwork, RecordState
from bootstrap.planning.checks.doctor import Verdict
from bootstrap.ports import Ports
from bootstrap.records.vms.lock import LockRecord, check_lock_place
from bootstrap.records.vms.machine import read_record
from tests.fakes.keys import sealed
from tests.fakes.seen import seen, vm
from tests.fakes.specs import DEMO, cluster, control_plane
from tests.fakes.world import TEMPLATE, World, pve_node
from tests.fakes.world.facts import EVERYTHING
from tests.fakes.world.markers import marker_vm
from tests.unit.commands.test_containers import SPEC as LXC
from tests.unit.commands.test_containers import world as world_of_containers
from tests.unit.commands.test_doctor import PINNED

REMEDY = "pveum role add homelab-k8s 2>/dev/null; pveum ..."
NO_AUDIT = MissingPrivileges(path="/vms", privileges=("VM.Allocate", "VM.Audit"), remedy=REMEDY)
STOCK = (
    replace(EVERYTHING, content=frozenset({"backup", "iso", "vztmpl"}), free_gib=90),
    replace(EVERYTHING, name=StorageName("local-lvm"), kind="lvmthin", content=frozenset({"images", "rootdir"})),
)
PASTE = "pvesm set local --content backup,iso,vztmpl,import"
IMAGE = replace(cluster(agents=1), template=TemplateRef(image="debian-13"))


def in_pool(spec: ClusterSpec) -> ClusterSpec:
    return replace(spec, placement=replace(spec.placement, resource_pool="kpool"))


def test_status_does_not_take_a_cluster_for_missing_where_no_vm_can_be_seen() -> None:
    told = cluster_status(cluster(agents=1), World(missing=(NO_AUDIT,)).ports)
    assert told.machines == ()
    (problem,) = told.problems
    assert problem == (
        "this token may not see VMs (no VM.Audit on /vms), so it is unknown whether the cluster exists; as root on a "
        f"Proxmox node: {REMEDY}"
    )
    assert "does not exist" in cluster_status(cluster(agents=1), World().ports).problems[0]


@pytest.mark.parametrize(
    "act",
    [
        Down().plan,
        RotateToken().plan,
        Backup().plan,
        lambda spec, ports: login_to("cp-1", spec, ports),
    ],
)
def test_other_commands_do_not_either(act: Callable[[ClusterSpec, Ports], object]) -> None:
    with pytest.raises(
        PreflightError, match="this token may not see VMs, so it is unknown whether demo exists"
    ) as caught:
        act(cluster(agents=1), World(missing=(NO_AUDIT,)).ports)
    assert REMEDY in caught.value.resolution


def test_a_token_that_sees_the_machines_is_not_asked_further() -> None:
    world, spec = World(), cluster(agents=1)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    world.missing = (NO_AUDIT,)
    assert cluster_status(spec, world.ports).healthy, "its pool's rights show them"


def test_rights_are_asked_on_the_vmids_that_machines_get_and_have() -> None:
    spec = replace(
        cluster(agents=2), placement=replace(cluster().placement, vmids=VmidRange(first=Vmid(7000), last=Vmid(7019)))
    )
    there = seen(vm(control_plane(), 1))
    rights = rights_needed(spec, (), there)
    assert rights.own_vmids == (7001,)
    assert rights.vmids == (7000, 7002, 7019), "two workers, and the marker"
    assert rights.tags == ("demo", "homelab-k8s")
    tagged = replace(spec, tags=("production",), workers=(replace(spec.workers[0], tags=("rack-2",)),))
    assert rights_needed(tagged, (), there).tags == ("demo", "homelab-k8s", "production", "rack-2")
    assert new_vmids(spec, seen())[-1] == 7019


def test_a_vlan_tag_is_asked_for_in_place_of_the_whole_bridge() -> None:
    spec = cluster(agents=1)
    tagged = replace(spec, network=replace(spec.network, bridge="vmbr1", vlan=20))
    assert rights_needed(tagged, (), seen()).bridges == ("vmbr1/20",)
    own = replace(tagged.workers[0], network=PoolNetwork(bridge="vmbr2"))
    assert rights_needed(replace(tagged, workers=(own,)), (), seen()).bridges == ("vmbr1/20", "vmbr2")
    of_template = replace(spec, network=replace(spec.network, vlan=30))
    assert rights_needed(of_template, (TEMPLATE,), seen()).bridges == ("vmbr0/30",)


def test_a_storage_is_asked_for_only_where_disks_go() -> None:
    linked = replace(cluster(), placement=replace(cluster().placement, storage=StorageName("fast")))
    rights = rights_needed(linked, (TEMPLATE,), seen())
    assert (rights.storages, rights.templates) == ((), (TEMPLATE,)), "linked clones stay on the template's"
    full = rights_needed(replace(linked, clone=CloneMode.FULL), (TEMPLATE,), seen())
    assert full.storages == ("fast",)
    assert full.templates[0].storage is None, "nothing is put on the template's"


def test_a_custom_cpu_model_is_asked_for() -> None:
    spec = replace(cluster(), control_plane=replace(control_plane(), cpu_type="custom-avx512"))
    assert rights_needed(spec, (), seen()).cpu_models == ("avx512",)
    assert rights_needed(cluster(), (), seen()).cpu_models == ()


def test_a_marker_without_tags_is_one_in_the_making() -> None:
    """In a resource pool its tags come after it: who plans meanwhile must not take it for somebody else's VM."""
    record = LockRecord(cluster=DEMO, who="me@there", pid=1, process="there/1", run="r", command="up", since="")
    spec = in_pool(cluster())
    last = spec.placement.vmids.last
    marker = marker_vm(record, vmid=last, tags="")
    check_lock_place(spec, [marker.record()])
    with pytest.raises(PreflightError, match="is in use"):
        check_lock_place(spec, [replace(marker.record(), name="somebody-elses", description="", doubt="")])


def test_containers_in_a_resource_pool_get_their_tags_when_they_are_in_it() -> None:
    spec, world = in_pool(LXC), world_of_containers()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    made = [one for one in world.vms.values() if one.kind is MachineKind.LXC]
    assert made
    for one in made:
        record = read_record(one.description)
        assert record is not None
        assert (one.tags, record.state) == ("demo;homelab-k8s", RecordState.MADE)
    assert Up().plan(spec, world.ports).empty


def test_a_container_whose_run_ended_before_its_tags_is_gone_on_with() -> None:
    spec, world = in_pool(LXC), world_of_containers()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    one = next(one for one in world.vms.values() if one.kind is MachineKind.LXC)
    record = read_record(one.description)
    assert record is not None
    one.tags, one.running = "", False
    one.description = sealed(replace(record, state=RecordState.CLONING), one.record().identity)
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert one.tags == "demo;homelab-k8s"
    assert Up().plan(spec, world.ports).empty


def test_without_import_content_up_and_doctor_say_so_before_anything_is_asked_of_a_publisher() -> None:
    world = World(templates=[], pve_nodes=[replace(pve_node(), storages=STOCK)])
    with pytest.raises(PreflightError, match="no storage of pve1 takes import content") as caught:
        Up().plan(IMAGE, world.ports)
    assert caught.value.resolution.splitlines() == ["as root on a Proxmox node:", PASTE]
    assert world.journal == []
    check = next(check for check in diagnose(IMAGE, PINNED, world.ports).checks if check.name == "template")
    assert check.verdict is Verdict.FAILED
    assert PASTE in check.remedy.splitlines()
