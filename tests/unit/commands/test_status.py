"""What `status` makes of a cluster: what it runs on, and each difference with the command that fixes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.rebuild_state import write_rebuild
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.reports.status_values import ClusterStatus, Datastore
from bootstrap.commands.verbs.up import Up
from bootstrap.model.cluster import ClusterSpec, VipSpec
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import KubeNode, Snapshot
from bootstrap.records.state.rebuild_note import RebuildNote, Stage
from bootstrap.records.vms.lock import LockRecord
from bootstrap.records.vms.machine import read_record
from tests.fakes.keys import sealed
from tests.fakes.specs import DEMO, cluster, control_plane, workers
from tests.fakes.world import FakeVm, World
from tests.fakes.world.markers import marker_vm

RUNS = "v1.33.3+k3s1"


def built(spec: ClusterSpec) -> World:
    world = World()
    Up().run(Up().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())
    return world


def seen(world: World, spec: ClusterSpec) -> ClusterStatus:
    return cluster_status(spec, world.ports)


def vm(world: World, name: str) -> FakeVm:
    found = world.vm_named(name)
    assert found is not None
    return found


def change_node(world: World, name: str, **changes: object) -> None:
    node = world.kube_nodes[MachineName(name)]
    world.kube_nodes[node.name] = replace(node, **changes)  # type: ignore[arg-type]


def mark_leaving(world: World, name: str) -> None:
    machine = vm(world, name)
    record = read_record(machine.description)
    assert record is not None
    machine.description = sealed(replace(record, state=RecordState.LEAVING), machine.smbios_uuid)


def test_a_cluster_as_it_should_be_has_nothing_to_mend() -> None:
    status = seen(built(cluster(3, 2)), cluster(3, 2))
    assert status.healthy
    assert status.datastore == Datastore(kind="etcd", members=3, ready=3)
    assert all(machine.wanted is not None and machine.differs == () for machine in status.machines)
    assert not any(machine.cordoned or machine.leaving or machine.holds_vip for machine in status.machines)


@pytest.mark.parametrize(
    ("members", "ready", "text"),
    [
        (1, 1, "etcd: 1 member, 1 Ready, quorum 1"),
        (3, 2, "etcd: 3 members, 2 Ready, quorum 2"),
        (5, 3, "etcd: 5 members, 3 Ready, quorum 3"),
    ],
)
def test_etcd_is_told_with_its_majority(members: int, ready: int, text: str) -> None:
    assert str(Datastore(kind="etcd", members=members, ready=ready)) == text


def test_a_server_that_is_down_still_is_a_member() -> None:
    world = built(cluster(3, 0))
    vm(world, "demo-cp-2").running = False
    status = seen(world, cluster(3, 0))
    assert str(status.datastore) == "etcd: 3 members, 2 Ready, quorum 2"
    assert status.problems == ("demo-cp-2: powered off: `homelab-k8s up`",)


def test_other_sizes_and_cpus_want_a_replacement() -> None:
    world = built(cluster(3, 1))
    wanted = replace(
        cluster(3, 1),
        control_plane=control_plane(3, memory_mib=4096),
        workers=(replace(workers(1, cores=4), disk_gib=40),),
    )
    status = seen(world, wanted)
    assert status.problems[0] == (
        "demo-cp-1 has 2048 MiB of memory instead of 4096, and `up` does not resize existing machines: "
        "`homelab-k8s replace demo-cp-1`"
    )
    assert status.machines[3].differs == ("2 cores instead of 4", "20 GiB of disk instead of 40")
    assert status.problems[3].endswith("`homelab-k8s replace demo-workers-1`")


def test_a_larger_disk_is_no_difference() -> None:
    assert seen(built(cluster()), replace(cluster(), workers=(replace(workers(), disk_gib=10),))).healthy


def test_a_server_with_sqlite_cannot_be_replaced_and_is_rebuilt() -> None:
    wanted = replace(cluster(), control_plane=control_plane(1, cores=4))
    (problem,) = seen(built(cluster()), wanted).problems
    assert problem.endswith("`homelab-k8s rebuild --restore latest`")


def test_servers_that_a_sqlite_cluster_lacks_come_by_scale() -> None:
    problems = seen(built(cluster(1, 0)), cluster(3, 0)).problems
    assert problems == tuple(f"demo-cp-{n}: VM missing: `homelab-k8s scale control-plane 3`" for n in (2, 3))
    assert seen(built(cluster(3, 0)), cluster(5, 0)).problems[0] == "demo-cp-4: VM missing: `homelab-k8s up`"


def test_too_many_machines_and_those_on_their_way_out_go_by_scale() -> None:
    world = built(cluster(1, 3))
    mark_leaving(world, "demo-workers-1")
    status = seen(world, cluster(1, 1))
    gone = [problem for problem in status.problems if problem.endswith("`homelab-k8s scale`")]
    assert len(gone) == 2
    assert any("demo-workers-1 (vmid 7001 on pve1) was being removed" in problem for problem in gone)
    assert [machine.name for machine in status.machines if machine.leaving] == ["demo-workers-1"]


def test_a_pool_that_the_inventory_forgot_has_to_be_named_first() -> None:
    world = built(replace(cluster(1, 1), workers=(workers(1), workers(1, name="gpu"))))
    (problem,) = seen(world, cluster(1, 1)).problems
    assert "its pool gpu is not in the inventory" in problem
    assert problem.endswith("add `pools: {gpu: {count: 0}}` to the inventory, then `homelab-k8s scale`")


@pytest.mark.parametrize(
    ("runs", "wanted", "ending"),
    [
        ((RUNS, RUNS), None, None),
        ((RUNS, RUNS), RUNS, None),
        ((RUNS, RUNS), "v1.34.1+k3s1", "`homelab-k8s upgrade --to v1.34.1+k3s1`"),
        (("v1.34.1+k3s1", RUNS), "v1.34.1+k3s1", "`homelab-k8s upgrade --to v1.34.1+k3s1`"),
        (("v1.34.1+k3s1", RUNS), None, "`homelab-k8s upgrade --to v1.34.1+k3s1`"),
        (("v1.34.10+k3s1", "v1.34.9+k3s1"), "v1.34.9+k3s1", "set `k3s: {version: v1.34.10+k3s1}` there"),
        (("v1.33.3+mine", "v1.33.3+mine"), RUNS, None),
    ],
)
def test_releases_are_told_where_they_differ(runs: tuple[str, str], wanted: str | None, ending: str | None) -> None:
    world = built(cluster(1, 1))
    for name, version in zip(("demo-cp-1", "demo-workers-1"), runs, strict=True):
        change_node(world, name, version=version)
    problems = seen(world, replace(cluster(1, 1), k3s=replace(cluster().k3s, version=wanted))).problems
    assert len(problems) == (ending is not None)
    assert all(problem.endswith(str(ending)) for problem in problems)


def test_a_cordoned_machine_is_told_unless_it_leaves_anyway() -> None:
    world = built(cluster(1, 2))
    change_node(world, "demo-workers-1", unschedulable=True)
    change_node(world, "demo-workers-2", unschedulable=True)
    mark_leaving(world, "demo-workers-2")
    problems = seen(world, cluster(1, 1)).problems
    cordoned = [problem for problem in problems if "cordoned" in problem]
    assert len(cordoned) == 1
    assert cordoned[0].endswith("`kubectl uncordon demo-workers-1`")


def test_a_vip_that_nobody_holds_is_a_problem_where_all_servers_were_asked() -> None:
    spec = replace(cluster(1, 0), vip=VipSpec(address=IPv4Address("192.0.2.250")))
    world = built(cluster(1, 0))
    status = seen(world, spec)
    assert status.vip is not None
    assert status.vip.holder is None
    assert "no server has the API's VIP 192.0.2.250: `homelab-k8s up`" in status.problems
    world.silent.add("demo-cp-1")
    assert not [problem for problem in seen(world, spec).problems if "own address 192.0.2.250" in problem]


@pytest.mark.parametrize(("days", "said"), [(89.0, "ends in 89 days"), (-2.0, "ended 2 days ago")])
def test_a_certificate_that_ends_soon_is_renewed_by_a_restart(days: float, said: str) -> None:
    world = built(cluster(1, 0))
    world.api_days = days
    (problem,) = seen(world, cluster(1, 0)).problems
    assert said in problem
    assert problem.endswith("`homelab-k8s ssh demo-cp-1 -- sudo systemctl restart k3s`")


def test_without_a_certificate_there_is_none_and_no_error() -> None:
    world = built(cluster(1, 0))
    world.api_days = None
    status = seen(world, cluster(1, 0))
    assert (status.certificate, status.healthy) == (None, True)


def test_the_newest_usable_snapshot_counts() -> None:
    world = built(cluster(3, 0))
    now_s = world.ports.processes.unix_s()
    server = MachineName("demo-cp-1")
    world.snapshots = (
        Snapshot(name="a", machine=server, location="file:///a", made=datetime.fromtimestamp(now_s - 90, UTC)),
        Snapshot(
            name="b", machine=server, location="s3://b", made=datetime.fromtimestamp(now_s - 60, UTC), problem="x"
        ),
        Snapshot(name="c", machine=server, location="file:///c"),
    )
    told = seen(world, cluster(3, 0)).snapshots
    assert told is not None
    assert told.newest is not None
    assert (told.count, told.newest.name, told.age_s) == (3, "a", 90.0)


def test_a_node_that_somebody_has_joined_is_no_trouble_and_one_that_ours_left_behind_is() -> None:
    world = built(cluster(1, 0))
    world.kube_nodes[MachineName("pi")] = KubeNode(name=MachineName("pi"), ready=True, version=RUNS)
    assert seen(world, cluster(1, 0)).healthy
    left = MachineName("demo-gone-1")
    world.kube_nodes[left] = KubeNode(name=left, ready=False, version=RUNS)
    (problem,) = seen(world, cluster(1, 0)).problems
    assert problem.startswith("Kubernetes node demo-gone-1 has no machine of this cluster")


def test_a_server_that_was_replaced_a_moment_ago_is_no_member_and_no_leftover() -> None:
    """Kubernetes holds its node until the server's lease has expired: `status` said "4 members, 3 Ready"."""
    world = built(cluster(3, 0))
    gone = replace(
        world.kube_nodes[MachineName("demo-cp-1")], name=MachineName("demo-cp-9"), ready=False, deleting=True
    )
    world.kube_nodes[gone.name] = gone
    status = seen(world, cluster(3, 0))
    assert str(status.datastore) == "etcd: 3 members, 3 Ready, quorum 2"
    assert status.healthy


