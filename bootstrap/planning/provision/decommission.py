"""How machines leave a cluster: marked, drained, out of Kubernetes and etcd, then their VM goes."""

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
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, Plan, PlannedMachine, VmPlace
from bootstrap.planning.provision.joining import API_REACHABLE
from bootstrap.planning.steps import DestroyVm, StopVm

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


REMOVAL_BEGUN = "removal was already in progress"


@dataclass(frozen=True, kw_only=True)
class DrainRules:
    """What a drain may do.

    Attributes:
        delete_local_data: Pods with emptyDir volumes may go; those of kube-system that come again may in any case.
        delete_bare: Pods that no controller brings back may go.
        timeout_s: For all evictions of a machine together.
    """

    delete_local_data: bool = False
    delete_bare: bool = False
    timeout_s: float = 300.0

    def step(self, name: MachineName) -> Drain:
        """The step that drains a machine by these rules."""
        return Drain(
            machine=name,
            delete_local_data=self.delete_local_data,
            delete_bare=self.delete_bare,
            timeout_s=self.timeout_s,
        )


def removed(name: MachineName) -> Gate:
    """Open once a machine is gone, its VM too."""
    return Gate("left", name)


def out_of_kubernetes(name: MachineName) -> Gate:
    """Open once a machine is no part of Kubernetes and of etcd any more."""
    return Gate("out_of_kubernetes", name)


def removal_lane(
    member: Member, *, role: Role, rules: DrainRules, needs: tuple[Gate, ...] = (), drains: bool = True
) -> Lane:
    """A machine's way out.

    Args:
        member: What there is of it.
        role: A server leaves etcd too.
        rules: How it is drained.
        needs: Gates before it is drained; it is marked at once.
        drains: Whether pods have somewhere to go at all.
    """
    name = member.name
    steps: list[LaneStep] = []
    if member.vm is not None:
        steps.append(LaneStep(step=MarkLeaving(machine=name)))
    gates = (API_REACHABLE, *needs)
    if member.kube_node is not None and drains:
        steps.append(LaneStep(step=rules.step(name), needs=gates))
    steps.append(
        LaneStep(
            step=DeleteKubeNode(machine=name, server=role is Role.CONTROL_PLANE),
            needs=gates,
            opens=(out_of_kubernetes(name),) if member.vm is not None else (out_of_kubernetes(name), removed(name)),
        )
    )
    if member.vm is not None:
        if role is Role.CONTROL_PLANE and member.vm.running and not member.vm.idle:
            steps.append(LaneStep(step=RetireServer(machine=name)))
        steps += [
            LaneStep(step=StopVm(machine=name)),
            LaneStep(step=DestroyVm(machine=name), opens=(removed(name),)),
        ]
    return Lane(name=name, steps=tuple(steps))


def planned_removal(member: Member, reason: str) -> PlannedMachine | None:
    """How the plan shows a machine that leaves; None for one that has no VM."""
    vm = member.vm
    if vm is None or vm.record is None:
        return None
    place = VmPlace.of(member.name, vm)
    return PlannedMachine(
        spec=machine_of(vm, vm.record), place=place, action=Action.DESTROY, reason=removal_reason(reason, vm)
    )


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
    servers = {kube_node.name: kube_node for kube_node in view.kube_servers if view.etcd_members}
    # The dead first: each that goes makes the majority smaller and costs nobody.
    leave = sorted((name for name in going if name in servers), key=lambda name: servers[name].ready)
    voters, alive = len(servers), sum(kube_node.ready for kube_node in servers.values())
    for name in leave:
        voters, alive = voters - 1, alive - servers[name].ready
        if alive < voters // 2 + 1:
            down = [name for name, kube_node in sorted(servers.items()) if not kube_node.ready]
            raise PreflightError(
                f"{view.spec.name} would lose its etcd majority: {count(alive, 'server')} of {voters} would be Ready "
                f"without {name}; nothing was changed",
                details=f"not Ready now: {', '.join(down) or 'none'}; {voters // 2 + 1} of {voters} are needed",
                resolution=Advice("repair the servers that are not Ready first: `homelab-k8s up`"),
            )


def with_record_state(observed: Observed, names: Collection[MachineName], state: RecordState) -> Observed:
    """What would be seen once these machines' records say so."""

    def rewritten(vm: VmRecord) -> VmRecord:
        if vm.record is None or vm.record.machine not in names or vm.record.state is RecordState.CLONING:
            return vm
        return replace(vm, record=replace(vm.record, state=state))

    return replace(observed, vms=tuple(rewritten(vm) for vm in observed.vms))


def with_local_data(plan: Plan) -> Plan:
    """The plan with drains that may lose the content of emptyDir volumes."""

    def may(lane_step: LaneStep) -> LaneStep:
        step = lane_step.step
        return replace(lane_step, step=replace(step, delete_local_data=True)) if isinstance(step, Drain) else lane_step

    lanes = tuple(replace(lane, steps=tuple(may(each) for each in lane.steps)) for lane in plan.lanes)
    return replace(plan, lanes=lanes, follows=tuple(with_local_data(each) for each in plan.follows))
