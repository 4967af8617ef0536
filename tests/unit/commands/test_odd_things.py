"""One odd VM, guest agent or Proxmox node never stops a command for the others: it is named and passed over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.clusters import all_clusters
from bootstrap.commands.reports.doctor import diagnose
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import UnreadableAnswerError
from bootstrap.events import Event, Told
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, Vmid
from bootstrap.model.observed import OWNER_TAG, GuestInterface
from bootstrap.ports import Ports, PveFacts
from bootstrap.records.vms.machine import MARK
from bootstrap.waiting import reporting_to
from tests.fakes.specs import cluster
from tests.fakes.world import FINGERPRINT, PVE1, FakeHypervisor, FakeVm, World

SPEC = cluster(servers=1, agents=2)
STRANGER = Vmid(150)
HOSTILE = ('{"format":1,"vmid":1e999}', "[" * 3000, '{"format":1,"cluster":"../../x","machine":"demo-cp-1"}')
ENDPOINT = PveEndpoint(
    url="https://192.0.2.1:8006",
    token=ApiToken(user="test@pve", name="x", secret="11111111-2222-3333-4444-555555555555"),
    tls=TlsSpec(fingerprint=FINGERPRINT),
)


@dataclass
class OddHypervisor(FakeHypervisor):
    """One some of whose guest agents answer `["x"]`, and that lists things of odd form."""

    odd_agents: set[str] = field(default_factory=set)
    passed_over: tuple[str, ...] = ()

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        found = super().guest_interfaces(vmid, pve_node=pve_node)
        if self.world.vms[vmid].name in self.odd_agents:
            raise UnreadableAnswerError(f"cannot read the addresses of VM {vmid}", details="the answer is ['x']")
        return found

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        return replace(super().observe(cluster=cluster, vmids=vmids), passed_over=self.passed_over)


def up(ports: Ports) -> None:
    Up().run(Up().plan(SPEC, ports), SPEC, ports, sink=lambda _event: None, options=RunOptions())


@pytest.fixture
def world() -> World:
    world = World()
    up(world.ports)
    return world


@pytest.fixture(params=HOSTILE, ids=("number", "brackets", "cluster"))
def hostile(request: pytest.FixtureRequest, world: World) -> FakeVm:
    """A neighbour's VM with our tags and a record written to hurt."""
    vm = FakeVm(vmid=STRANGER, name="x", pve_node=PVE1, tags=f"demo;{OWNER_TAG}", description=f"{MARK} {request.param}")
    world.vms[STRANGER] = vm
    return vm


def test_a_hostile_vm_is_named_by_status_and_all_else_is_as_it_was(world: World, hostile: FakeVm) -> None:
    status = cluster_status(SPEC, world.ports)
    assert [machine.name for machine in status.machines] == ["demo-cp-1", "demo-workers-1", "demo-workers-2"]
    assert status.healthy, "a neighbour writes whatever into a VM of theirs"
    (notice,) = status.notices
    assert notice.startswith(f"x (vmid {hostile.vmid} on pve1) is skipped: its record cannot be read: ")


def test_a_hostile_vm_stops_neither_clusters_nor_doctor(world: World, hostile: FakeVm) -> None:
    told: list[Event] = []
    with reporting_to(told.append):
        (summary,) = all_clusters(world.ports)
    assert (summary.name, summary.machines, summary.out_of_sight) == ("demo", 3, 0)
    assert [event.message for event in told if isinstance(event, Told) and hostile.name in event.message]
    found = next(check for check in diagnose(SPEC, ENDPOINT, world.ports).checks if check.name == "cluster")
    assert "is skipped" in found.says


def test_a_hostile_vm_stops_neither_up_nor_down_and_stays(world: World, hostile: FakeVm) -> None:
    up(world.ports)
    plan = Down().plan(SPEC, world.ports)
    assert any("is skipped" in note for note in plan.notes)
    Down().run(plan, SPEC, world.ports, sink=lambda _event: None, options=RunOptions())
    assert list(world.vms) == [hostile.vmid]


def test_a_guest_agents_nonsense_hides_no_other_machine_of_its_proxmox_node(world: World) -> None:
    odd = OddHypervisor(world, odd_agents={"demo-workers-1"})
    status = cluster_status(SPEC, replace(world.ports, hypervisor=odd))
    addresses = {machine.name: machine.address for machine in status.machines}
    assert addresses[MachineName("demo-workers-2")] is not None
    assert [line for line in status.problems if "the answer is ['x']" in line]


def test_what_proxmox_lists_in_odd_form_is_a_problem_of_status(world: World) -> None:
    odd = OddHypervisor(world, passed_over=("cannot list the Proxmox nodes: [2].node is '../x'",))
    status = cluster_status(SPEC, replace(world.ports, hypervisor=odd))
    assert status.problems == ("ignored: cannot list the Proxmox nodes: [2].node is '../x'",)


def test_a_tag_that_is_no_clusters_name_is_none(world: World) -> None:
    """It would be the name of a file in the state directory."""
    world.vms[STRANGER] = FakeVm(vmid=STRANGER, name="", pve_node=PVE1, tags=f"..;{OWNER_TAG}")
    assert [summary.name for summary in all_clusters(world.ports)] == ["demo"]
