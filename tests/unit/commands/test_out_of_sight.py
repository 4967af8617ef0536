"""Machines on a Proxmox node that does not answer: nothing is doubled, nothing forgotten, and every command says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.clusters import all_clusters
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.backup import Backup
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.rebuild import Rebuild
from bootstrap.commands.verbs.replace import Replace
from bootstrap.commands.verbs.restore import Restore
from bootstrap.commands.verbs.rotate import RotateToken
from bootstrap.commands.verbs.scale import Scale
from bootstrap.commands.verbs.up import Up
from bootstrap.commands.verbs.upgrade import Upgrade
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import ClusterSpec, StaticAddresses
from bootstrap.model.ids import MachineName, PoolName, PveNodeName, Vmid
from bootstrap.model.machine import RecordState
from bootstrap.planning.verbs.replace import ReplaceOptions
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import TEMPLATE, FakeVm, World, pve_node

PVE2 = PveNodeName("pve2")
WORKERS = PoolName("workers")
POOL = ReplaceOptions(pool=WORKERS)
ENDPOINT = PveEndpoint(
    url="https://192.0.2.1:8006", token=ApiToken(user="a@pve", name="b", secret="c"), tls=TlsSpec(insecure=True)
)


def two_nodes() -> World:
    second = replace(TEMPLATE, pve_node=PVE2, vmid=Vmid(9001))
    return World(pve_nodes=[pve_node("pve1"), pve_node("pve2")], templates=[TEMPLATE, second])


def up(world: World, spec: ClusterSpec, *lost: MachineName) -> None:
    plan = Up(replace_unreachable=lost).plan(spec, world.ports)
    options = RunOptions()
    Up(replace_unreachable=lost).run(plan, spec, world.ports, sink=lambda _event: None, options=options)


def down(world: World, spec: ClusterSpec) -> None:
    Down().run(Down().plan(spec, world.ports), spec, world.ports, sink=lambda _event: None, options=RunOptions())


def lose(world: World, name: str, *, why: str = "", running: bool = False) -> FakeVm:
    """Put a machine on the second Proxmox node, which cannot be asked from now on."""
    vm = world.vm_named(name)
    assert vm is not None
    vm.pve_node, vm.running = PVE2, running
    for other in world.vms.values():
        if other is not vm:
            other.pve_node = PveNodeName("pve1")
    world.unasked[PVE2] = why
    return vm


@pytest.fixture
def spec() -> ClusterSpec:
    return cluster(agents=3)


@pytest.fixture
def world(spec: ClusterSpec) -> World:
    """A cluster one worker of which is out of sight."""
    world = two_nodes()
    up(world, spec)
    lose(world, "demo-workers-1")
    world.journal.clear()
    return world


@pytest.mark.parametrize("nameless", [False, True])
@pytest.mark.parametrize("why", ["", "595 No route to host"])
@pytest.mark.parametrize("node_left", [True, False])
def test_up_makes_nothing_in_its_place(
    world: World, spec: ClusterSpec, nameless: bool, why: str, node_left: bool
) -> None:
    world.nameless, world.unasked[PVE2] = nameless, why
    if not node_left:
        del world.kube_nodes[MachineName("demo-workers-1")]
    plan = Up().plan(spec, world.ports)
    assert plan.empty
    (line,) = plan.unreached
    assert "unreachable" in line
    assert "on pve2, which " + (f"does not answer: {why}" if why else "is offline") in line
    assert line in plan.notes
    kept = {machine.spec.name: machine.reason for machine in plan.machines}
    assert kept[MachineName("demo-workers-1")]
    assert world.journal == []


def test_one_without_a_name_that_is_still_ready_is_shown_under_its_own(world: World, spec: ClusterSpec) -> None:
    lost = world.vm_named("demo-workers-1")
    assert lost is not None
    lost.running, world.nameless = True, True
    assert [row.name for row in cluster_status(spec, world.ports).machines if row.vm == "out of sight"] == [lost.name]


def test_a_machine_that_is_seen_is_repaired_all_the_same(world: World, spec: ClusterSpec) -> None:
    seen = world.vm_named("demo-workers-2")
    assert seen is not None
    seen.running = False
    up(world, spec)
    assert [call for call in world.journal if call.startswith(("start", "clone"))] == ["start demo-workers-2"]


def test_a_missing_machine_of_another_name_is_made_only_while_names_are_known(world: World, spec: ClusterSpec) -> None:
    more = cluster(agents=4)
    world.nameless = True
    assert Up().plan(more, world.ports).empty
    world.nameless = False
    up(world, more)
    assert [call for call in world.journal if call.startswith("clone")] == ["clone demo-workers-4"]


def test_no_address_that_it_may_have_is_handed_out(spec: ClusterSpec) -> None:
    addresses = StaticAddresses(
        first=IPv4Address("192.0.2.50"), last=IPv4Address("192.0.2.60"), subnet=IPv4Network("192.0.2.0/24")
    )
    spec = replace(spec, network=replace(spec.network, addresses=addresses))
    world = two_nodes()
    up(world, spec)
    lost = lose(world, "demo-workers-1")
    taken = {vm.address for vm in world.vms.values()}
    more = replace(spec, workers=(replace(spec.workers[0], count=4),))
    # Kubernetes knows the address of its node: that one is passed over.
    (new,) = [machine.spec for machine in Up().plan(more, world.ports).machines if machine.action == "create"]
    assert new.address not in taken
    # Nobody knows it: no machine is made, since it may get that very address.
    del world.kube_nodes[MachineName(lost.name)]
    assert Up().plan(more, world.ports).empty


def test_another_clusters_machine_holds_nothing_up(world: World, spec: ClusterSpec) -> None:
    world.vms[Vmid(8100)] = FakeVm(Vmid(8100), "demo-two-cp-1", PVE2, tags="demo-two;homelab-k8s")
    lost = world.vm_named("demo-workers-1")
    assert lost is not None
    del world.vms[lost.vmid]
    for world.nameless in (False, True):
        plan = Up().plan(spec, world.ports)
        assert plan.unreached == ()
        assert [machine.spec.name for machine in plan.machines if machine.action == "create"] == ["demo-workers-1"]


def test_a_second_cluster_is_not_founded_beside_a_server_out_of_sight(spec: ClusterSpec) -> None:
    world = two_nodes()
    up(world, spec)
    lose(world, "demo-cp-1", running=True)
    with pytest.raises(PreflightError, match="no server of demo answers, and none can be started") as refusal:
        Up().plan(spec, world.ports)
    assert "demo-cp-1 (vmid 7000 on pve2, which is offline)" in refusal.value.details
    assert "bring pve2 back" in refusal.value.resolution
    assert [call for call in world.journal if "init" in call] == []


@pytest.mark.parametrize("nameless", [False, True])
def test_status_says_so_and_does_not_advise_to_delete_the_node(world: World, spec: ClusterSpec, nameless: bool) -> None:
    world.nameless = nameless
    status = cluster_status(spec, world.ports)
    rows = {row.name: (row.vm, row.pve_node, row.ready) for row in status.machines}
    assert rows[MachineName("demo-workers-1")] == ("out of sight", "pve2", False)
    (problem,) = status.problems
    assert "unreachable (vmid" in problem
    assert "delete node" not in problem


def test_down_removes_the_rest_keeps_the_state_and_finishes_later(world: World, spec: ClusterSpec) -> None:
    plan = Down().plan(spec, world.ports)
    (line,) = plan.unreached
    assert line == (
        "demo-workers-1 (vmid 7001 on pve2, which is offline) is left: run `homelab-k8s down` again once pve2 is back"
    )
    down(world, spec)
    assert [vm.name for vm in world.vms.values()] == ["demo-workers-1"]
    assert world.state[DEMO, "token"]
    assert Down().plan(spec, world.ports).empty
    world.unasked.clear()
    down(world, spec)
    assert world.vms == {}
    assert world.state == {}


def test_down_does_not_forget_what_has_gone_out_of_sight_since_it_was_planned(world: World, spec: ClusterSpec) -> None:
    world.unasked.clear()
    plan = Down().plan(spec, world.ports)
    world.unasked[PVE2] = ""
    with pytest.raises(HomelabError, match="became unreachable since"):
        Down().run(plan, spec, world.ports, sink=lambda _event: None, options=RunOptions())
    assert len(world.vms) == 4
    assert world.state[DEMO, "token"]


PREPARES: dict[str, Callable[[ClusterSpec, World], object]] = {
    "replace it": lambda spec, world: Replace(replace(POOL, machines=(MachineName("demo-workers-1"),))).plan(
        spec, world.ports
    ),
    "scale down": lambda spec, world: Scale(counts={WORKERS: 2}).plan(spec, world.ports),
    "rebuild": lambda spec, world: Rebuild().plan(spec, world.ports),
    "upgrade": lambda spec, world: Upgrade(to="v1.33.4+k3s1").plan(spec, world.ports),
}


@pytest.mark.parametrize("what", PREPARES)
def test_what_needs_it_is_refused_with_one_and_the_same_way_out(world: World, spec: ClusterSpec, what: str) -> None:
    with pytest.raises(PreflightError, match="unreachable; nothing was changed") as refusal:
        PREPARES[what](spec, world)
    assert refusal.value.details == "demo-workers-1 (vmid 7001 on pve2, which is offline)"
    assert "`homelab-k8s up --replace-unreachable demo-workers-1`" in refusal.value.resolution


def test_a_restore_is_refused_while_a_server_is_out_of_sight(tmp_path: Path) -> None:
    spec = cluster(servers=3, agents=0)
    world = two_nodes()
    up(world, spec)
    lose(world, "demo-cp-3")
    snapshot = tmp_path / "snapshot"
    snapshot.write_text("data")
    with pytest.raises(PreflightError, match="demo cannot be restored while machines are unreachable"):
        Restore(snapshot=str(snapshot), directory=tmp_path).plan(spec, world.ports)


def test_scale_adds_nothing_that_may_be_there(world: World, spec: ClusterSpec) -> None:
    verb_options = Scale(counts={WORKERS: 4})
    assert [m.spec.name for m in verb_options.plan(spec, world.ports).machines if m.action == "create"] == [
        "demo-workers-4"
    ]
    world.nameless = True
    with pytest.raises(PreflightError, match="no machine can be added to demo while machines are unreachable"):
        verb_options.plan(spec, world.ports)


def test_replacing_the_pool_leaves_it_alone(world: World, spec: ClusterSpec) -> None:
    plan = Replace(POOL).plan(spec, world.ports)
    gone = [machine.spec.name for machine in plan.machines if machine.action == "destroy"]
    assert sorted(gone) == ["demo-workers-2", "demo-workers-3"]
    assert len([machine for machine in plan.machines if machine.action == "create"]) == 2


def test_commands_that_need_it_not_go_on_and_say_so(world: World, spec: ClusterSpec) -> None:
    for plan in (Backup().plan(spec, world.ports), RotateToken().plan(spec, world.ports)):
        assert any("demo-workers-1 is unreachable" in note for note in plan.notes)
    (summary,) = all_clusters(world.ports)
    assert summary.out_of_sight == 1
    world.nameless = True
    (summary,) = all_clusters(world.ports)
    assert summary.out_of_sight == 1
    (check,) = [check for check in diagnose(spec, ENDPOINT, world.ports).checks if check.name == "cluster"]
    assert "unreachable" in check.says


@pytest.mark.parametrize("nameless", [False, True])
def test_one_declared_lost_gets_a_successor_and_goes_when_it_is_back(
    world: World, spec: ClusterSpec, nameless: bool
) -> None:
    world.nameless = nameless
    name = MachineName("demo-workers-1")
    up(world, spec, name)
    assert [call for call in world.journal if call.startswith("clone")] == ["clone demo-workers-4"]
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-2", "demo-workers-3", "demo-workers-4"]
    # From now on nobody need say it again, from whichever computer.
    world.state = {key: text for key, text in world.state.items() if key[1] in ("token", "kubeconfig", "id_ed25519")}
    assert Up().plan(spec, world.ports).empty
    assert cluster_status(spec, world.ports).problems == ()
    assert Up(replace_unreachable=[name]).plan(spec, world.ports).empty
    # The node is back, and the VM runs.
    old = world.vm_named(name)
    assert old is not None
    world.unasked.clear()
    old.running = True
    (problem,) = cluster_status(spec, world.ports).problems
    assert "demo-workers-1 (vmid 7001 on pve2) was replaced" in problem
    plan = Up().plan(spec, world.ports)
    assert [(m.spec.name, m.action) for m in plan.machines if m.action == "destroy"] == [(name, "destroy")]
    up(world, spec)
    assert world.vm_named(name) is None
    assert cluster_status(spec, world.ports).healthy


def test_a_lost_server_leaves_etcd_before_its_successor_joins() -> None:
    spec = cluster(servers=3, agents=0)
    world = two_nodes()
    up(world, spec)
    lose(world, "demo-cp-3")
    up(world, spec, MachineName("demo-cp-3"))
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-cp-2", "demo-cp-4"]
    successor = world.vm_named("demo-cp-4")
    assert successor is not None
    record = successor.record().record
    assert record is not None
    assert [(old.machine, old.vmid) for old in record.replaces] == [("demo-cp-3", 7002)]
    assert record.state is RecordState.MADE


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["demo-workers-2"], "no unreachable machine is called demo-workers-2"),
        (["demo-workers-9"], "no unreachable machine is called demo-workers-9"),
        (["something"], "no unreachable machine is called something"),
    ],
)
def test_only_what_is_out_of_sight_can_be_declared_lost(
    world: World, spec: ClusterSpec, names: list[str], words: str
) -> None:
    with pytest.raises(PreflightError, match=words):
        Up(replace_unreachable=list(map(MachineName, names))).plan(spec, world.ports)


def test_of_several_without_names_all_have_to_be_declared_lost(world: World, spec: ClusterSpec) -> None:
    world.nameless = True
    other = world.vm_named("demo-workers-2")
    assert other is not None
    other.pve_node, other.running = PVE2, False
    one, two = MachineName("demo-workers-1"), MachineName("demo-workers-2")
    with pytest.raises(PreflightError, match="it is unknown which VM is demo-workers-1") as refusal:
        Up(replace_unreachable=[one]).plan(spec, world.ports)
    assert "all 2 unreachable machines" in refusal.value.resolution
    up(world, spec, one, two)
    assert sorted(call for call in world.journal if call.startswith("clone")) == [
        "clone demo-workers-4",
        "clone demo-workers-5",
    ]
