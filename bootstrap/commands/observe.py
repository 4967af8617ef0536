"""Reads what there is: Proxmox VE first, then the cluster's own API where one may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
from bootstrap.model.observed import GuestInterface, KubeNode, Observed, VmRecord
from bootstrap.model.record import is_ours
from bootstrap.planning.addresses import choose_address
from bootstrap.planning.kubeconfig import with_server
from bootstrap.ports import Ports, PveFacts


def observe_cluster(spec: ClusterSpec, ports: Ports) -> Observed:
    """Everything planning may know. Reads only."""
    facts = ports.hypervisor.observe(cluster=spec.name, vmids=spec.placement.vmids)
    running = [vm for vm in facts.vms if is_ours(vm, spec.name) and vm.running]
    interfaces = _interfaces(ports, running)
    addresses = _addresses(spec, running, interfaces)
    kube_nodes, problem = _kube_nodes(spec, ports, running, addresses)
    observed = _observed(facts, addresses, kube_nodes, problem)
    return replace(observed, vip_holder=_vip_holder(spec, interfaces))


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


def _interfaces(ports: Ports, running: list[VmRecord]) -> dict[MachineName, tuple[GuestInterface, ...]]:
    """The running machines' interfaces as their guest agents tell them now.

    An agent that does not answer costs 3 s, so after the first silent one on a Proxmox node the rest of that
    node's are left for the run itself to wait for.
    """
    found: dict[MachineName, tuple[GuestInterface, ...]] = {}
    silent: set[str] = set()
    for vm in running:
        if vm.record is None or vm.pve_node in silent:
            continue
        try:
            found[vm.record.machine] = ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node)
        except (AgentNotRunningError, TransientError):
            silent.add(vm.pve_node)
            continue
        except (AgentNotConfiguredError, PermissionDeniedError):
            continue  # the run meets the same answer and says what to do about it
    return found


def _addresses(
    spec: ClusterSpec, running: list[VmRecord], interfaces: Mapping[MachineName, tuple[GuestInterface, ...]]
) -> dict[MachineName, IPv4Address]:
    found: dict[MachineName, IPv4Address] = {}
    for vm in running:
        if vm.record is None or vm.record.machine not in interfaces:
            continue
        seen = interfaces[vm.record.machine]
        chosen = choose_address(seen, mac=vm.mac, subnet=spec.network.subnet, besides=_shared_addresses(spec))
        if isinstance(chosen, IPv4Address):
            found[vm.record.machine] = chosen
    return found


def _shared_addresses(spec: ClusterSpec) -> tuple[IPv4Address, ...]:
    return (spec.vip.address,) if spec.vip else ()


def _vip_holder(spec: ClusterSpec, interfaces: Mapping[MachineName, tuple[GuestInterface, ...]]) -> MachineName | None:
    """Who has the API's own address now."""
    for name, seen in interfaces.items():
        if spec.vip is not None and any(spec.vip.address in interface.addresses for interface in seen):
            return name
    return None


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
        kube = ports.kube.connect(with_server(kubeconfig, address))
        try:
            return kube.kube_nodes(), ""
        except KubernetesError as error:
            problem = str(error)
        finally:
            kube.close()
    return None, problem
