"""Plans `up`: what is missing is made, what is half-made is continued, what is broken is repaired.

Nothing is removed and nothing that works is touched; what would have to go is named in the notes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.k3s.dual_stack import check_families
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import Observed
from bootstrap.planning.checks.api_name import other_server
from bootstrap.planning.checks.drift import notes_on_drift
from bootstrap.planning.day2_steps import MarkLeaving, MigrateToEtcd, RestoreSnapshot, StopK3s
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.members.foreign import strangers_notes
from bootstrap.planning.members.names_and_tags import shown_restored, with_marks_restored
from bootstrap.planning.members.out_of_sight import require_sight
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.joining import (
    API_REACHABLE,
    KUBECONFIG,
    Making,
    access_lane,
    fetch_lane,
    init_step,
    join_lane,
    joined,
    kept,
    kubeconfig_lane,
    ready,
)
from bootstrap.planning.provision.lost_machines import Farewells, plan_farewells
from bootstrap.planning.provision.vip_lanes import (
    VIP_UP,
    VipPlan,
    plan_vip,
    removal_lanes,
    with_other_settings,
    without_vip,
)
from bootstrap.planning.settings.drift import Drift, drifts
from bootstrap.planning.settings.notes import check_fixed, left_notes
from bootstrap.planning.settings.rollout import Rollout, shown
from bootstrap.planning.steps import AwaitReady
from bootstrap.planning.view import ClusterView
from bootstrap.records.lock import check_lock_place
from bootstrap.records.snapshot_note import check_bucket


def plan_up(view: ClusterView, *, version: str, restore: Path | None = None, migrates: bool = False) -> Plan:
    """Plan what it takes for the cluster to be as the inventory says.

    Args:
        view: The cluster, as wanted and as seen.
        version: The k3s version for machines that join now; unused when nothing is to be done.
        restore: A snapshot's file whose data the first server gets, as long as none serves.
        migrates: Whether an only server with sqlite, to which others are to come, is moved to etcd: a rebuild was cut
            off between both.

    Raises:
        PreflightError: It cannot be done: no template, no room, no vmid or address left.
    """
    check_families(view.spec, view.observed)
    all_states = view.states
    check_fixed(view, all_states)
    differing = drifts(view, all_states)
    rollout = _rollout(view, differing)
    # Labels and taints of those come with their settings.
    reasons = {
        machine_state.machine.name: ""
        if machine_state.machine.name in rollout.names
        else _reason(machine_state, view.observed)
        for machine_state in all_states
    }
    work = [machine_state for machine_state in all_states if reasons[machine_state.machine.name]]
    if rollout.servers:
        check_bucket(view.spec)  # a server's settings have the bucket's keys
    drift = (*notes_on_drift(view, all_states), *strangers_notes(view), *left_notes(differing))
    farewells = plan_farewells(view)
    seen = [machine_state for machine_state in all_states if machine_state.shown or reasons[machine_state.machine.name]]
    if not work:
        lanes = with_marks_restored(_lanes_without_work(view, all_states, rollout, farewells), all_states)
        if lanes:
            check_lock_place(view.spec, view.observed.vms)
        stay = shown_restored(shown([*map(kept, seen)], rollout), all_states)
        return bare_plan("up", view, machines=(*stay, *farewells.machines), lanes=lanes, notes=drift)
    moves = migrates and lacks_etcd(view)
    if not moves:
        check_datastore(view)
    making = Making.of(view, all_states)
    check_lock_place(view.spec, view.observed.vms)
    planned = [
        making.planned(machine_state, reasons[machine_state.machine.name])
        if reasons[machine_state.machine.name]
        else kept(machine_state)
        for machine_state in seen
    ]
    repaired = _repaired_servers(view, work)
    # A server that comes must find the settings it has itself; one that is repaired comes before all that.
    first = () if repaired else rollout.servers
    arrivals = join_lanes(
        making,
        all_states,
        work,
        version,
        migrates=moves,
        restore=restore,
        before_servers=(*farewells.servers, *first),
    )
    rollout = replace(rollout, after=repaired, agents_after=_vip_gates(arrivals))
    lanes = (
        fetch_lane(making, work, version),
        kubeconfig_lane(view.spec, after=(*rollout.agents_after, *_named(view.spec, rollout))),
        *rollout.lanes((*arrivals, *_removal(view, rollout, work))),
        *farewells.lanes,
    )
    machines = (*shown_restored(shown(planned, rollout), all_states), *farewells.machines)
    lanes = with_marks_restored(lanes, all_states)
    return bare_plan("up", view, machines=machines, lanes=lanes, notes=(*making.notes, *drift))


def _rollout(view: ClusterView, differing: Sequence[Drift]) -> Rollout:
    server = healthy_server(view)
    return Rollout.of(differing, access=server.name if server else None)


def _repaired_servers(view: ClusterView, work: Sequence[MachineState]) -> tuple[Gate, ...]:
    """Open once the servers that are there and do not work are Ready again: until then no other may be restarted."""
    healthy = healthy_server(view)
    return tuple(
        ready(machine_state.machine.name)
        for machine_state in work
        if machine_state.machine.role is Role.CONTROL_PLANE and not machine_state.missing
        if healthy is None or machine_state.machine.name != healthy.name
    )


def _vip_gates(lanes: Sequence[Lane]) -> tuple[Gate, ...]:
    """The VIP's, where the plan sets it up: agents are not sent there before it answers."""
    return (VIP_UP,) if any(VIP_UP in each.opens for lane in lanes for each in lane.steps) else ()


