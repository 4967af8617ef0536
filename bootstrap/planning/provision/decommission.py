"""How machines are removed: marked, drained, taken out of Kubernetes and etcd, and their VM destroyed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.model.words import count
from bootstrap.planning.capacity.maintenance import removal_reason
from bootstrap.planning.day2_steps import DeleteKubeNode, Drain, MarkLeaving, RetireServer
from bootstrap.planning.members.desired_machines import machine_of
from bootstrap.planning.members.pool_members import Member
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, Plan, PlannedMachine
from bootstrap.planning.provision.joining import API_REACHABLE
from bootstrap.planning.steps import DestroyVm, Step, StopVm

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


REMOVAL_BEGUN = "removal was already in progress"


@dataclass(frozen=True, kw_only=True)
class DrainRules:
    """What a drain may do.

    Attributes:
        delete_local_data: Evict pods with emptyDir volumes too; those of kube-system that are recreated may go anyway.
        delete_bare: Evict pods that no controller manages too.
        detach_disks: Remove a VM too that still holds disks of Kubernetes volumes; these are detached from it.
        timeout_s: For all evictions of a machine together.
    """

    delete_local_data: bool = False
    delete_bare: bool = False
    detach_disks: bool = False
    timeout_s: float = 300.0

    def step(self, name: MachineName) -> Drain:
        """The step that drains a machine by these rules."""
        return Drain(
            machine=name,
            delete_local_data=self.delete_local_data,
            delete_bare=self.delete_bare,
            detach_disks=self.detach_disks,
            timeout_s=self.timeout_s,
        )


def removed(name: MachineName) -> Gate:
    """Open once a machine is gone, its VM too."""
    return Gate("removed", name)


def out_of_kubernetes(name: MachineName) -> Gate:
    """Open once a machine is no longer in Kubernetes and etcd."""
    return Gate("out_of_kubernetes", name)


def removal_lane(member: Member, *, role: Role, rules: DrainRules, needs: tuple[Gate, ...] = ()) -> Lane:
    """The lane that removes a machine.

    Args:
        member: Its VM and Kubernetes node.
        role: A server leaves etcd too.
        rules: How it is drained.
        needs: Gates before it is drained; it is marked at once.
    """
    name, vm, is_server = member.name, member.vm, role is Role.CONTROL_PLANE
    gates = (API_REACHABLE, *needs)
    out = (out_of_kubernetes(name),)
    steps: list[Step | LaneStep] = [MarkLeaving(machine=name)] if vm is not None else []
    if member.kube_node is not None:
        steps.append(LaneStep(step=rules.step(name), needs=gates))
    delete = DeleteKubeNode(machine=name, server=is_server)
    if vm is None:
        return Lane.of(name, *steps, LaneStep(step=delete, needs=gates, opens=(*out, removed(name))))
    steps.append(LaneStep(step=delete, needs=gates, opens=out))
    if is_server and vm.running and not vm.idle:
        steps.append(RetireServer(machine=name))
    return Lane.of(
        name,
        *steps,
        StopVm(machine=name, detach_disks=rules.detach_disks),
        LaneStep(step=DestroyVm(machine=name, detach_disks=rules.detach_disks), opens=(removed(name),)),
    )


def schedulable(view: ClusterView) -> frozenset[MachineName]:
    """Nodes that pods can be scheduled to once the machines are uncordoned: Ready, not tainted."""
    return frozenset(
        name
        for name, kube_node in view.kube_nodes.items()
        if kube_node.ready
        and not any(
            taint.effect in ("NoSchedule", "NoExecute") and "unschedulable" not in taint.key
            for taint in kube_node.taints
        )
        and (name in view.vm_of or not kube_node.unschedulable)
    )


def planned_removal(member: Member, reason: str) -> PlannedMachine | None:
    """How the plan shows a machine that is removed; None for one that has no VM."""
    vm = member.vm
    if vm is None or vm.record is None:
        return None
    return PlannedMachine.of(machine_of(vm, vm.record), vm, Action.DESTROY, removal_reason(reason, vm))


def why_removed(member: Member) -> str:
    """Why this one, in a few words."""
    if member.leaving:
        return REMOVAL_BEGUN
    if member.vm is None:
        return "VM missing"
    if member.vm.idle:
        return member.vm.idle
    return "running" if member.well else "not Ready"


def check_quorum(view: ClusterView, *, going: Iterable[MachineName]) -> None:
    """Refuse where etcd would lose its majority on the way.

    Raises:
        PreflightError: With the arithmetic.
    """
    servers = {each.name: each.ready for each in view.kube_servers if not each.deleting} if view.etcd_members else {}
    voters, alive = len(servers), sum(servers.values())
    # Those not Ready first: the majority gets smaller without them, and none that serves is lost.
    for name in sorted((name for name in going if name in servers), key=servers.__getitem__):
        voters, alive = voters - 1, alive - servers[name]
        if alive < voters // 2 + 1:
            down = ", ".join(sorted(each for each, is_ready in servers.items() if not is_ready))
            raise PreflightError(
                f"{view.spec.name} would lose its etcd majority: {count(alive, 'server')} of {voters} would be Ready "
                f"without {name}; nothing was changed",
                details=f"not Ready now: {down or 'none'}; {voters // 2 + 1} of {voters} are needed",
                resolution=Advice("repair the servers that are not Ready first: `homelab-k8s up`"),
            )


def with_record_state(observed: Observed, names: Collection[MachineName], state: RecordState) -> Observed:
    """What would be seen once the records of these machines have this state."""

    def rewritten(vm: VmRecord) -> VmRecord:
        if vm.record is None or vm.record.machine not in names or vm.record.state is RecordState.CLONING:
            return vm
        return replace(vm, record=replace(vm.record, state=state))

    return replace(observed, vms=tuple(map(rewritten, observed.vms)))


def with_local_data(plan: Plan) -> Plan:
    """The plan with drains that may lose the content of emptyDir volumes."""

    def may(lane_step: LaneStep) -> LaneStep:
        step = lane_step.step
        return replace(lane_step, step=replace(step, delete_local_data=True)) if isinstance(step, Drain) else lane_step

    lanes = tuple(replace(lane, steps=tuple(map(may, lane.steps))) for lane in plan.lanes)
    return replace(plan, lanes=lanes, follows=tuple(map(with_local_data, plan.follows)))
