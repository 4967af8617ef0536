"""Two machines that claim one address: a connection there may reach the wrong one, with our secrets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address

from bootstrap.advice import Advice, joined
from bootstrap.model.observed import VmRecord
from bootstrap.planning.view import ClusterView

_AGENT = "by its guest agent"
_PROXMOX = "by its settings in Proxmox"
_KUBERNETES = "by its Kubernetes node"


def claim_lines(view: ClusterView) -> tuple[str, ...]:
    """A sentence on each address that several machines claim.

    A guest agent reports what root in the machine wants, and so does a kubelet of its node. The VIP belongs to no
    machine.
    """
    claims: defaultdict[IPv4Address, dict[str, tuple[VmRecord, str]]] = defaultdict(dict)
    for name, vm, address, how in _claims(view):
        if view.spec.vip is None or address != view.spec.vip.address:
            claims[address].setdefault(name, (vm, how))
    return tuple(_line(address, by) for address, by in sorted(claims.items()) if len(by) > 1)


def _claims(view: ClusterView) -> Iterator[tuple[str, VmRecord, IPv4Address, str]]:
    agents = dict(view.observed.addresses)
    for vm, record in sorted(view.machines, key=lambda pair: pair[0].vmid):
        name = record.machine
        kube_node = view.kube_nodes.get(name)
        # The address of a node that is not Ready is old: another machine may have it by right.
        of_node = kube_node.address if kube_node is not None and kube_node.ready and vm.running else None
        found = (
            (agents.get(name), _AGENT),
            (vm.address, _PROXMOX),
            (vm.storage_address, _PROXMOX),
            (of_node, _KUBERNETES),
        )
        yield from ((name, vm, address, how) for address, how in found if address is not None)


def _line(address: IPv4Address, claims: dict[str, tuple[VmRecord, str]]) -> str:
    names = [f"{name} (vmid {vm.vmid} on {vm.pve_node}, {how})" for name, (vm, how) in claims.items()]
    either = joined(" or ", (Advice("`homelab-k8s replace {}`", name) for name in claims))
    return Advice(
        "{} claim the address {}: connections may reach the wrong one; find out which of them should not have it (a "
        "duplicate lease, a copy, an intruder), and replace that one: {}",
        " and ".join(names),
        address,
        either,
    )
