"""Where a VM is now. VMs move between two looks: by hand, by Proxmox HA, off a Proxmox node in maintenance.

A VM that moved is answered as one that is gone (`Configuration file ... does not exist`): its config is under another
Proxmox node. Whether a vmid is in use anywhere the cluster's own file system tells at once, without privileges
(`/cluster/nextid`); where it is, each Proxmox node's own list, since `/cluster/resources` lags. Only of a Proxmox node
that cannot be asked does the latter decide: it keeps such a node's VMs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.errors import HypervisorError, PermissionDeniedError, VmidTakenError, VmNotFoundError, VmOutOfSightError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
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


class Whereabouts:
    """Follows VMs that moved, and remembers where they are. Safe to use from many threads.

    Args:
        api: The Proxmox VE API.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._guard = threading.Lock()
        self._places: dict[Vmid, PveNodeName] = {}
        self._identities: dict[Vmid, str] = {}

    def learn(self, vm: VmRecord) -> None:
        """Note which very VM a vmid is."""
        if vm.identity is not None:
            with self._guard:
                self._identities[vm.vmid] = vm.identity

    def forget(self, vmid: Vmid) -> None:
        """Note that a vmid is free, or another VM's from now on."""
        with self._guard:
            self._places.pop(vmid, None)
            self._identities.pop(vmid, None)

    def of(self, vmid: Vmid, pve_node: PveNodeName) -> PveNodeName:
        """Where a VM is that was seen on `pve_node`: there, unless it was found elsewhere since."""
        with self._guard:
            return self._places.get(vmid, pve_node)

    def follow(
        self, vmid: Vmid, pve_node: PveNodeName, act: Callable[[PveNodeName], T], *, kind: MachineKind = MachineKind.VM
    ) -> T:
        """Act on a VM where it is now.

        Args:
            vmid: Which.
            pve_node: Where it was seen.
            act: Given the Proxmox node to ask.
            kind: What it is.

        Raises:
            VmNotFoundError: It is gone, from the whole Proxmox cluster.
            VmOutOfSightError: It may be on a Proxmox node that cannot be asked.
        """
        where = self.of(vmid, pve_node)
        for _ in range(_LOOKS):
            try:
                return act(where)
            except (VmNotFoundError, PveNodeUnreachableError) as error:
                found = self._now(vmid, where, kind, error)
            logger.info("VM %s is on %s now, was on %s", vmid, found, where)
            where = found
            with self._guard:
                self._places[vmid] = where
        raise HypervisorError(
            f"VM {vmid} was seen on {where}, but was not found there",
            resolution="it is being migrated: wait until that has ended, then run the command again",
        )

    def locate(self, vmid: Vmid, *, kind: MachineKind, was_on: PveNodeName) -> PveNodeName | None:
        """Where a VM is now, looked for in the whole cluster; None where it is gone, or another VM has its vmid.

        Raises:
            VmOutOfSightError: It may be on a Proxmox node that cannot be asked.
        """
        away: set[PveNodeName] = set()
        for _ in range(_PASSES):
            if self._is_free(vmid):
                return None
            found, away = self._look_everywhere(vmid)
            if found is not None:
                pve_node, is_kind = found
                return pve_node if is_kind is kind and self._is_the_one(vmid, pve_node, kind) else None
        raise self._out_of_sight(vmid, away, was_on)

    def _look_everywhere(self, vmid: Vmid) -> tuple[tuple[PveNodeName, MachineKind] | None, set[PveNodeName]]:
        """Who lists the vmid, as what; and the Proxmox nodes that cannot be asked."""
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

    def _now(self, vmid: Vmid, pve_node: PveNodeName, kind: MachineKind, error: HypervisorError) -> PveNodeName:
        """The Proxmox node that has the VM; raises `error` where there is none."""
        if isinstance(error, PveNodeUnreachableError) and self._told(vmid) in (None, pve_node):
            raise error
        found = self.locate(vmid, kind=kind, was_on=pve_node)
        if found is None:
            raise error
        return found

    def _is_free(self, vmid: Vmid) -> bool:
        try:
            self._api.read("cluster/nextid", what=f"ask whether the vmid {vmid} is free", vmid=vmid)
        except VmidTakenError:
            return False
        return True

    def _is_on(self, vmid: Vmid, pve_node: PveNodeName, kind: MachineKind) -> bool:
        listing = self._api.read(f"nodes/{pve_node}/{WORDS[kind]}", what=f"look for VM {vmid} on {pve_node}")
        return vmid in answers.rows(listing, lambda row: answers.vmid(row.at("vmid")))

    def _is_the_one(self, vmid: Vmid, pve_node: PveNodeName, kind: MachineKind) -> bool:
        """Whether it is the VM that was known by this vmid; one that was not known may be anybody's."""
        with self._guard:
            known = self._identities.get(vmid)
        if known is None:
            return True
        try:
            config = self._api.read(
                f"nodes/{pve_node}/{WORDS[kind]}/{vmid}/config", what=f"read the config of {vmid} on {pve_node}"
            )
        except (VmNotFoundError, PermissionDeniedError) as error:
            logger.info("%s", error)
            return False
        return _identity(configs.scalars(config), kind) == known

    def _out_of_sight(self, vmid: Vmid, away: set[PveNodeName], was_on: PveNodeName) -> VmOutOfSightError:
        """The error for a vmid that is in use, but not where anybody could be asked."""
        told = self._told(vmid)
        unasked = sorted(name for name in away if told in (None, name))
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

    def _told(self, vmid: Vmid) -> PveNodeName | None:
        """Where `/cluster/resources` has a VM; None where it has none of that vmid that this token may see."""
        listing = self._api.read("cluster/resources", what=f"look for VM {vmid} in the cluster", type="vm")
        places = answers.rows(
            listing, lambda row: (answers.vmid(row.at("vmid")), answers.pve_node_name(row.at("node")))
        )
        return next((pve_node for found, pve_node in places if found == vmid), None)


def _identity(config: configs.Config, kind: MachineKind) -> str | None:
    """As `VmRecord.identity`, from a config alone."""
    record = VmRecord(
        vmid=Vmid(0),
        name="",
        pve_node=PveNodeName(""),
        running=False,
        kind=kind,
        mac=configs.mac(config.get("net0")),
        smbios_uuid=configs.smbios_uuid(config),
    )
    return record.identity
