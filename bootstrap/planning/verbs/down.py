"""Plans `down`: all machines of the cluster are removed, those whose creation was interrupted too, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineRecord, Role
from bootstrap.model.observed import VmRecord
from bootstrap.planning.capacity.maintenance import removal_reason
from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.checks.foreign_disks import check_detached, notes_on_detached
from bootstrap.planning.members.desired_machines import machine_of
from bootstrap.planning.members.foreign import all_foreign, claims, foreign_notes, namesake_notes
from bootstrap.planning.members.pool_members import ordinal_of
from bootstrap.planning.members.unreachable import left_behind
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, Plan, PlannedMachine, VmPlace
from bootstrap.planning.steps import DestroyVm, ForgetCluster, StopVm
from bootstrap.records.vms.lock import marker_of

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


LOCAL_FILES = "local-files"
"""The lane in which what this computer keeps of the cluster is removed."""


def plan_down(view: ClusterView, *, has_traces: bool, detach_disks: bool = False, command: str = "down") -> Plan:
    """Plan the removal of all machines of the cluster.

    Args:
        view: The cluster, as wanted and as seen.
        has_traces: Whether the state directory or a kubeconfig holds something of the cluster.
        detach_disks: Whether disks of Kubernetes volumes are detached from the VMs that hold them.
        command: What removes them: `down` or `rebuild`.

    Raises:
        PreflightError: VMs hold such disks, and they may not be detached.
    """
    if not detach_disks:
        check_detached(view.spec, view.vms, command=command)
    ours = sorted(
        view.machines,
        key=lambda pair: (pair[1].role is not Role.CONTROL_PLANE, pair[1].pool, ordinal_of(pair[1].machine)),
    )
    names = [_key(vm, record, view.twins) for vm, record in ours]
    left = left_behind(view)
    lanes = [
        Lane.of(
            name,
            StopVm(machine=name, detach_disks=detach_disks),
            LaneStep(step=DestroyVm(machine=name, detach_disks=detach_disks), opens=(_vm_gone(name),)),
        )
        for name in names
    ]
    marked = marker_of(view.spec.name, view.observed.vms) is not None
    # Machines that may still run, or that only have to be adopted, need the token, keys and kubeconfig.
    if not left and not all_foreign(view) and (ours or has_traces or marked):
        gone = tuple(map(_vm_gone, names))
        lanes.append(Lane.of(LOCAL_FILES, LaneStep(step=ForgetCluster(cluster=view.spec.name), needs=gone)))
    return Plan(
        command="down",
        cluster=view.spec.name,
        machines=tuple(_planned(name, vm, record) for name, (vm, record) in zip(names, ours, strict=True)),
        lanes=tuple(lanes),
        notes=(
            *left,
            *foreign_notes(view),
            *namesake_notes(view),
            *unfinished_notes(view),
            *notes_on_detached(view.vms),
        ),
        unreached=left,
        foreign=len(claims(view)),
        reserved_vmids=view.observed.used_vmids,
        vmids=view.spec.placement.vmids,
        marked=marked,
    )


def _vm_gone(name: MachineName) -> Gate:
    """Open once a VM is destroyed."""
    return Gate("vm_gone", name)


def _key(vm: VmRecord, record: MachineRecord, doubled: Collection[MachineName]) -> MachineName:
    """What the plan calls a VM: the machine's name; where that has several VMs, with the vmid."""
    return MachineName(f"{record.machine}/{vm.vmid}") if record.machine in doubled else record.machine


def _planned(name: MachineName, vm: VmRecord, record: MachineRecord) -> PlannedMachine:
    place = VmPlace.of(record.machine, vm)
    state = "running" if vm.running else "powered off"
    machine = replace(machine_of(vm, record), name=name)
    return PlannedMachine(spec=machine, place=place, action=Action.DESTROY, reason=removal_reason(state, vm))