def test_a_rebuild_that_was_cut_off_is_told_first() -> None:
    world = built(cluster(1, 0))
    write_rebuild(DEMO, RebuildNote(stage=Stage.TEARING_DOWN, version=RUNS, pools=()), world.ports)
    assert seen(world, cluster(1, 0)).problems[0].endswith("`homelab-k8s rebuild`")
    world.state[DEMO, "rebuild"] = "damaged"
    assert "damaged" in seen(world, cluster(1, 0)).problems[0]


def test_who_is_at_work_is_told_and_no_problem() -> None:
    world = built(cluster(1, 0))
    record = LockRecord(cluster=DEMO, who="you@there", pid=4, process="", run="r", command="scale", since="noon")
    world.vms[Vmid(7999)] = marker_vm(record)
    status = seen(world, cluster(1, 0))
    assert status.at_work == "you@there (process 4), running `scale` since noon by its clock"
    assert status.healthy


def test_every_line_ends_in_a_command() -> None:
    world = built(cluster(3, 3))
    vm(world, "demo-workers-1").running = False
    vm(world, "demo-cp-3").settings["cores"] = 8
    del world.vms[vm(world, "demo-cp-2").vmid]
    change_node(world, "demo-workers-2", unschedulable=True)
    mark_leaving(world, "demo-workers-3")
    spec = replace(cluster(3, 2), k3s=replace(cluster().k3s, version="v1.34.1+k3s1"))
    problems = seen(world, spec).problems
    assert len(problems) >= 6
    assert [problem for problem in problems if not problem.endswith("`")] == []
