"""What was seen: values read from Proxmox VE, from Kubernetes and from guests, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address

from bootstrap.manifests.values import ManifestsSeen
from bootstrap.model.ids import MachineName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import Replaced
from bootstrap.model.observed.guests import GuestInterface, GuestSettings, Settings, SettingsFile
from bootstrap.model.observed.kubernetes import KubeNode, Pod, Refusal, Snapshot
from bootstrap.model.observed.pve_nodes import ARCHITECTURES, LostQuorum, PveNodeFacts, PveVersion, StorageFacts, Vnet
from bootstrap.model.observed.templates import CUSTOM_MODEL, NEVER_LINKED, OsTemplate, TemplateFacts
from bootstrap.model.observed.vms import OWNER_TAG, UNCHECKED, UnreachableVm, VmRecord, container_identity, has_tag
from bootstrap.model.settings.system import GuestSystem

__all__ = [
    "ARCHITECTURES",
    "CUSTOM_MODEL",
    "NEVER_LINKED",
    "OWNER_TAG",
    "UNCHECKED",
    "GuestInterface",
    "GuestSettings",
    "KubeNode",
    "LostQuorum",
    "Observed",
    "OsTemplate",
    "Pod",
    "PveNodeFacts",
    "PveVersion",
    "Refusal",
    "Settings",
    "SettingsFile",
    "Snapshot",
    "StorageFacts",
    "TemplateFacts",
    "UnreachableVm",
    "VmRecord",
    "Vnet",
    "container_identity",
    "has_tag",
]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that planning may know of the world.

    Attributes:
        vms: Every VM that is ours, half-made or that stands where ours would stand (name or vmid).
        used_vmids: All vmids in use in the Proxmox cluster, as far as the token sees them.
        kube_nodes: The cluster's nodes, or None where its API could not be asked.
        kube_problem: Why not, in one line.
        vip_holder: The running machine that has the API's own address; None where none was seen to.
        other_vips: Running machines with another address of that kind (/32), such as a VIP of before.
        kubeconfig_server: The server that our entries in the user's kubeconfig name; None where that is not known.
        addresses: Address of each running machine, as its guest agent reports it now.
        taken: Addresses of the machines' range at which another host answers.
        lost_quorum: Set where the Proxmox cluster has no quorum; None too where the token may not ask (Sys.Audit).
        ostemplates: Templates of containers; looked for only where a pool is to have containers.
        unreachable: VMs on Proxmox nodes that cannot be asked which may be machines of this tool, of any cluster.
        declared_lost: The ones that the user has just declared lost; each gets a successor.
        settings: The settings files of machines that were read: what `KubeNode.args` does not show.
        systems: In what machines that were asked differ from the inventory's packages and kernel settings.
        passed_over: What Proxmox VE listed and is of odd form, a line each; VMs have their own `problem`.
        manifests: How Kubernetes' objects differ from the inventory's manifests; None where it has none.
        refusing: Machines that refused our SSH key.
        prepared: Machines that said to have files, packages or kernel settings of an inventory.
    """

    version: PveVersion
    pve_nodes: tuple[PveNodeFacts, ...]
    templates: tuple[TemplateFacts, ...]
    vms: tuple[VmRecord, ...] = ()
    used_vmids: frozenset[Vmid] = frozenset()
    kube_nodes: tuple[KubeNode, ...] | None = None
    kube_problem: str = ""
    addresses: tuple[tuple[MachineName, IPv4Address], ...] = field(default=())
    vip_holder: MachineName | None = None
    other_vips: tuple[MachineName, ...] = ()
    kubeconfig_server: str | None = None
    taken: frozenset[IPv4Address] = frozenset()
    ostemplates: tuple[OsTemplate, ...] = ()
    unreachable: tuple[UnreachableVm, ...] = ()
    declared_lost: tuple[Replaced, ...] = ()
    lost_quorum: LostQuorum | None = None
    settings: tuple[GuestSettings, ...] = ()
    systems: tuple[GuestSystem, ...] = ()
    passed_over: tuple[str, ...] = ()
    manifests: ManifestsSeen | None = None
    refusing: tuple[MachineName, ...] = ()
    prepared: tuple[MachineName, ...] = ()

    def k3s_arch(self, pve_node: PveNodeName) -> str:
        """The architecture of a Proxmox node as k3s's releases name it; amd64 where it is unknown."""
        return next((facts.k3s_arch for facts in self.pve_nodes if facts.name == pve_node), "amd64")

    @property
    def vnets(self) -> frozenset[str]:
        """The SDN vnets of all Proxmox nodes."""
        return frozenset(vnet.name for pve_node in self.pve_nodes for vnet in pve_node.vnets)

    @property
    def shared_storages(self) -> frozenset[StorageName]:
        """Storages that Proxmox nodes have together, their room too."""
        return frozenset(storage.name for facts in self.pve_nodes for storage in facts.storages if storage.shared)
