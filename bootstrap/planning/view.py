"""The cluster as wanted and as seen, joined once per observation: every plan asks it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PveNodeName
from bootstrap.model.machine import MachineRecord, NodePool, Replaced, Role
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.records.vms.machine import is_ours

if TYPE_CHECKING:
    from bootstrap.planning.members.desired_machines import MachineState
    from bootstrap.planning.members.unreachable import Unreachable


@dataclass(frozen=True)
class ClusterView:
    """One cluster: its spec beside what was observed. What follows from both is computed once, when first asked for.

    A machine that has several VMs (see `twins`) is in `machines` with each, and in the mappings with one. All of
    planning imports this module, so it imports the rest of planning only when it is asked.
    """

    spec: ClusterSpec
    observed: Observed

    @cached_property
    def machines(self) -> tuple[tuple[VmRecord, MachineRecord], ...]:
        """The cluster's own VMs and containers, each with its record."""
        return tuple((vm, vm.record) for vm in self.observed.vms if vm.record and is_ours(vm, self.spec.name))

    @cached_property
    def vms(self) -> tuple[VmRecord, ...]:
        """The cluster's VMs and containers."""
        return tuple(vm for vm, _ in self.machines)

    @cached_property
    def vm_of(self) -> Mapping[MachineName, VmRecord]:
        """The cluster's VMs by the machines they are; the names of all machines that exist."""
        return {record.machine: vm for vm, record in self.machines}

    def may_use(self, pve_node: PveNodeName, pool: NodePool | None = None) -> bool:
        """Whether the inventory allows machines, or those of a pool, on a Proxmox node."""
        allowed = (pool.pve_nodes if pool is not None else ()) or self.spec.placement.pve_nodes
        return not allowed or pve_node in allowed

    @cached_property
    def twins(self) -> Mapping[MachineName, tuple[VmRecord, ...]]:
        """The machines that have several VMs, with these by vmid."""
        found: defaultdict[MachineName, list[VmRecord]] = defaultdict(list)
        for vm, record in sorted(self.machines, key=lambda pair: (pair[0].vmid, pair[0].pve_node)):
            found[record.machine].append(vm)
        return {name: tuple(vms) for name, vms in found.items() if len(vms) > 1}

    @cached_property
    def states(self) -> tuple[MachineState, ...]:
        """Each wanted machine with its VM and Kubernetes node, in order.

        Raises:
            PreflightError: A range of addresses is used up, or a machine that was declared lost gets no successor.
        """
        from bootstrap.planning.members.desired_machines import machine_states

        return machine_states(self)

    @cached_property
    def unreachable(self) -> Unreachable:
        """The unreachable machines of the cluster."""
        from bootstrap.planning.members.unreachable import Unreachable

        return Unreachable.of(self)

    @cached_property
    def replaced(self) -> frozenset[Replaced]:
        """Lost machines that the user had replaced, by the records of those that replace them."""
        return frozenset(old for _, record in self.machines for old in record.replaces)

    @cached_property
    def replaced_names(self) -> frozenset[MachineName]:
        """Their names, and those of machines just declared lost."""
        return frozenset(old.machine for old in (*self.replaced, *self.observed.declared_lost))

    @cached_property
    def running_servers(self) -> tuple[VmRecord, ...]:
        """The VMs of the control plane that are powered on."""
        return tuple(vm for vm, record in self.machines if vm.running and record.role is Role.CONTROL_PLANE)

    @cached_property
    def kube_nodes(self) -> Mapping[MachineName, KubeNode]:
        """The nodes Kubernetes has, by name, neighbours' too; none where the API could not be asked."""
        return {kube_node.name: kube_node for kube_node in self.observed.kube_nodes or ()}

    @cached_property
    def lost(self) -> frozenset[MachineName]:
        """The Kubernetes nodes, neighbours' too, without a VM of the cluster and without a successor.

        One that is Ready runs somewhere and is no lost machine of ours, unless an unreachable VM may be it. One that is
        being deleted was removed, and its name is not free until it is gone.
        """
        may_run = bool(self.unreachable.unnamed)
        gone = (each for name, each in self.kube_nodes.items() if name not in self.vm_of and not each.deleting)
        return frozenset(each.name for each in gone if may_run or not each.ready) - self.replaced_names

    @cached_property
    def kube_servers(self) -> tuple[KubeNode, ...]:
        """The nodes of the control plane that Kubernetes has."""
        return tuple(kube_node for kube_node in self.kube_nodes.values() if "control-plane" in kube_node.roles)

    @cached_property
    def etcd_members(self) -> tuple[KubeNode, ...]:
        """The nodes that are in etcd; the member of one that is being deleted has left it."""
        return tuple(each for each in self.kube_nodes.values() if "etcd" in each.roles and not each.deleting)

    @cached_property
    def on_sqlite(self) -> bool:
        """Whether the control plane runs without etcd: k3s keeps one server's data in sqlite then."""
        return bool(self.kube_servers) and not any("etcd" in each.roles for each in self.kube_servers)
