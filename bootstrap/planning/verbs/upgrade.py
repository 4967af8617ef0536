"""Plans `upgrade`: release by release, with each the servers one at a time and then the agents.

A machine that runs a release already is skipped: that is how an interrupted upgrade continues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import KubeNode, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.desired_machines import machine_of
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Action, Plan, PlannedMachine
from bootstrap.planning.plan_base import bare_plan
from bootstrap.planning.provision.decommission import DrainRules, schedulable
from bootstrap.planning.provision.upgrade_rollout import UpgradeCandidate, UpgradeRollout, interrupted
from bootstrap.planning.settings.snapshot_retention import before_upgrade

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class UpgradeOptions:
    """How machines are upgraded.

    Attributes:
        max_unavailable: How many agents at a time; servers are always upgraded one at a time.
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
        candidates: Its machines, servers first, those that an interrupted run has begun with before the others.
    """

    candidates: tuple[UpgradeCandidate, ...]

    @property
    def lowest(self) -> K3sVersion:
        """The oldest version that a machine runs."""
        return min(each.version for each in self.candidates)

    @property
    def highest(self) -> K3sVersion:
        """The newest."""
        return max(each.version for each in self.candidates)

    @property
    def etcd(self) -> K3sVersion | None:
        """The oldest of a server with embedded etcd, or None."""
        return min((each.version for each in self.candidates if "etcd" in each.kube_node.roles), default=None)

    def minors(self, target: K3sVersion) -> tuple[Minor, ...]:
        """Minor versions of which the newest release has to be known. Raises PreflightError."""
        check_direction(self.highest, target)
        return minors_between(self.lowest, target, etcd=self.etcd)


def upgrade_start(view: ClusterView) -> UpgradeStart:
    """From where the cluster is upgraded.

    Raises:
        PreflightError: No server answers, or machines need a repair first; nothing was touched.
    """
    check_twins(view)
    require_reachable(view, what=f"{view.spec.name} cannot be upgraded")
    needed_server(view)
    found = [(vm, record, view.kube_nodes.get(record.machine)) for vm, record in view.machines]
    start = UpgradeStart(candidates=tuple(_candidates(view)))
    problems = [f"{record.machine}: {why}" for vm, record, kube_node in found if (why := _problem(vm, kube_node))]
    problems += [
        f"{each.name}: not Ready ({each.kube_node.problem or 'no reason given'})"
        for each in start.candidates
        if not each.kube_node.ready and not interrupted(each, start.lowest)
    ]
    if problems:
        raise PreflightError(
            f"{count(len(problems), 'machine')} of {view.spec.name} must be repaired before an upgrade; "
            "nothing was changed",
            details=few_lines(problems),
            resolution=Advice("run `homelab-k8s up` to repair them, then upgrade"),
        )
    return UpgradeStart(candidates=tuple(sorted(start.candidates, key=lambda each: _turn(each, start.lowest))))


def _candidates(view: ClusterView) -> Iterator[UpgradeCandidate]:
    for vm, record in view.machines:
        kube_node = view.kube_nodes.get(record.machine)
        if kube_node is not None and not _problem(vm, kube_node):
            yield UpgradeCandidate(
                machine=machine_of(vm, record),
                arch=view.observed.k3s_arch(vm.pve_node),
                kube_node=kube_node,
                version=parse_version(kube_node.version),
            )


def _problem(vm: VmRecord, kube_node: KubeNode | None) -> str:
    """What keeps a machine from being upgraded, besides not being Ready."""
    if vm.record is not None and vm.record.state is RecordState.LEAVING and kube_node is None:
        return ""  # it has left Kubernetes; only its VM is still to be destroyed
    if vm.record is not None and vm.record.state is RecordState.CLONING:
        return "VM creation was interrupted"
    if vm.idle:
        return vm.idle
    if kube_node is None:
        return "not joined to the cluster"
    if not is_release(kube_node.version):
        return f"it reports k3s {ascii(kube_node.version)[:80]}, which is not a k3s version"
    return ""


def _turn(candidate: UpgradeCandidate, lowest: K3sVersion) -> tuple[bool, bool, bool, MachineName]:
    return (not candidate.is_server, candidate.kube_node.ready, not interrupted(candidate, lowest), candidate.name)


def plan_upgrade(
    view: ClusterView,
    *,
    target: K3sVersion,
    newest: Mapping[Minor, K3sVersion],
    upgrading: UpgradeOptions,
) -> Plan:
    """Plan the upgrade of all machines to the target.

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
        schedulable=schedulable(view),
        max_unavailable=upgrading.max_unavailable,
        snapshot=before_upgrade(str(target)) if upgrading.snapshot else None,
        rules=upgrading.rules,
    )
    machines = tuple(_planned(candidate, rollout, view) for candidate in start.candidates)
    strange = _strange_notes(view, target)
    if not rollout.working:
        return bare_plan("upgrade", view, machines=machines, notes=strange)
    notes = (_way(start.lowest, rungs), *rollout.notes(), *strange)
    return bare_plan("upgrade", view, machines=machines, lanes=rollout.lanes(view.spec), notes=notes)


def _planned(candidate: UpgradeCandidate, rollout: UpgradeRollout, view: ClusterView) -> PlannedMachine:
    vm = view.vm_of[candidate.name]
    turns = rollout.turns_of(candidate)
    if not turns:
        return PlannedMachine.of(candidate.machine, vm, Action.KEEP)
    ahead = [str(rung.version) for rung in turns if rung.version > candidate.version]
    reason = " -> ".join([str(candidate.version), *ahead]) if ahead else "finish an interrupted upgrade"
    return PlannedMachine.of(candidate.machine, vm, Action.UPGRADE, reason)


def _way(lowest: K3sVersion, rungs: Sequence[Rung]) -> str:
    stops = [f"{rung.version} since {rung.why}" for rung in rungs if rung.why]
    way = " -> ".join([str(lowest), *(str(rung.version) for rung in rungs if rung.version > lowest)])
    return f"upgrade path: {way}" + (f"; by {'; by '.join(stops)}" if stops else "")


def _strange_notes(view: ClusterView, target: K3sVersion) -> tuple[str, ...]:
    return tuple(
        f"the Kubernetes node {name} ({kube_node.version}) is not a machine of this cluster: it is not changed"
        for name, kube_node in view.kube_nodes.items()
        if name not in view.vm_of and kube_node.version != str(target)
    )
