"""What is known about guests by their VMIDs: kind, name, and where they are now.

VMs move between two requests: by hand, by Proxmox HA, away from a Proxmox node in maintenance. A request for a VM that
moved fails as if the VM were gone (`Configuration file ... does not exist`): its config is under another Proxmox node.
Whether a VMID is in use anywhere is known at once, without privileges, from the cluster's own file system
(`/cluster/nextid`). Where it is, each Proxmox node's own list says, since `/cluster/resources` lags. Only for an
unreachable Proxmox node does `/cluster/resources` count: it keeps the VMs of such a node.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.errors import HypervisorError, PermissionDeniedError, VmidTakenError, VmNotFoundError, VmOutOfSightError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord, container_identity
from bootstrap.proxmox.failures import PveNodeUnreachableError
from bootstrap.proxmox.reading import answers, configs

T = TypeVar("T")

WORDS = {MachineKind.VM: "qemu", MachineKind.LXC: "lxc"}
"""Proxmox VE's own, in paths."""
_PASSES = 2
"""Over all Proxmox nodes: a VM can move from one that is yet to be asked to one that was."""
_LOOKS = 4
"""How often a VM is looked for in one call."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GuestAt:
    """A VM or container on the Proxmox node where it is asked for.

    Attributes:
        path: Its path in the API.
        label: How errors name it: `VM 7001 (demo-cp-1) on pve1`, `CT 7002 (demo-light-1) on pve1`.
    """

    vmid: Vmid
    pve_node: PveNodeName
    path: str
    label: str

    def __str__(self) -> str:
        """Its label."""
        return self.label


@dataclass(kw_only=True)
class _Known:
    """What is known of a VMID.

    Attributes:
        identity: As `VmRecord.identity`; None where it is not known which very guest it is.
        pve_node: Where it was found after it had moved.
    """

    kind: MachineKind = MachineKind.VM
    name: str = ""
    ha_managed: bool = False
    identity: str | None = None
    pve_node: PveNodeName | None = None


class GuestRegistry:
    """Names guests, and finds those that moved. Safe to use from many threads.

    Args:
        api: The Proxmox VE API.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._guard = threading.Lock()
        self._known: defaultdict[Vmid, _Known] = defaultdict(_Known)

    def learn(self, vm: VmRecord) -> None:
        """Note what was read of a guest."""
        with self._guard:
            known = self._known[vm.vmid]
            known.name, known.kind, known.ha_managed = vm.name, vm.kind, vm.ha_managed
            known.identity = vm.identity or known.identity

    def learn_name(self, vmid: Vmid, name: str, kind: MachineKind = MachineKind.VM) -> None:
        """Note what a guest is called, and whether it is a container."""
        with self._guard:
            self._known[vmid].name, self._known[vmid].kind = name, kind

    def forget(self, vmid: Vmid) -> None:
        """Note that a VMID is free, or another guest's from now on."""
        with self._guard:
            known = self._known[vmid]
            known.pve_node = known.identity = None

    def kind(self, vmid: Vmid) -> MachineKind:
        """Whether it is a VM or a container; an unknown one is asked for as a VM, and not found."""
        with self._guard:
            return self._known[vmid].kind

    def is_ha_managed(self, vmid: Vmid) -> bool:
        """Whether Proxmox HA managed it when it was last read."""
        with self._guard:
            return self._known[vmid].ha_managed

    def at(self, vmid: Vmid, pve_node: PveNodeName) -> GuestAt:
        """A guest on a Proxmox node, whether or not it is there."""
        with self._guard:
            known = replace(self._known[vmid])
        word = "VM" if known.kind is MachineKind.VM else "CT"
        named = f" ({known.name})" if known.name else ""
        return GuestAt(
            vmid=vmid,
            pve_node=pve_node,
            path=f"nodes/{pve_node}/{WORDS[known.kind]}/{vmid}",
            label=f"{word} {vmid}{named} on {pve_node}",
        )

    def latest(self, vmid: Vmid, pve_node: PveNodeName) -> GuestAt:
        """A guest that was seen on `pve_node`: there, unless it was found elsewhere since."""
        with self._guard:
            found = self._known[vmid].pve_node
        return self.at(vmid, found or pve_node)

    def follow(self, vmid: Vmid, pve_node: PveNodeName, act: Callable[[GuestAt], T]) -> T:
        """Act on a guest where it is now.

        Args:
            vmid: Which.
            pve_node: Where it was seen.
            act: Given the guest on the Proxmox node to ask.

        Raises:
            VmNotFoundError: It is gone, from the whole Proxmox cluster.
            VmOutOfSightError: It may be on an unreachable Proxmox node.
        """
        guest = self.latest(vmid, pve_node)
        for _ in range(_LOOKS):
            try:
                return act(guest)
            except (VmNotFoundError, PveNodeUnreachableError) as error:
                found = self._now(vmid, guest.pve_node, error)
            logger.info("VM %s is on %s now, was on %s", vmid, found, guest.pve_node)
            with self._guard:
                self._known[vmid].pve_node = found
            guest = self.at(vmid, found)
        raise HypervisorError(
            f"VM {vmid} was seen on {guest.pve_node}, but was not found there",
            resolution="it is being migrated: wait until that has ended, then run the command again",
        )

    def locate(self, vmid: Vmid, *, was_on: PveNodeName) -> PveNodeName | None:
        """Where a guest is now, looked for in the whole cluster; None where it is gone, or another has its VMID.

        Raises:
            VmOutOfSightError: It may be on an unreachable Proxmox node.
        """
        away: set[PveNodeName] = set()
        for _ in range(_PASSES):
            if self.is_free(vmid):
                return None
            found, away = self._look_everywhere(vmid)
            if found is not None:
                pve_node, kind = found
                return pve_node if kind is self.kind(vmid) and self._is_the_one(vmid, pve_node) else None
        raise self._out_of_sight(vmid, away, was_on)

    def is_free(self, vmid: Vmid) -> bool:
        """Whether nothing in the cluster has a VMID, also none of the guests that the token cannot see."""
        try:
            self._api.read("cluster/nextid", what=f"ask whether the vmid {vmid} is free", vmid=vmid)
        except VmidTakenError:
            return False
        return True

    def _look_everywhere(self, vmid: Vmid) -> tuple[tuple[PveNodeName, MachineKind] | None, set[PveNodeName]]:
        """Who lists the VMID, as what; and the unreachable Proxmox nodes."""
        nodes = dict(answers.rows(self._api.read("nodes", what="list the Proxmox nodes"), answers.named_row))
        away = {name for name, online in nodes.items() if not online}
        for pve_node in sorted(nodes.keys() - away):
            try:
                for kind in MachineKind:
                    if self._is_on(vmid, pve_node, kind):
                        return (pve_node, kind), away
            except PveNodeUnreachableError as error:
                logger.info("%s", error)
                away.add(pve_node)
        return None, away

    def _now(self, vmid: Vmid, pve_node: PveNodeName, error: HypervisorError) -> PveNodeName:
        """The Proxmox node that has the guest; raises `error` where there is none."""
        if isinstance(error, PveNodeUnreachableError) and self._listed_on(vmid) in (None, pve_node):
            raise error
        found = self.locate(vmid, was_on=pve_node)
        if found is None:
            raise error
        return found

    def _is_on(self, vmid: Vmid, pve_node: PveNodeName, kind: MachineKind) -> bool:
        listing = self._api.read(f"nodes/{pve_node}/{WORDS[kind]}", what=f"look for VM {vmid} on {pve_node}")
        return vmid in answers.rows(listing, lambda row: answers.vmid(row.at("vmid")))

    def _is_the_one(self, vmid: Vmid, pve_node: PveNodeName) -> bool:
        """Whether it is the guest that was known by this VMID; where none was known, any counts."""
        with self._guard:
            known = self._known[vmid].identity
        if known is None:
            return True
        path, what = f"{self.at(vmid, pve_node).path}/config", f"read the config of {vmid} on {pve_node}"
        try:
            config = configs.scalars(self._api.read(path, what=what))
        except (VmNotFoundError, PermissionDeniedError) as error:
            logger.info("%s", error)
            return False
        if self.kind(vmid) is MachineKind.VM:
            return configs.smbios_uuid(config) == known
        return container_identity(configs.mac(config.get("net0"))) == known

    def _out_of_sight(self, vmid: Vmid, away: set[PveNodeName], was_on: PveNodeName) -> VmOutOfSightError:
        """The error for a VMID that is in use, but on no reachable Proxmox node."""
        listed_on = self._listed_on(vmid)
        unasked = sorted(name for name in away if listed_on in (None, name))
        if unasked:
            names = ", ".join(unasked)
            return VmOutOfSightError(
                f"VM {vmid} was on {was_on}, and {names} cannot be reached: it may have moved there",
                resolution=f"bring {names} back (`pvecm status` on another Proxmox node), then run the command again",
            )
        return VmOutOfSightError(
            f"VM {vmid} was on {was_on}; its VMID is in use, but this token sees it on no Proxmox node",
            resolution="find it as root, and restore the token's rights (VM.Audit), then run the command again",
        )

    def _listed_on(self, vmid: Vmid) -> PveNodeName | None:
        """Where `/cluster/resources` has a VMID; None where it has none that this token may see."""
        listing = self._api.read("cluster/resources", what=f"look for VM {vmid} in the cluster", type="vm")
        places = answers.rows(
            listing, lambda row: (answers.vmid(row.at("vmid")), answers.pve_node_name(row.at("node")))
        )
        return next((pve_node for found, pve_node in places if found == vmid), None)
