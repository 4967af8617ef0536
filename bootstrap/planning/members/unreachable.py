"""Machines on Proxmox nodes that cannot be asked: whose they may be, what must wait for them, and the texts.

Their records cannot be read: vmid, tags and (for a few minutes) the name show whose they are. A VM that may be the
missing machine counts as that machine: it may run, write to the same storage and have the same address. See
docs/adr/0008-machines-out-of-sight.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError, PreflightError, few_lines
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.observed import OWNER_TAG, UnreachableVm
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.lock import lock_vmid, marker_name


def _may_be_ours(vm: UnreachableVm, spec: ClusterSpec) -> bool:
    """Whether an unreachable VM may be a machine of this cluster; its marker is none.

    Every machine has our tag and its cluster's; where these were removed, name and vmid decide. One that has both and
    another name was renamed.
    """
    if vm.name == marker_name(spec.name) or vm.vmid == lock_vmid(spec.placement.vmids):
        return False
    if vm.name and not vm.name.startswith(f"{spec.name}-"):
        return {OWNER_TAG, spec.name} <= vm.tags
    if spec.name in vm.tags:
        return True
    others = vm.tags - {OWNER_TAG}
    if vm.name:
        return not any(vm.name.startswith(f"{tag}-") for tag in others)
    return vm.vmid in spec.placement.vmids or not others


@dataclass(frozen=True, kw_only=True)
class Unreachable:
    """The unreachable machines of a cluster.

    Attributes:
        vms: All that may be machines of it, except the ones that the user has declared lost.
        named: Those of them whose names are known and are no visible machine's.
        addresses: Fixed addresses that are known to be theirs.
        blind: Whether every missing machine may be one of them, or may get the address of one: then none is made.
    """

    vms: tuple[UnreachableVm, ...]
    named: dict[MachineName, UnreachableVm]
    addresses: dict[MachineName, IPv4Address]
    blind: bool

    @classmethod
    def of(cls, view: ClusterView) -> Unreachable:
        """Those that are unreachable now."""
        vms = tuple(_by_its_name(vm, view) for vm in view.observed.unreachable if _counts(vm, view))
        named = {MachineName(vm.name): vm for vm in vms if vm.name and vm.name not in view.vm_of}
        addresses = dict(_addresses(named, view))
        blind = not all(vm.name for vm in vms) or _may_take_an_address(vms, addresses, view.spec)
        return cls(vms=vms, named=named, addresses=addresses, blind=blind)

    @property
    def unnamed(self) -> tuple[UnreachableVm, ...]:
        """Those whose names are not known: each may be any machine that is missing."""
        return tuple(vm for vm in self.vms if not vm.name)


def _addresses(names: Iterable[MachineName], view: ClusterView) -> Iterator[tuple[MachineName, IPv4Address]]:
    """Machines' fixed addresses, as far as they are known."""
    kept = {each.name: each.address for each in view.spec.kept}
    for name in names:
        kube_node = view.kube_nodes.get(name)
        address = kept.get(name) or (kube_node.address if kube_node is not None else None)
        if address is not None:
            yield name, address


def _counts(vm: UnreachableVm, view: ClusterView) -> bool:
    """Whether it may be a machine of the cluster that was not declared lost."""
    succeeded = (*view.replaced, *view.observed.declared_lost)
    replaced = any(vm.vmid == old.vmid and vm.name in ("", old.machine) for old in succeeded)
    return _may_be_ours(vm, view.spec) and not replaced


def _by_its_name(vm: UnreachableVm, view: ClusterView) -> UnreachableVm:
    """The VM, without its name if that is not one of ours: it does not show which machine it is."""
    return vm if vm.name.startswith(f"{view.spec.name}-") else replace(vm, name="")


def _may_take_an_address(
    vms: Sequence[UnreachableVm], addresses: Mapping[MachineName, IPv4Address], spec: ClusterSpec
) -> bool:
    """Whether one of them may have a fixed address that is not known."""
    storage = spec.network.storage
    if storage is not None and storage.addresses is not None and vms:
        return True
    return spec.network.addresses is not None and any(vm.name not in addresses for vm in vms)


def where(vm: UnreachableVm) -> str:
    """As in `vmid 7003 on pve2, which is offline`."""
    why = "which is offline" if vm.why == "offline" else f"which does not answer: {vm.why}"
    return f"vmid {vm.vmid} on {vm.pve_node}, {why}"


def unreachable_lines(view: ClusterView) -> tuple[str, ...]:
    """The one sentence on each machine that is unreachable: every command says it."""
    return tuple(
        Advice(
            "{} is unreachable ({}): it may be running, so it is not replaced; bring {} back, or, if it is lost: "
            "`homelab-k8s up --replace-unreachable {}`",
            vm.name or f"a machine of {view.spec.name}",
            where(vm),
            vm.pve_node,
            vm.name or "NAME",
        )
        for vm in view.unreachable.vms
    )


def left_behind(view: ClusterView) -> tuple[str, ...]:
    """What `down` cannot remove, a line each; VMs that were declared lost, too."""
    return tuple(
        Advice(
            "{} ({}) is left: run `homelab-k8s down` again once {} is back",
            vm.name or f"a machine of {view.spec.name}",
            where(vm),
            vm.pve_node,
        )
        for vm in view.observed.unreachable
        if _may_be_ours(vm, view.spec)
    )


def require_reachable(view: ClusterView, *, what: str, of: Sequence[UnreachableVm] | None = None) -> None:
    """Refuse what cannot be done while machines are unreachable.

    Args:
        view: The cluster, as wanted and as seen.
        what: What cannot be done, as in `demo cannot be rebuilt`.
        of: The ones that matter; None: all.

    Raises:
        PreflightError: There are such machines; nothing was touched.
    """
    vms = view.unreachable.vms if of is None else tuple(of)
    if not vms:
        return
    nodes = ", ".join(sorted({vm.pve_node for vm in vms}))
    names = " ".join(f"--replace-unreachable {vm.name or 'NAME'}" for vm in vms)
    raise PreflightError(
        f"{what} while machines are unreachable; nothing was changed",
        details=few_lines([f"{vm.name or 'a machine of unknown name'} ({where(vm)})" for vm in vms]),
        resolution=Advice("bring {} back; or, if they are lost: `homelab-k8s up {}` replaces them", nodes, names),
    )


def incomplete(cluster: ClusterName, command: str, told: Sequence[str]) -> HomelabError:
    """The error of a command that has done all it could, but not all that was asked."""
    return HomelabError(
        f"{command} of {cluster} is not complete: not all machines could be reached",
        details=few_lines(told),
        resolution=Advice("once the Proxmox node is back: `homelab-k8s {}` again", command),
    )
