"""The cluster as wanted and as seen, joined once per observation: what every plan asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineRecord, Role
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.records.machine import is_ours


@dataclass(frozen=True)
class ClusterView:
    """One cluster: its spec beside what was observed. What follows from both is computed once, when first asked for.

    A machine that is there more than once (see `planning.members.twins`) is so in `machines`, and once in the mappings.
    """

    spec: ClusterSpec
    observed: Observed

    @cached_property
    def machines(self) -> tuple[tuple[VmRecord, MachineRecord], ...]:
        """The cluster's VMs and containers, beyond doubt, each with its record."""
        return tuple((vm, vm.record) for vm in self.observed.vms if vm.record and is_ours(vm, self.spec.name))

    @cached_property
    def vms(self) -> tuple[VmRecord, ...]:
        """The cluster's VMs and containers."""
        return tuple(vm for vm, _ in self.machines)

    @cached_property
    def vm_of(self) -> Mapping[MachineName, VmRecord]:
        """The cluster's VMs by the machines they are; the names of all machines that exist."""
        return {record.machine: vm for vm, record in self.machines}

    @cached_property
    def running_servers(self) -> tuple[VmRecord, ...]:
        """The VMs of the control plane that are powered on."""
        return tuple(vm for vm, record in self.machines if vm.running and record.role is Role.CONTROL_PLANE)

    @cached_property
    def kube_nodes(self) -> Mapping[MachineName, KubeNode]:
        """The nodes Kubernetes has, by name, neighbours' too; none where the API could not be asked."""
        return {kube_node.name: kube_node for kube_node in self.observed.kube_nodes or ()}

    @cached_property
    def kube_servers(self) -> tuple[KubeNode, ...]:
        """The nodes of the control plane that Kubernetes has."""
        return tuple(kube_node for kube_node in self.kube_nodes.values() if "control-plane" in kube_node.roles)

    @cached_property
    def on_sqlite(self) -> bool:
        """Whether the control plane runs without etcd: k3s keeps one server's data in sqlite then."""
        return bool(self.kube_servers) and not any("etcd" in server.roles for server in self.kube_servers)
