"""Plans `up`: what is missing is made, what is half-made is continued, what is broken is repaired.

Nothing is removed and nothing that works is touched; what would have to go is named in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.k3s.dual_stack import check_families
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec
from bootstrap.planning.checks.api_name import other_server
from bootstrap.planning.checks.drift import notes_on_drift
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.members.foreign import foreign_notes
from bootstrap.planning.members.names_and_tags import shown_restored, with_marks_restored
from bootstrap.planning.plan import Gate, Lane, Plan
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.join_lanes import JoinLanes
from bootstrap.planning.provision.joining import (
    KUBECONFIG,
    Allocation,
    access_lane,
    fetch_lane,
    kept,
    kubeconfig_lane,
    ready,
)
from bootstrap.planning.provision.lost_machines import LostMachines, plan_lost_machines
from bootstrap.planning.provision.vip_lanes import (
    VipPlan,
    plan_vip,
    removal_lanes,
    with_other_settings,
    without_vip,
)
from bootstrap.planning.settings.drift import Drift, drifts
from bootstrap.planning.settings.notes import check_fixed, left_notes
from bootstrap.planning.settings.rollout import Rollout, shown
from bootstrap.planning.view import ClusterView
from bootstrap.records.snapshot_note import check_bucket
from bootstrap.records.vms.lock import check_lock_place


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
    check_fixed(view, view.states)
    differing = drifts(view, view.states)
    rollout = _rollout(view, differing)
    reasons = _reasons(view, rollout)
    if rollout.servers:
        check_bucket(view.spec)  # a server's settings have the bucket's keys
    notes = (*notes_on_drift(view, view.states), *foreign_notes(view), *left_notes(differing))
    lost = plan_lost_machines(view)
    seen = [machine_state for machine_state in view.states if machine_state.shown or machine_state.name in reasons]
    if reasons:
        moves = migrates and lacks_etcd(view)
        if not moves:
            check_datastore(view)
        allocation = Allocation.of(view, view.states)
        work = [machine_state for machine_state in view.states if machine_state.name in reasons]
        joins = JoinLanes(
            allocation=allocation,
            all_states=view.states,
            work=work,
            version=version,
            migrates=moves,
            restore=restore,
            before_servers=lost.servers,
        )
        notes = (*allocation.notes, *notes)
        planned = [
            allocation.planned(each, reasons[each.name]) if each.name in reasons else kept(each) for each in seen
        ]
        lanes = _lanes_with_work(view, joins, rollout, lost)
    else:
        planned = [*map(kept, seen)]
        lanes = _lanes_without_work(view, rollout, lost)
    lanes = with_marks_restored(lanes, view.states)
    if lanes:
        check_lock_place(view.spec, view.observed.vms)
    machines = (*shown_restored(shown(planned, rollout), view.states), *lost.machines)
    return bare_plan("up", view, machines=machines, lanes=lanes, notes=notes)


def _reasons(view: ClusterView, rollout: Rollout) -> Mapping[MachineName, str]:
    """Why something is done about machines; labels and taints of those in the roll-out come with their settings."""
    others = (machine_state for machine_state in view.states if machine_state.name not in rollout.names)
    reasons = {machine_state.name: _reason(machine_state, view) for machine_state in others}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(machine_state: MachineState, view: ClusterView) -> str:
    unknown = machine_state.need is Need.JOIN and view.observed.kube_nodes is None
    return "must not join the cluster" if unknown else machine_state.reason


def _lanes_with_work(view: ClusterView, joins: JoinLanes, rollout: Rollout, lost: LostMachines) -> tuple[Lane, ...]:
    """The lanes where machines are made or repaired."""
    repaired = _repaired_servers(view, joins.work)
    # A server that comes must find the settings it has itself; one that is repaired comes before all that.
    first = () if repaired else rollout.servers
    joins = replace(joins, before_servers=(*joins.before_servers, *first))
    rollout = replace(rollout, after=repaired, agents_after=joins.vip.joins)
    return (
        fetch_lane(joins.allocation, joins.work, joins.version),
        kubeconfig_lane(view.spec, after=(*rollout.agents_after, *_named(view.spec, rollout))),
        *rollout.lanes((*joins.lanes(), *_removal(view, rollout, joins.work))),
        *lost.lanes,
    )


def _rollout(view: ClusterView, differing: Sequence[Drift]) -> Rollout:
    server = healthy_server(view)
    return Rollout.of(differing, access=server.name if server else None)


def _repaired_servers(view: ClusterView, work: Sequence[MachineState]) -> tuple[Gate, ...]:
    """Open once the servers that are there and do not work are Ready again: until then no other may be restarted."""
    healthy = healthy_server(view)
    return tuple(
        ready(machine_state.name)
        for machine_state in work
        if machine_state.is_server and not machine_state.missing
        if healthy is None or machine_state.name != healthy.name
    )


def _lanes_without_work(view: ClusterView, rollout: Rollout, lost: LostMachines) -> tuple[Lane, ...]:
    """The lanes where no machine is made or repaired: settings that are rolled out, the VIP, machines that go."""
    going = [MachineName(lane.name) for lane in lost.lanes]
    server = healthy_server(view, besides=going)
    if server is None:
        return lost.lanes
    vip, gone = _vip_without_work(view, server), _removal(view, rollout, ())
    restarts = bool(rollout.turns or vip.first or gone or other_server(view))
    if not (going or restarts):
        return lost.lanes
    access, *rest = replace(rollout, agents_after=vip.joins).lanes((access_lane(view.spec, server), *vip.lanes, *gone))
    # Certificates come first: nobody may reach a server by an address that its certificate is not for.
    served = tuple(replace(step, needs=(*step.needs, *rollout.servers)) for step in vip.first)
    access = replace(access, steps=(*access.steps, *served))
    kubeconfig = (kubeconfig_lane(view.spec, after=(*vip.joins, *_named(view.spec, rollout))),) if restarts else ()
    return (*kubeconfig, access, *rest, *lost.lanes)


def _vip_without_work(view: ClusterView, server: MachineSpec) -> VipPlan:
    changed = bool(with_other_settings(view))
    if not changed and not without_vip(view):
        return VipPlan()
    servers = [machine_state for machine_state in view.states if machine_state.is_server]
    return plan_vip(view, servers=servers, through=server.name, arriving=(), changed=changed)


def _named(spec: ClusterSpec, rollout: Rollout) -> tuple[Gate, ...]:
    """Gates before a kubeconfig that has a name for the API: the servers' certificates are for it."""
    return rollout.servers if spec.api_name is not None else ()


def _removal(view: ClusterView, rollout: Rollout, work: Sequence[MachineState]) -> tuple[Lane, ...]:
    """The lanes that end a VIP which the inventory has no more."""
    server = healthy_server(view)
    if server is None:
        return ()
    working = [machine_state.name for machine_state in work]
    after = (KUBECONFIG, *rollout.all)
    return removal_lanes(view, through=server.name, working=working, after=after)


def check_datastore(view: ClusterView) -> None:
    """Refuse to add servers to a sqlite cluster in passing: that is a migration, and `scale` does it."""
    if lacks_etcd(view):
        raise PreflightError(
            f"{view.spec.name} has one server with sqlite: further servers cannot join it",
            details=f"{view.spec.control_plane.count} servers needed",
            resolution=Advice(
                "`homelab-k8s scale control-plane {}` migrates its data to etcd first", view.spec.control_plane.count
            ),
        )


def lacks_etcd(view: ClusterView) -> bool:
    """Whether more servers are wanted than there are, and those there have no etcd that others could join."""
    return view.on_sqlite and view.spec.control_plane.count > len(view.kube_servers)
