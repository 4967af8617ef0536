"""The cluster as wanted and as seen, joined once per observation: what every plan asks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineRecord
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.records.machine import is_ours


@dataclass(frozen=True)
class ClusterView:
    """One cluster: its spec beside what was observed. What follows from both is computed once, when first asked for."""

    spec: ClusterSpec
    observed: Observed

    @cached_property
    def vms(self) -> tuple[VmRecord, ...]:
        """The cluster's VMs and containers, beyond doubt."""
        return tuple(vm for vm in self.observed.vms if is_ours(vm, self.spec.name))

    @cached_property
    def records(self) -> tuple[MachineRecord, ...]:
        """The records of the cluster's VMs, in their order."""
        return tuple(vm.record for vm in self.vms if vm.record)

    @cached_property
    def vm_of(self) -> dict[MachineName, VmRecord]:
        """The cluster's VMs by the name of their machine."""
        return {vm.record.machine: vm for vm in self.vms if vm.record}

    @cached_property
    def kube_node_of(self) -> dict[MachineName, KubeNode]:
        """The cluster's Kubernetes nodes by name; none where the API could not be asked."""
        return {kube_node.name: kube_node for kube_node in self.observed.kube_nodes or ()}
