"""Reads what there is: Proxmox VE first, then the cluster's own API where one may answer."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from bootstrap.errors import (
    AgentNotConfiguredError,
    AgentNotRunningError,
    KubernetesError,
    PermissionDeniedError,
    TransientError,
)
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Role
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.model.record import is_ours
from bootstrap.planning.addresses import choose_address
from bootstrap.ports import Ports, PveFacts

_SERVER_LINE = re.compile(r"server: https://[^\s]+")


def observe_cluster(spec: ClusterSpec, ports: Ports) -> Observed:
    """Everything planning may know. Reads only."""
    facts = ports.hypervisor.observe(cluster=spec.name, vmids=spec.placement.vmids)
    running = [vm for vm in facts.vms if is_ours(vm, spec.name) and vm.running]
    addresses = _addresses(spec, ports, running)
    kube_nodes, problem = _kube_nodes(spec, ports, running, addresses)
    return _observed(facts, addresses, kube_nodes, problem)


def _observed(
    facts: PveFacts,
    addresses: dict[MachineName, IPv4Address],
    kube_nodes: tuple[KubeNode, ...] | None,
    problem: str,
) -> Observed:
    return Observed(
        version=facts.version,
        pve_nodes=facts.pve_nodes,
        templates=facts.templates,
        # Proxmox VE lists them in any order, and another one each time.
        vms=tuple(sorted(facts.vms, key=lambda vm: vm.vmid)),
        used_vmids=facts.used_vmids,
        kube_nodes=kube_nodes,
        kube_problem=problem,
        addresses=tuple(sorted(addresses.items())),
    )


def _addresses(spec: ClusterSpec, ports: Ports, running: list[VmRecord]) -> dict[MachineName, IPv4Address]:
    """The running machines' addresses as their guest agents tell them now.

    An agent that does not answer costs 3 s, so after the first silent one on a Proxmox node the rest of that
    node's are left for the run itself to wait for.
    """
    found: dict[MachineName, IPv4Address] = {}
    silent: set[str] = set()
    for vm in running:
        if vm.record is None or vm.pve_node in silent:
            continue
        try:
            interfaces = ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
        except (AgentNotRunningError, TransientError):
            silent.add(vm.pve_node)
            continue
        except (AgentNotConfiguredError, PermissionDeniedError):
            continue  # the run meets the same answer and says what to do about it
        chosen = choose_address(interfaces, mac=vm.mac, subnet=spec.network.subnet)
        if isinstance(chosen, IPv4Address):
            found[vm.record.machine] = chosen
    return found


def _kube_nodes(
    spec: ClusterSpec, ports: Ports, running: list[VmRecord], addresses: dict[MachineName, IPv4Address]
) -> tuple[tuple[KubeNode, ...] | None, str]:
    """The Kubernetes nodes, asked of each server in turn until one answers."""
    kubeconfig = ports.state.read(spec.name, "kubeconfig")
    if kubeconfig is None:
        return None, "no kubeconfig of the cluster in the state directory"
    servers = [
        addresses[vm.record.machine]
        for vm in running
        if vm.record and vm.record.role is Role.CONTROL_PLANE and vm.record.machine in addresses
    ]
    up = [vm.name for vm in running if vm.record and vm.record.role is Role.CONTROL_PLANE]
    problem = f"the guest agent of {', '.join(up)} does not tell an address" if up else "no server is running"
    for address in servers:
        kube = ports.kube.connect(_SERVER_LINE.sub(f"server: https://{address}:6443", kubeconfig))
        try:
            return kube.kube_nodes(), ""
        except KubernetesError as error:
            problem = str(error)
        finally:
            kube.close()
    return None, problem
