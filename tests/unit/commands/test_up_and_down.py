"""`up` and `down` over an in-memory world: from nothing, again, half-made, broken, and back to nothing."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import (
    AgentNotConfiguredError,
    CapacityError,
    GuestError,
    HomelabError,
    InterruptedRunError,
    NotOursError,
    PreflightError,
    RunFailedError,
)
from bootstrap.events import Event, LaneSkipped, StepFinished, Warned
from bootstrap.execution.report import Report
from bootstrap.model.access.rights import MissingPrivileges
from bootstrap.model.cluster import ClusterSpec, VmidRange
from bootstrap.model.ids import MachineName, PveNodeName, Vmid
from bootstrap.model.machine import RecordState
from tests.fakes.specs import DEMO, cluster, workers
from tests.fakes.world import PVE1, TEMPLATE, FakeVm, World, pve_node

LACKING = MissingPrivileges(path="/vms", privileges=("VM.Clone",), remedy="pveum role modify ...")


def up(world: World, spec: ClusterSpec | None = None) -> tuple[Report, list[Event]]:
    spec = spec or cluster()
    events: list[Event] = []
    ports = world.ports
    report = Up().run(Up().plan(spec, ports), spec, ports, sink=events.append, options=RunOptions())
    return report, events


def down(world: World, spec: ClusterSpec | None = None) -> Report:
    spec = spec or cluster()
    ports = world.ports
    return Down().run(Down().plan(spec, ports), spec, ports, sink=lambda _event: None, options=RunOptions())


def acted(world: World) -> list[str]:
    return [call for call in world.journal if not call.startswith("upload")]


def test_up_from_nothing_makes_every_machine_ready() -> None:
    world = World()
    up(world)
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1", "demo-workers-2", "demo-workers-3"]
    assert world.kube_nodes[MachineName("demo-cp-1")].roles == {"control-plane"}
    assert all(vm.boots == 1 and vm.disk_gib == 20 for vm in world.vms.values())
    assert "server: https://192.0.2." in world.kubeconfigs[DEMO]


def test_a_second_up_does_nothing() -> None:
    world = World()
    up(world)
    world.journal.clear()
    plan = Up().plan(cluster(), world.ports)
    assert plan.empty
    assert [machine.action for machine in plan.machines] == ["keep"] * 4
    assert world.journal == []


def test_agents_have_joined_once_their_nodes_are_there_whatever_systemd_says() -> None:
    world = World(late_units={"demo-workers-1", "demo-workers-2", "demo-workers-3"})
    up(world)
    assert len(world.kube_nodes) == 4
    assert world.clock.now_s() < 60
    assert Up().plan(cluster(), world.ports).empty


def test_an_agent_that_is_activating_and_ready_is_not_restarted() -> None:
    pool = replace(workers(1), labels=(("disk", "ssd"),))
    spec = replace(cluster(), workers=(pool,))
    name = MachineName("demo-workers-1")
    world = World(late_units={name})
    up(world, spec)
    world.kube_nodes[name] = replace(world.kube_nodes[name], labels=())
    world.journal.clear()
    up(world, spec)
    assert ("disk", "ssd") in world.kube_nodes[name].labels
    assert not [call for call in acted(world) if call.startswith(("restart", "install"))]


def test_agents_join_with_the_full_token_and_servers_one_at_a_time() -> None:
    world = World()
    up(world, cluster(servers=3, agents=1))
    agent = world.vm_named("demo-workers-1")
    assert agent is not None
    assert "K10" in agent.files["service.env"]
    joined = [call for call in world.journal if call.startswith("install demo-cp")]
    assert joined == ["install demo-cp-1", "install demo-cp-2", "install demo-cp-3"]
    assert "cluster-init: true" in str(world.vms[Vmid(7000)].files["config.yaml"])


def test_the_record_goes_in_with_the_clone_request() -> None:
    world = World()
    seen: list[RecordState | None] = []

    def look(call: str) -> None:
        if call == "cloned demo-cp-1":
            vm = world.vm_named("demo-cp-1")
            record = vm.record().record if vm else None
            seen.append(record.state if record else None)

    world.on_call = look
    up(world)
    assert seen == [RecordState.CLONING]


def test_an_up_that_failed_on_one_machine_finishes_the_others_and_continues_later() -> None:
    world = World(fail_clone={"demo-workers-2"})
    with pytest.raises(HomelabError, match="demo-workers-2") as failure:
        up(world)
    assert "up` again" in failure.value.resolution
    assert sorted(world.kube_nodes) == ["demo-cp-1", "demo-workers-1", "demo-workers-3"]
    world.fail_clone.clear()
    world.journal.clear()
    up(world)
    assert [call for call in world.journal if call.startswith("clone")] == ["clone demo-workers-2"]
    assert len(world.kube_nodes) == 4


def test_a_first_server_that_fails_skips_the_agents_with_its_cause() -> None:
    world = World(fail_clone={"demo-cp-1"})
    events: list[Event] = []
    ports = world.ports
    with pytest.raises(HomelabError, match="demo-cp-1: clone failed"):
        Up().run(Up().plan(cluster(), ports), cluster(), ports, sink=events.append, options=RunOptions())
    skipped = {event.lane: event.cause for event in events if isinstance(event, LaneSkipped)}
    assert set(skipped) == {"kubeconfig", "demo-workers-1", "demo-workers-2", "demo-workers-3"}
    assert all("demo-cp-1: clone failed" in cause for cause in skipped.values())
    assert all(world.vm_named(f"demo-workers-{n}") for n in (1, 2, 3))


def test_a_half_made_machine_is_continued_where_it_is() -> None:
    world = World()

    class KilledError(Exception):
        pass

    def kill(call: str) -> None:
        if call == "configure demo-workers-1":
            raise KilledError

    world.on_call = kill
    with pytest.raises(KilledError):
        up(world, cluster(agents=1))
    half_made = world.vm_named("demo-workers-1")
    assert half_made is not None
    world.on_call = lambda _call: None
    plan = Up().plan(cluster(agents=1), world.ports)
    assert {str(machine.spec.name): machine.action for machine in plan.machines}["demo-workers-1"] == "continue"
    up(world, cluster(agents=1))
    assert world.vm_named("demo-workers-1") is half_made
    assert len(world.vms) == 2


def test_a_vmid_taken_between_look_and_clone_is_passed_over() -> None:
    world = World(taken_while_cloning={Vmid(7000)})
    _, events = up(world, cluster(agents=0))
    assert world.vms[Vmid(7000)].name == "somebody-elses"
    server = world.vm_named("demo-cp-1")
    assert server is not None
    assert server.vmid == 7001
    assert any(isinstance(event, Warned) and "taken" in event.message for event in events)


def test_down_removes_all_that_is_ours_and_its_traces() -> None:
    world = World()
    up(world)
    down(world)
    assert world.vms == {}
    assert world.kubeconfigs == {}
    assert world.state == {}
    assert Down().plan(cluster(), world.ports).empty


def test_foreign_vms_survive_down_whatever_their_name_or_vmid() -> None:
    world = World()
    up(world, cluster(agents=1))
    copy = world.vms[Vmid(7000)]
    foreign_lookalikes = [
        FakeVm(vmid=Vmid(7050), name="demo-workers-7", pve_node=PVE1, running=True),
        FakeVm(
            vmid=Vmid(7051),
            name=copy.name,
            pve_node=PVE1,
            description=copy.description,
            tags=copy.tags,
            running=True,
        ),
    ]
    for vm in foreign_lookalikes:
        world.vms[vm.vmid] = vm
    plan = Down().plan(cluster(agents=1), world.ports)
    assert sum("is ignored" in note for note in plan.notes) == 2
    down(world, cluster(agents=1))
    assert [vm.vmid for vm in world.vms.values()] == [7050, 7051]
    assert all(vm.running for vm in world.vms.values())


def test_a_vm_that_takes_over_our_vmid_after_planning_survives() -> None:
    world = World()
    up(world, cluster(agents=1))
    ports = world.ports
    plan = Down().plan(cluster(agents=1), ports)
    mine = world.vms[Vmid(7001)]
    world.vms[Vmid(7001)] = FakeVm(
        vmid=mine.vmid,
        name=mine.name,
        pve_node=PVE1,
        description=mine.description,
        tags=mine.tags,
        running=True,
    )
    with pytest.raises(NotOursError, match="was not changed"):
        Down().run(plan, cluster(agents=1), ports, sink=lambda _event: None, options=RunOptions())
    assert list(world.vms) == [7001]
    assert world.vms[Vmid(7001)].running
    assert world.state, "the traces stay until all machines are gone"


def test_down_finds_half_made_machines() -> None:
    world = World(fail_clone={"demo-cp-1"})
    with pytest.raises(HomelabError):
        up(world)
    assert len(world.vms) == 3
    down(world)
    assert world.vms == {}


def test_a_powered_off_machine_is_started_again() -> None:
    world = World()
    up(world)
    machine = world.vm_named("demo-workers-2")
    assert machine is not None
    machine.running = False
    assert "powered off" in str(cluster_status(cluster(), world.ports).problems)
    world.journal.clear()
    up(world)
    assert acted(world) == ["start demo-workers-2"]


def test_more_workers_move_nothing_that_is_there() -> None:
    world = World(pve_nodes=[pve_node("pve1")])
    up(world)
    before = {vm.name: (vm.vmid, vm.boots) for vm in world.vms.values()}
    world.journal.clear()
    up(world, cluster(agents=5))
    cloned = sorted(call for call in world.journal if call.startswith("clone"))
    assert cloned == ["clone demo-workers-4", "clone demo-workers-5"]
    after = {vm.name: (vm.vmid, vm.boots) for vm in world.vms.values()}
    assert before.items() <= after.items()


def test_fewer_workers_are_named_and_left_to_another_verb() -> None:
    world = World()
    up(world)
    plan = Up().plan(cluster(agents=2), world.ports)
    assert plan.empty
    assert any("demo-workers-3" in note and "removes nothing" in note for note in plan.notes)


def test_counts_and_sizes_that_nobody_stated_give_way_to_what_is_there() -> None:
    world = World()
    up(world, replace(cluster(), workers=(workers(3, memory_mib=4096),)))
    unsaid = replace(workers(1), stated=frozenset())
    spec = replace(cluster(), workers=(unsaid,))
    assert cluster_status(spec, world.ports).healthy
    plan = Up().plan(spec, world.ports)
    assert plan.empty
    assert plan.notes == ()
    four = replace(unsaid, count=4, stated=frozenset({"count"}))
    up(world, replace(cluster(), workers=(four,)))
    fourth = world.vm_named("demo-workers-4")
    assert fourth is not None
    assert fourth.settings["memory"] == 4096


def test_a_guest_without_agent_fails_at_once_with_the_fix() -> None:
    world = World(no_agent={"demo-workers-1"})
    with pytest.raises(AgentNotConfiguredError, match="demo-workers-1"):
        up(world, cluster(agents=1))
    assert world.clock.now_s() < 60


def test_a_silent_guest_agent_is_waited_for_and_then_named() -> None:
    world = World(silent={"demo-workers-1"})
    with pytest.raises(HomelabError, match=r"guest agent of demo-workers-1") as failure:
        up(world, cluster(agents=1))
    assert "QEMU guest agent is not running" in failure.value.details
    assert "qm agent" in failure.value.resolution


def test_a_unit_that_loops_is_classified() -> None:
    journal = 'level=error msg="failed to validate token: https://x:6443/v1-k3s/config: 401 Unauthorized"'
    world = World(broken_units={"demo-workers-1": journal})
    with pytest.raises(GuestError, match="refuses its token") as failure:
        up(world, cluster(agents=1))
    assert "401 Unauthorized" in failure.value.details


def test_several_failures_come_back_as_one_report() -> None:
    world = World(fail_clone={"demo-workers-1", "demo-workers-2"})
    with pytest.raises(RunFailedError) as failure:
        up(world)
    assert [lane for lane, _ in failure.value.failures] == ["demo-workers-1", "demo-workers-2"]


def test_an_interrupted_up_says_what_stands_and_continues() -> None:
    world = World()
    options = RunOptions()
    world.on_call = lambda call: options.stop.set() if call == "start demo-workers-1" else None
    ports = world.ports
    with pytest.raises(InterruptedRunError) as interruption:
        Up().run(Up().plan(cluster(), ports), cluster(), ports, sink=lambda _event: None, options=options)
    assert "demo-workers-1: up to `power on`, next `wait for the guest`" in interruption.value.details
    world.on_call = lambda _call: None
    up(world)
    assert len(world.kube_nodes) == 4
    assert len(world.vms) == 4


def test_a_lost_state_directory_is_recovered_from_the_server() -> None:
    world = World()
    up(world)
    token = world.state["demo", "token"]
    world.state.clear()
    world.journal.clear()
    up(world)
    assert world.state["demo", "token"] == token
    assert not [call for call in world.journal if call.startswith(("clone", "install", "start"))]


def test_a_machine_made_with_another_key_is_named_at_once() -> None:
    world = World()
    up(world, cluster(agents=0))
    world.state.clear()
    world.refuses_key.add("demo-cp-1")
    began_s = world.clock.now_s()
    with pytest.raises(GuestError, match="demo-cp-1: sshd refuses our key") as failure:
        up(world, cluster(agents=0))
    assert "id_ed25519" in failure.value.resolution
    lines = failure.value.resolution.splitlines()
    (command,) = [line for line in lines if line.startswith("qm guest exec 7000 -- sh -c ")]
    (_, script) = shlex.split(command.partition(" -- ")[2])[1:]
    assert script == "echo 'ssh-ed25519 AAAAtest homelab-k8s' >>~debian/.ssh/authorized_keys"
    assert "`homelab-k8s replace demo-cp-1`" in failure.value.resolution
    assert world.clock.now_s() - began_s < 30


def test_labels_that_went_missing_are_put_back() -> None:
    pool = replace(workers(1), labels=(("disk", "ssd"),))
    spec = replace(cluster(), workers=(pool,))
    world = World()
    up(world, spec)
    name = MachineName("demo-workers-1")
    world.kube_nodes[name] = replace(world.kube_nodes[name], labels=())
    _, events = up(world, spec)
    assert ("disk", "ssd") in world.kube_nodes[name].labels
    assert any(isinstance(event, StepFinished) and event.phase == "ready" and event.changed for event in events)


def test_status_does_not_say_of_an_api_it_could_not_ask_who_is_in_the_cluster() -> None:
    world = World()
    up(world)
    world.state.clear()
    world.vms[Vmid(7001)].running = False
    status = cluster_status(cluster(), world.ports)
    assert status.problems == (
        f"{world.vms[Vmid(7001)].name}: powered off: `homelab-k8s up`",
        (
            "the Kubernetes API could not be reached: no kubeconfig of the cluster in the state directory; "
            "whether the machines are in the cluster is unknown: `homelab-k8s up`"
        ),
    )
    assert {row.ready for row in status.machines} == {None}


def test_status_shows_machines_and_kubernetes_nodes_side_by_side() -> None:
    world = World()
    assert cluster_status(cluster(), world.ports).problems == (
        "the cluster does not exist; `homelab-k8s up` builds it",
    )
    up(world)
    status = cluster_status(cluster(), world.ports)
    assert status.healthy
    assert [(row.name, row.vm, row.ready) for row in status.machines] == [
        ("demo-cp-1", "running", True),
        ("demo-workers-1", "running", True),
        ("demo-workers-2", "running", True),
        ("demo-workers-3", "running", True),
    ]


@pytest.mark.parametrize(
    ("world", "spec", "words"),
    [
        (World(templates=[]), cluster(), "no template found for debian-12"),
        (World(templates=[replace(TEMPLATE, agent_enabled=False)]), cluster(), "no guest agent configured"),
        (World(templates=[replace(TEMPLATE, cloud_init_drive=None)]), cluster(), "no cloud-init drive"),
        (World(missing=(LACKING,)), cluster(), "lacks privileges that `up` needs, on 1 path"),
        (
            World(templates=[replace(TEMPLATE, pve_node=PveNodeName("pve2"))]),
            cluster(),
            "on pve2 only",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_touched(world: World, spec: ClusterSpec, words: str) -> None:
    with pytest.raises(PreflightError, match=words) as refusal:
        Up().plan(spec, world.ports)
    assert refusal.value.exit_code == 4
    assert refusal.value.resolution
    assert world.journal == []


def test_too_many_cores_and_too_much_memory_are_refused_with_the_arithmetic() -> None:
    world = World(pve_nodes=[pve_node(cores=4, memory_gib=8)])
    spec = replace(cluster(), workers=(workers(1, cores=6),))
    with pytest.raises(CapacityError, match="demo-workers-1") as cores:
        Up().plan(spec, world.ports)
    assert "6 cores needed, it has 4" in cores.value.details
    with pytest.raises(CapacityError) as memory:
        Up().plan(replace(cluster(), workers=(workers(1, memory_mib=7168),)), world.ports)
    assert "7168 MiB needed, 5120 MiB free: 8192 in total, minus 1024 reserve" in memory.value.details
    assert world.journal == []


def test_a_used_up_vmid_range_is_refused() -> None:
    spec = cluster()
    narrow = replace(spec.placement, vmids=VmidRange(first=Vmid(7000), last=Vmid(7002)))
    with pytest.raises(PreflightError, match="7000-7002 is exhausted"):
        Up().plan(replace(spec, placement=narrow), World().ports)


def test_more_machines_than_pod_ranges_are_refused() -> None:
    world = World(pve_nodes=[pve_node(cores=512, memory_gib=2048)])
    with pytest.raises(PreflightError, match=r"301 machines are needed, but .* has room for 256"):
        Up().plan(cluster(agents=300), world.ports)
