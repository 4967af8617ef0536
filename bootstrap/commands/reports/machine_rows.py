"""The machines of a cluster, each as one row: its VM and its Kubernetes node side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bootstrap.commands.reports.status_values import MachineStatus
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import KubeNode, VmRecord
from bootstrap.planning.checks.drift import differing_sizes
from bootstrap.planning.checks.status_problems import standing_state, vm_state
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.view import ClusterView


def machine_rows(view: ClusterView, wanted: Sequence[MachineState]) -> Iterator[MachineStatus]:
    """The machines that are wanted, then the cluster's others."""
    for state in wanted:
        machine, unreachable = state.machine, state.unreachable
        row = _row(view, machine.name, machine.role, machine.pool, state.vm)
        yield replace(
            row,
            wanted=machine,
            kind=machine.kind,
            differs=differing_sizes(state),
            vm=standing_state(state),
            pve_node=unreachable.pve_node if unreachable else row.pve_node,
            vmid=unreachable.vmid if unreachable else row.vmid,
        )
    shown = {state.name: state.vm for state in wanted}
    for vm, record in view.machines:
        if shown.get(record.machine) != vm:
            yield _row(view, record.machine, record.role, record.pool, vm)


def _row(view: ClusterView, name: MachineName, role: Role, pool: PoolName, vm: VmRecord | None) -> MachineStatus:
    row = MachineStatus(
        name=name,
        role=role,
        pool=pool,
        address=dict(view.observed.addresses).get(name),
        vm=vm_state(vm),
        ready=None if view.observed.kube_nodes is None else False,
        holds_vip=view.observed.vip_holder == name,
    )
    return _with_vm(_with_kube_node(row, view.kube_nodes.get(name)), vm)


def _with_kube_node(row: MachineStatus, kube_node: KubeNode | None) -> MachineStatus:
    if kube_node is None:
        return row
    return replace(
        row,
        address=row.address or kube_node.address,
        ready=kube_node.ready,
        k3s_version=kube_node.version,
        cordoned=kube_node.unschedulable,
        stale=kube_node.stale,
        os_image=kube_node.os_image,
    )


def _with_vm(row: MachineStatus, vm: VmRecord | None) -> MachineStatus:
    if vm is None:
        return row
    return replace(
        row,
        kind=vm.kind,
        pve_node=vm.pve_node,
        vmid=vm.vmid,
        address=row.address or vm.address,
        cores=vm.cores,
        memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
        cpu_type=vm.cpu_type,
        leaving=vm.state is RecordState.LEAVING,
    )
