"""Machines on Proxmox nodes that cannot be asked: whose they may be, what is held back for them, and how it is said.

Their records cannot be read, so vmid, tags and (for a few minutes) the name tell whose they are. Whatever may be the
machine that is missing counts as that machine: it may run, write to the same storage and have the same address. See
docs/adr/0008-machines-out-of-sight.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError, PreflightError, few_lines
from bootstrap.model.cluster import ClusterSpec, VmidRange
from bootstrap.model.ids import ClusterName, MachineName
from bootstrap.model.machine import Replaced
from bootstrap.model.observed import OWNER_TAG, UnreachableVm
from bootstrap.records.lock import lock_vmid, marker_name

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def may_be_ours(vm: UnreachableVm, cluster: ClusterName, vmids: VmidRange) -> bool:
    """Whether an unreachable VM may be a machine of this cluster; its marker is none.

    Every machine carries our tag and its cluster's; where these were taken off, name and vmid have to tell. One that
    has both and another name was renamed.
    """
    if vm.name == marker_name(cluster) or vm.vmid == lock_vmid(vmids):
        return False
    if vm.name and not vm.name.startswith(f"{cluster}-"):
        return {OWNER_TAG, cluster} <= vm.tags
    if cluster in vm.tags:
        return True
    others = vm.tags - {OWNER_TAG}
    if vm.name:
        return not any(vm.name.startswith(f"{tag}-") for tag in others)
    return vm.vmid in vmids or not others


@dataclass(frozen=True, kw_only=True)
class Unreachable:
    """The unreachable machines of a cluster.

    Attributes:
        vms: All that may be machines of it, but for those that have successors by the user's word.
        named: Those of them whose names are known and are no visible machine's.
        unnamed: Those whose names are not: each may be any machine that is missing.
        addresses: Fixed addresses that are known to be theirs.
        blind: Whether every missing machine may be one of them, or may get the address of one: then none is made.
    """

    vms: tuple[UnreachableVm, ...]
    named: dict[MachineName, UnreachableVm]
    unnamed: tuple[UnreachableVm, ...]
    addresses: dict[MachineName, IPv4Address]
    blind: bool

    @classmethod
    def of(cls, view: ClusterView) -> Unreachable:
        """Those that are unreachable now."""
        vms = tuple(_by_its_name(vm, view) for vm in view.observed.unreachable if _counts(vm, view))
        named = {MachineName(vm.name): vm for vm in vms if vm.name and vm.name not in view.vm_of}
        addresses = {name: found for name in named if (found := _address(name, view)) is not None}
        unnamed = tuple(vm for vm in vms if not vm.name)
        return cls(
            vms=vms,
            named=named,
            unnamed=unnamed,
            addresses=addresses,
            blind=bool(unnamed) or _may_take_an_address(vms, addresses, view.spec),
        )


def _address(name: MachineName, view: ClusterView) -> IPv4Address | None:
    """A machine's fixed address, as far as it is known."""
    kept = (each.address for each in view.spec.kept if each.name == name and each.address is not None)
    node = view.kube_nodes.get(name)
    return next(kept, node.address if node is not None else None)


def _counts(vm: UnreachableVm, view: ClusterView) -> bool:
    """Whether it may be a machine of the cluster that has no successor by the user's word."""
    spec, succeeded = view.spec, {*view.stood_in_for, *view.observed.given_up}
    return may_be_ours(vm, spec.name, spec.placement.vmids) and not _is_one_of(vm, succeeded)


def _by_its_name(vm: UnreachableVm, view: ClusterView) -> UnreachableVm:
    """A name that somebody else has given it says nothing of which machine it is."""
    return vm if vm.name.startswith(f"{view.spec.name}-") else replace(vm, name="")


def _may_take_an_address(
    vms: Sequence[UnreachableVm], addresses: Mapping[MachineName, IPv4Address], spec: ClusterSpec
) -> bool:
    """Whether one of them may have a fixed address that is not known."""
    storage = spec.network.storage
    if storage is not None and storage.addresses is not None and vms:
        return True
    return spec.network.addresses is not None and any(vm.name not in addresses for vm in vms)


def _is_one_of(vm: UnreachableVm, machines: set[Replaced]) -> bool:
    return any(vm.vmid == old.vmid and vm.name in ("", old.machine) for old in machines)


def where(vm: UnreachableVm) -> str:
    """As in `vmid 7003 on pve2, which is offline`."""
    why = "which is offline" if vm.why == "offline" else f"which does not answer: {vm.why}"
    return f"vmid {vm.vmid} on {vm.pve_node}, {why}"


def lines(view: ClusterView) -> tuple[str, ...]:
    """The one sentence on each machine that is unreachable: every command says it."""
    return tuple(_lines(view))


def _lines(view: ClusterView) -> Iterator[str]:
    for vm in view.unreachable.vms:
        who = vm.name or f"a machine of {view.spec.name}"
        name = vm.name or "NAME"
        yield Advice(
            "{} is unreachable ({}): it may be running, so it is not replaced; bring {} back, or, if it is lost: "
            "`homelab-k8s up --replace-unreachable {}`",
            who,
            where(vm),
            vm.pve_node,
            name,
        )


def left_behind(view: ClusterView) -> tuple[str, ...]:
    """What `down` cannot remove, a line each, those that have successors too."""
    return tuple(
        Advice(
            "{} ({}) is left: run `homelab-k8s down` again once {} is back",
            vm.name or f"a machine of {view.spec.name}",
            where(vm),
            vm.pve_node,
        )
        for vm in view.observed.unreachable
        if may_be_ours(vm, view.spec.name, view.spec.placement.vmids)
    )


def require_reachable(view: ClusterView, *, what: str, of: Sequence[UnreachableVm] | None = None) -> None:
    """Refuse what cannot be done while machines are unreachable.

    Args:
        view: The cluster, as wanted and as seen.
        what: What cannot be done, as in `demo cannot be rebuilt`.
        of: Those that matter; None: all.

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
    """The error with which a command ends that has done all it could, and yet not all that was asked."""
    return HomelabError(
        f"{command} of {cluster} is not complete: not all machines could be reached",
        details=few_lines(told),
        resolution=Advice("once the Proxmox node is back: `homelab-k8s {}` again", command),
    )
