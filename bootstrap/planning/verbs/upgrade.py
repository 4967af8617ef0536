"""Plans `upgrade`: rung by rung of a ladder of releases, on each the servers one at a time and then the agents.

A machine that runs a rung's release is passed over: that is how an upgrade that was killed continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines
from bootstrap.k3s.versions import (
    K3sVersion,
    Minor,
    Rung,
    check_direction,
    is_release,
    ladder,
    minors_between,
    parse_version,
)
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import machine_of
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Action, Plan, PlannedMachine, VmPlace
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.provision.upgrade_rollout import UpgradeCandidate, UpgradeRollout, interrupted
from bootstrap.planning.settings.snapshot_retention import before_upgrade
from bootstrap.records.vms.lock import check_lock_place
from bootstrap.records.vms.machine import is_ours

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class UpgradeOptions:
    """How machines are upgraded.

    Attributes:
        max_unavailable: How many agents at a time; servers go one at a time whatever it is.
        snapshot: Whether the cluster's data is saved before anything is touched.
        rules: How machines are drained.
    """

    max_unavailable: int = 1
    snapshot: bool = True
    rules: DrainRules = field(default_factory=DrainRules)


@dataclass(frozen=True, kw_only=True)
class UpgradeStart:
    """From where a cluster is upgraded.

    Attributes:
        candidates: Its machines, servers first, those that an earlier run left half-way before the others.
        lowest: The oldest version among them.
        highest: The newest.
        etcd: The oldest of a server with embedded etcd, or None.
    """

    candidates: tuple[UpgradeCandidate, ...]
    lowest: K3sVersion
    highest: K3sVersion
    etcd: K3sVersion | None

    def minors(self, target: K3sVersion) -> tuple[Minor, ...]:
        """Minor versions of which the newest release has to be known. Raises PreflightError."""
        check_direction(self.highest, target)
        return minors_between(self.lowest, target, etcd=self.etcd)


def upgrade_start(view: ClusterView) -> UpgradeStart:
    """From where the cluster is upgraded.

    Raises:
        PreflightError: No server answers, or machines are not as they should be; nothing was touched.
    """
    check_twins(view)
    require_reachable(view, what=f"{view.spec.name} cannot be upgraded")
    needed_server(view)
    problems: list[str] = []
    candidates: list[UpgradeCandidate] = []
    for vm, record in view.machines:
        kube_node = view.kube_nodes.get(record.machine)
        problem = _problem(vm, kube_node)
        if problem:
            problems.append(f"{record.machine}: {problem}")
        elif kube_node is not None and not is_release(kube_node.version):
            problems.append(
                f"{record.machine}: it reports k3s {ascii(kube_node.version)[:80]}, which is not a k3s version"
            )
        elif kube_node is not None:
            candidates.append(
                UpgradeCandidate(
                    machine=machine_of(vm, record),
                    arch=view.observed.k3s_arch(vm.pve_node),
                    kube_node=kube_node,
                    version=parse_version(kube_node.version),
                )
            )
    versions = [candidate.version for candidate in candidates]
    problems += [
        f"{candidate.machine.name}: not Ready ({candidate.kube_node.problem or 'no reason given'})"
        for candidate in candidates
        if not candidate.kube_node.ready and not interrupted(candidate, min(versions))
    ]
    if problems:
        raise PreflightError(
            f"{count(len(problems), 'machine')} of {view.spec.name} must be repaired before an upgrade; "
            "nothing was changed",
            details=few_lines(problems),
            resolution=Advice("run `homelab-k8s up` to repair them, then upgrade"),
        )
    lowest = min(versions)  # the server that answers is one of them
    return UpgradeStart(
        candidates=tuple(sorted(candidates, key=lambda candidate: _turn(candidate, lowest))),
        lowest=lowest,
        highest=max(versions),
        etcd=min((c.version for c in candidates if "etcd" in c.kube_node.roles), default=None),
    )


def _problem(vm: VmRecord, kube_node: KubeNode | None) -> str:
    """What keeps a machine from being upgraded, besides that it is not Ready."""
    if vm.record is not None and vm.record.state is RecordState.LEAVING and kube_node is None:
        return ""  # it has left Kubernetes; only its VM is still to go
    if vm.record is not None and vm.record.state is RecordState.CLONING:
        return "VM creation was interrupted"
    if vm.idle:
        return vm.idle
    return "not joined to the cluster" if kube_node is None else ""


def _turn(candidate: UpgradeCandidate, lowest: K3sVersion) -> tuple[bool, bool, bool, MachineName]:
    is_agent = candidate.machine.role is not Role.CONTROL_PLANE
    return (is_agent, candidate.kube_node.ready, not interrupted(candidate, lowest), candidate.machine.name)


def plan_upgrade(
    view: ClusterView,
    *,
    target: K3sVersion,
    newest: Mapping[Minor, K3sVersion],
    upgrading: UpgradeOptions,
) -> Plan:
    """Plan what it takes for every machine to run the target.

    Args:
        view: The cluster, as wanted and as seen.
        target: Where to.
        newest: The newest release of each of `UpgradeStart.minors`.
        upgrading: How.

    Raises:
        PreflightError: It cannot be done, or would be a downgrade; nothing was touched.
    """
    start = upgrade_start(view)
    check_direction(start.highest, target)
    rungs = ladder(start.lowest, target, newest=newest, etcd=start.etcd) or (Rung(version=target),)
    rollout = UpgradeRollout(
        candidates=start.candidates,
        rungs=rungs,
        access=needed_server(view),
        schedulable=_schedulable(view.observed, start),
        max_unavailable=upgrading.max_unavailable,
        snapshot=before_upgrade(str(target)) if upgrading.snapshot else None,
        rules=upgrading.rules,
    )
    machines = tuple(_planned(candidate, rollout, view.spec.name, view.observed) for candidate in start.candidates)
    strange = _strange_notes(start, view.observed, target)
    if not rollout.working:
        return bare_plan("upgrade", view, machines=machines, notes=strange)
    check_lock_place(view.spec, view.observed.vms)
    notes = (_way(start.lowest, rungs), *rollout.notes, *strange, *_inventory_notes(view.spec, target))
    return bare_plan("upgrade", view, machines=machines, lanes=rollout.lanes(view.spec), notes=notes)


def _schedulable(observed: Observed, start: UpgradeStart) -> frozenset[MachineName]:
    """Nodes that pods may come to: Ready, not tainted; what is cordoned now is not counted on."""
    candidates = {candidate.machine.name for candidate in start.candidates}
    return frozenset(
        kube_node.name
        for kube_node in observed.kube_nodes or ()
        if kube_node.ready
        and not any(
            taint.effect in ("NoSchedule", "NoExecute") and "unschedulable" not in taint.key
            for taint in kube_node.taints
        )
        and (kube_node.name in candidates or not kube_node.unschedulable)
    )


def _planned(
    candidate: UpgradeCandidate, rollout: UpgradeRollout, cluster: ClusterName, observed: Observed
) -> PlannedMachine:
    machine = candidate.machine
    # A machine's name may be in a stranger's record, too.
    vm = next(vm for vm in observed.vms if is_ours(vm, cluster) and vm.name == machine.name)
    place = VmPlace.of(machine.name, vm)
    turns = rollout.turns_of(candidate)
    if not turns:
        return PlannedMachine(spec=machine, place=place, action=Action.KEEP, reason="")
    ahead = [str(rung.version) for rung in turns if rung.version > candidate.version]
    reason = " -> ".join([str(candidate.version), *ahead]) if ahead else "finish an interrupted upgrade"
    return PlannedMachine(spec=machine, place=place, action=Action.UPGRADE, reason=reason)


def _way(lowest: K3sVersion, rungs: Sequence[Rung]) -> str:
    stops = [f"{rung.version} since {rung.why}" for rung in rungs if rung.why]
    way = " -> ".join([str(lowest), *(str(rung.version) for rung in rungs if rung.version > lowest)])
    return f"upgrade path: {way}" + (f"; by {'; by '.join(stops)}" if stops else "")


def _strange_notes(start: UpgradeStart, observed: Observed, target: K3sVersion) -> tuple[str, ...]:
    ours = {candidate.machine.name for candidate in start.candidates}
    return tuple(
        f"the Kubernetes node {kube_node.name} ({kube_node.version}) is not a machine of this cluster: it is not "
        "changed"
        for kube_node in observed.kube_nodes or ()
        if kube_node.name not in ours and kube_node.version != str(target)
    )


def _inventory_notes(spec: ClusterSpec, target: K3sVersion) -> tuple[str, ...]:
    if spec.k3s.version in (None, str(target)):
        return ()
    return (f"the inventory says k3s.version: {spec.k3s.version}: change it afterwards to {target}",)