def _lanes_without_work(
    view: ClusterView, all_states: Sequence[MachineState], rollout: Rollout, farewells: Farewells
) -> tuple[Lane, ...]:
    """The lanes where no machine is made or repaired: settings that are rolled out, the VIP, machines that go."""
    going = [MachineName(lane.name) for lane in farewells.lanes]
    server = healthy_server(view, besides=going)
    vip = VipPlan()
    changed = bool(with_other_settings(view))
    if server is not None and (changed or without_vip(view)):
        servers = [machine_state for machine_state in all_states if machine_state.machine.role is Role.CONTROL_PLANE]
        vip = plan_vip(view, servers=servers, through=server.name, arriving=(), changed=changed)
    gone = _removal(view, rollout, ())
    restarts = bool(rollout.turns or vip.first or gone or other_server(view))
    if server is None or not (going or restarts):
        return farewells.lanes
    gates = (VIP_UP,) if vip.first else ()
    access, *rest = replace(rollout, agents_after=gates).lanes((access_lane(view.spec, server), *vip.lanes, *gone))
    # Certificates come first: nobody may reach a server by an address that its certificate is not for.
    served = tuple(replace(step, needs=(*step.needs, *rollout.servers)) for step in vip.first)
    access = replace(access, steps=(*access.steps, *served))
    kubeconfig = (kubeconfig_lane(view.spec, after=(*gates, *_named(view.spec, rollout))),) if restarts else ()
    return (*kubeconfig, access, *rest, *farewells.lanes)


def _named(spec: ClusterSpec, rollout: Rollout) -> tuple[Gate, ...]:
    """Gates before a kubeconfig that has a name for the API: the servers' certificates are for it."""
    return rollout.servers if spec.api_name is not None else ()


def _removal(view: ClusterView, rollout: Rollout, work: Sequence[MachineState]) -> tuple[Lane, ...]:
    """The lanes that end a VIP which the inventory has no more."""
    server = healthy_server(view)
    if server is None:
        return ()
    working = [machine_state.machine.name for machine_state in work]
    after = (KUBECONFIG, *rollout.all)
    return removal_lanes(view, through=server.name, working=working, after=after)


def _reason(machine_state: MachineState, observed: Observed) -> str:
    reason = machine_state.reason
    if machine_state.held:
        return ""
    unknown = (
        observed.kube_nodes is None
        and machine_state.kube_node is None
        and machine_state.made
        and machine_state.vm is not None
    )
    return "may not be joined to the cluster" if unknown and machine_state.vm and machine_state.vm.running else reason


def check_datastore(view: ClusterView) -> None:
    """Refuse to add servers to a sqlite cluster in passing: that is a migration, and `scale` does it."""
    if lacks_etcd(view):
        raise PreflightError(
            f"{view.spec.name} has one server with sqlite: further servers cannot join it",
            details=f"{view.spec.control_plane.count} servers wanted",
            resolution=Advice(
                "`homelab-k8s scale control-plane {}` moves its data to etcd first", view.spec.control_plane.count
            ),
        )


def lacks_etcd(view: ClusterView) -> bool:
    """Whether more servers are wanted than there are, and those there have no etcd that others could join."""
    return view.on_sqlite and view.spec.control_plane.count > len(view.kube_servers)


