"""Plans `down`: every machine of the cluster goes, half-made ones too; nothing else does."""

from __future__ import annotations

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import Observed, VmRecord
from bootstrap.model.record import is_ours
from bootstrap.planning.drift import strangers_notes
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan, PlannedMachine, VmPlace
from bootstrap.planning.steps import DestroyVm, ForgetCluster, StopVm


def plan_down(spec: ClusterSpec, observed: Observed, *, has_traces: bool) -> Plan:
    """Plan the removal of all that is ours.

    Args:
        spec: For the cluster's name.
        observed: What there is.
        has_traces: Whether the state directory or a kubeconfig holds something of the cluster.
    """
    ours = sorted((vm for vm in observed.vms if is_ours(vm, spec.name)), key=_order)
    lanes = [_lane(vm) for vm in ours]
    if ours or has_traces:
        gone = tuple(Gate("vm_gone", vm.name) for vm in ours)
        lanes.append(
            Lane(name="traces", steps=(LaneStep(step=ForgetCluster(cluster=spec.name), needs=gone),)),
        )
    return Plan(
        command="down",
        cluster=spec.name,
        machines=tuple(_planned(vm) for vm in ours),
        lanes=tuple(lanes),
        notes=strangers_notes(spec, observed),
        reserved_vmids=observed.used_vmids,
        vmids=spec.placement.vmids,
    )


def _order(vm: VmRecord) -> tuple[bool, str]:
    return (vm.record is not None and vm.record.role is not Role.CONTROL_PLANE, vm.name)


def _lane(vm: VmRecord) -> Lane:
    machine = _machine(vm).name
    return Lane(
        name=machine,
        steps=(
            LaneStep(step=StopVm(machine=machine)),
            LaneStep(step=DestroyVm(machine=machine), opens=(Gate("vm_gone", machine),)),
        ),
    )


def _machine(vm: VmRecord) -> MachineSpec:
    if vm.record is None:  # cannot be: only VMs with a record are ours
        raise AssertionError(vm)
    return MachineSpec(
        name=vm.record.machine,
        role=vm.record.role,
        pool=vm.record.pool,
        cores=vm.cores,
        memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
        cpu_type=vm.cpu_type,
        address=vm.record.address,
    )


def _planned(vm: VmRecord) -> PlannedMachine:
    machine = _machine(vm)
    place = VmPlace(machine=machine.name, pve_node=vm.pve_node, vmid=vm.vmid, smbios_uuid=vm.smbios_uuid)
    state = "running" if vm.running else "powered off"
    return PlannedMachine(spec=machine, place=place, action="destroy", reason=state)
