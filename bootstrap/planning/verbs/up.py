"""Plans `up`: missing machines are created, interrupted ones continued, broken ones repaired.

Nothing is removed and nothing that works is touched; surplus machines are named in the notes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from bootstrap.planning.manifests.plan import check_birth, manifest_notes, with_manifests
from bootstrap.planning.members.desired_machines import MachineState, Need
from bootstrap.planning.members.foreign import foreign_notes
from bootstrap.planning.members.names_and_tags import shown_restored, with_marks_restored
from bootstrap.planning.plan import Gate, Lane, Plan, PlannedMachine
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.allocation import Allocation, unchanged
from bootstrap.planning.provision.join_lanes import JoinLanes
from bootstrap.planning.provision.joining import KUBECONFIG, access_lane, kubeconfig_lane, ready
from bootstrap.planning.provision.lost_machines import LostMachines, plan_lost_machines
from bootstrap.planning.provision.vip_lanes import (
    VipPlan,
    plan_vip,
    vip_removal_lanes,
    with_other_settings,
    without_vip,
)
from bootstrap.planning.settings.cni import cni_notes
from bootstrap.planning.settings.drift import Drift, drifts
from bootstrap.planning.settings.hardening import hardening_notes
from bootstrap.planning.settings.notes import check_fixed, left_notes
from bootstrap.planning.settings.rollout import Rollout
from bootstrap.planning.settings.system import (
    container_notes,
    left_behind,
    shown_changed,
    system_changes,
    with_system,
)
from bootstrap.planning.view import ClusterView
from bootstrap.records.snapshot_note import check_bucket


def plan_up(view: ClusterView, *, version: str, restore: Path | None = None, migrates: bool = False) -> Plan:
    """Plan to make the cluster what the inventory says.

    Args:
        view: The cluster, as wanted and as seen.
        version: The k3s version for machines that join now; unused when nothing is to be done.
        restore: A snapshot's file whose data the first server gets, as long as none serves.
        migrates: Whether a single server with sqlite is moved to etcd, so that others can join: a rebuild was
            interrupted in between.

    Raises:
        PreflightError: It cannot be done: no template, no room, no vmid or address left.
    """
    check_families(view.spec, view.observed)
    check_fixed(view)
    check_birth(view)
    differing = drifts(view, view.states)
    rollout = _rollout(view, differing)
    if rollout.servers:
        check_bucket(view.spec)  # a server's settings have the bucket's keys
    notes = (*notes_on_drift(view, view.states), *foreign_notes(view), *left_notes(differing), *manifest_notes(view))
    lost = plan_lost_machines(view)
    reasons = _reasons(view, rollout)
    if reasons:
        joins = _joins(view, list(reasons), version=version, restore=restore, migrates=migrates)
        notes = (*joins.allocation.notes, *notes)
        lanes = _lanes_with_work(view, joins, rollout, lost)
    else:
        joins, lanes = None, _lanes_without_work(view, rollout, lost)
    changes = system_changes(view, view.states, restarting=rollout.names)
    coming = [change for drift in differing for change in drift.changes]
    notes = (*notes, *left_behind(view.observed.systems), *container_notes(view, view.states))
    notes = (*notes, *hardening_notes(view, view.states, coming), *cni_notes(view))
    machines = shown_changed(rollout.shown(_shown(view, joins, reasons)), changes)
    lanes = with_system(lanes, changes)
    lanes = with_manifests(view, with_marks_restored(lanes, view.states))
    machines = (*shown_restored(machines, view.states), *lost.machines)
    return bare_plan("up", view, machines=machines, lanes=lanes, notes=notes)


def _joins(
    view: ClusterView, names: Collection[MachineName], *, version: str, restore: Path | None, migrates: bool
) -> JoinLanes:
    """The lanes of machines that are created or repaired."""
    moves = migrates and lacks_etcd(view)
    if not moves:
        check_datastore(view)
    return JoinLanes(
        allocation=Allocation.of(view, view.states),
        work=[each for each in view.states if each.name in names],
        version=version,
        migrates=moves,
        restore=restore,
    )


def _shown(view: ClusterView, joins: JoinLanes | None, reasons: Mapping[MachineName, str]) -> Iterator[PlannedMachine]:
    for each in view.states:
        if joins is not None and each.name in reasons:
            yield joins.allocation.planned(each, reasons[each.name])
        elif each.shown:
            yield unchanged(each)


def _reasons(view: ClusterView, rollout: Rollout) -> Mapping[MachineName, str]:
    """Why something is done about machines; labels and taints of those in the roll-out come with their settings."""
    reasons = ((each.name, _reason(each, view)) for each in view.states if each.name not in rollout.names)
    return {name: reason for name, reason in reasons if reason}


def _reason(machine_state: MachineState, view: ClusterView) -> str:
    if machine_state.need is Need.JOIN and view.observed.kube_nodes is None:
        return "unknown whether it has joined the cluster"
    return machine_state.reason


def _lanes_with_work(view: ClusterView, joins: JoinLanes, rollout: Rollout, lost: LostMachines) -> tuple[Lane, ...]:
    """The lanes where machines are created or repaired."""
    repaired = _repaired_servers(view, joins.work)
    # New servers join servers with the same settings; servers that are repaired come before all that.
    joins = replace(joins, before_servers=(*lost.servers, *(() if repaired else rollout.servers)))
    rollout = replace(rollout, after=repaired, agents_after=joins.vip.joins)
    return (
        *joins.common_lanes(kubeconfig_after=(*rollout.agents_after, *_named(view.spec, rollout))),
        *rollout.lanes((*joins.machine_lanes(), *_removal(view, rollout, joins.work))),
        *lost.lanes,
    )


def _rollout(view: ClusterView, differing: Sequence[Drift]) -> Rollout:
    server = healthy_server(view)
    return Rollout.of(differing, access=server.name if server else None)


def _repaired_servers(view: ClusterView, work: Sequence[MachineState]) -> tuple[Gate, ...]:
    """Open once broken servers are Ready again: until then no other may be restarted."""
    healthy = healthy_server(view)
    return tuple(
        ready(each.name)
        for each in work
        if each.is_server and not each.missing and (healthy is None or each.name != healthy.name)
    )


def _lanes_without_work(view: ClusterView, rollout: Rollout, lost: LostMachines) -> tuple[Lane, ...]:
    """The lanes where no machine is created or repaired: changed settings, the VIP, lost machines."""
    going = [MachineName(lane.name) for lane in lost.lanes]
    server = healthy_server(view, besides=going)
    if server is None:
        return lost.lanes
    vip, gone = _vip_without_work(view, server), _removal(view, rollout, ())
    restarts = bool(rollout.turns or vip.first or gone or other_server(view))
    if not (going or restarts):
        return lost.lanes
    access, *rest = replace(rollout, agents_after=vip.joins).lanes((access_lane(view.spec, server), *vip.lanes, *gone))
    # Certificates come first: no server is reached by an address that its certificate is not for.
    served = tuple(replace(step, needs=(*step.needs, *rollout.servers)) for step in vip.first)
    access = replace(access, steps=(*access.steps, *served))
    kubeconfig = (kubeconfig_lane(view.spec, after=(*vip.joins, *_named(view.spec, rollout))),) if restarts else ()
    return (*kubeconfig, access, *rest, *lost.lanes)


def _vip_without_work(view: ClusterView, server: MachineSpec) -> VipPlan:
    changed = bool(with_other_settings(view))
    if not changed and not without_vip(view):
        return VipPlan()
    servers = [each for each in view.states if each.is_server]
    return plan_vip(view, servers=servers, through=server.name, changed=changed)


def _named(spec: ClusterSpec, rollout: Rollout) -> tuple[Gate, ...]:
    """Gates before a kubeconfig that has a name for the API: the servers' certificates are for it."""
    return rollout.servers if spec.api_name is not None else ()


def _removal(view: ClusterView, rollout: Rollout, work: Sequence[MachineState]) -> tuple[Lane, ...]:
    """The lanes that remove a VIP that the inventory no longer has."""
    server = healthy_server(view)
    if server is None:
        return ()
    working = [each.name for each in work]
    return vip_removal_lanes(view, through=server.name, working=working, after=(KUBECONFIG, *rollout.all))


def check_datastore(view: ClusterView) -> None:
    """Refuse to add servers to a cluster on sqlite: `scale` migrates it to etcd, `up` does not."""
    if lacks_etcd(view):
        raise PreflightError(
            f"{view.spec.name} has one server with sqlite: further servers cannot join it",
            details=f"{view.spec.control_plane.count} servers needed",
            resolution=Advice(
                "`homelab-k8s scale control-plane {}` migrates its data to etcd first", view.spec.control_plane.count
            ),
        )


def lacks_etcd(view: ClusterView) -> bool:
    """Whether more servers are wanted than exist, and these are on sqlite, so that others cannot join."""
    return view.on_sqlite and view.spec.control_plane.count > len(view.kube_servers)