def join_lanes(
    making: Making,
    all_states: Sequence[MachineState],
    work: Sequence[MachineState],
    version: str,
    *,
    migrates: bool = False,
    begins: Mapping[MachineName, tuple[Gate, ...]] | None = None,
    leaving: Collection[MachineName] = (),
    besides: Collection[MachineName] = (),
    before_servers: tuple[Gate, ...] = (),
    marks: bool = False,
    restore: Path | None = None,
) -> tuple[Lane, ...]:
    """The lanes of all machines that arrive, and of the server that they join through.

    Args:
        making: What they are made of.
        all_states: All machines that the cluster is to have.
        work: Those that something is to be done about.
        version: The k3s version they get.
        migrates: Whether the only server's data is moved from sqlite to etcd first.
        begins: Gates a machine waits for before it is cloned.
        leaving: Servers that leave by other lanes of the plan.
        besides: Further machines with lanes of their own, which the others therefore are not reached through.
        before_servers: Gates before further servers join.
        marks: Whether the healthy server itself is on its way out, by a later plan.
        restore: A snapshot's file that the first server gets its data from.
    """
    spec = making.spec
    healthy = healthy_server(ClusterView(spec, making.observed), besides=(*leaving, *besides))
    servers = [machine_state for machine_state in all_states if machine_state.machine.role is Role.CONTROL_PLANE]
    if healthy is None:
        _check_founding(ClusterView(spec, making.observed), servers)
    primary = None if healthy else _primary_server(work)
    if any(machine_state in servers for machine_state in work):
        check_bucket(spec)  # a server's settings have the bucket's keys
    through = healthy.name if healthy else primary.machine.name if primary else None
    lanes: list[Lane] = []
    vip = VipPlan()
    if through is not None:
        arriving = [s.machine.name for s in work if s in servers and s.machine.name != through]
        vip = plan_vip(
            ClusterView(spec, making.observed),
            servers=servers,
            through=through,
            arriving=[(name, ready(name)) for name in arriving],
            leaving=bool(leaving),
        )
    previous: Gate | None = None
    if healthy is not None:
        lacking = next((machine_state for machine_state in work if machine_state.machine.name == healthy.name), None)
        machine = making.machine(lacking.machine) if lacking else healthy
        further = _on_healthy(machine, vip, lacks=lacking is not None, marks=marks, migrates=migrates)
        # One etcd member at a time: of two servers that join at once, one fails (docs/k3s.md#joining).
        previous = joined(machine.name) if migrates else None
        lanes.append(access_lane(spec, machine, further=further))
    joins = (API_REACHABLE, *vip.joins)
    for machine_state in work:
        name, is_server = machine_state.machine.name, machine_state.machine.role is Role.CONTROL_PLANE
        if healthy is not None and name == healthy.name:
            continue
        waits = (begins or {}).get(name, ())
        if machine_state is primary:
            init = (*_first_steps(spec, making.machine(machine_state.machine), restore), *vip.first)
            lanes.append(join_lane(making, machine_state, version, init=init, begins=waits))
            continue
        needs = joins
        if is_server:
            needs = (*joins, *before_servers, *((previous,) if previous is not None else ()))
        lanes.append(join_lane(making, machine_state, version, needs=needs, begins=waits))
        if is_server:
            previous = joined(name)
    return (*lanes, *vip.lanes)


def _on_healthy(
    machine: MachineSpec, vip: VipPlan, *, lacks: bool, marks: bool, migrates: bool
) -> tuple[LaneStep, ...]:
    """What is done on the server that the others are reached through, once it has been reached itself."""
    steps = [LaneStep(step=MarkLeaving(machine=machine.name))] if marks else []
    steps += vip.first
    if migrates:
        steps.append(LaneStep(step=MigrateToEtcd(machine=machine), opens=(joined(machine.name),)))
    if lacks:
        steps.append(LaneStep(step=AwaitReady(machine=machine), needs=(API_REACHABLE,)))
    return tuple(steps)


def _first_steps(spec: ClusterSpec, machine: MachineSpec, restore: Path | None) -> tuple[LaneStep, ...]:
    """How the first server comes to serve. One that an earlier run has begun to restore may run, and is stopped."""
    if restore is None:
        return (init_step(spec, machine),)
    return (
        LaneStep(step=StopK3s(machine=machine)),
        LaneStep(step=RestoreSnapshot(machine=machine, source=restore), opens=(API_REACHABLE,)),
    )


def _check_founding(view: ClusterView, servers: Sequence[MachineState]) -> None:
    """Refuse to start a first server while one that nobody can ask may serve: there would be two clusters.

    Most of the servers together cannot: what the others do has no majority.
    """
    check_twins(view, frozenset(machine_state.machine.name for machine_state in servers))
    hidden = [
        machine_state.unseen for machine_state in servers if machine_state.held and machine_state.unseen is not None
    ]
    held = sum(bool(machine_state.held) for machine_state in servers)
    made = sum(machine_state.made for machine_state in servers)
    if held and made <= len(servers) // 2:
        require_sight(view, what=f"no server of {view.spec.name} answers, and none can be started", of=hidden)
        require_sight(view, what=f"no server of {view.spec.name} answers, and none can be started")


def _primary_server(work: Sequence[MachineState]) -> MachineState | None:
    """The server the others join through while no API answers.

    The first that has a VM already, since it may hold the cluster's data; on an empty field the first.
    """
    candidates = [machine_state for machine_state in work if machine_state.machine.role is Role.CONTROL_PLANE]
    with_vm = [machine_state for machine_state in candidates if machine_state.made]
    return next(iter(with_vm or candidates), None)
