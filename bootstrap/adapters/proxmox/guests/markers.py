"""Marker VMs on a real Proxmox VE (or the lab's)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.reachable_nodes import from_online, online_nodes
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.errors import HypervisorError, PermissionDeniedError, TransientError, VmNotFoundError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.ports import Marker
from bootstrap.proxmox.reading import answers, configs

_DISK_KEY = re.compile(rf"{configs.DRIVE_KEY.pattern}|unused\d+")
"""Config keys of disks, which are deleted with their VM."""


class ProxmoxMarkers:
    """Implements `bootstrap.ports.Markers`; safe to use from many threads.

    It relies on two facts (docs/adr/0005-one-holder-at-a-time.md): a VMID exists once in the whole Proxmox cluster, and
    Proxmox VE compares `digest` under the VM's own lock before it writes.
    """

    def __init__(self, api: Api, tasks: Tasks) -> None:
        self._api = api
        self._tasks = tasks
        self._guard = threading.Lock()
        self._places: dict[Vmid, PveNodeName] = {}

    def find(self, vmid: Vmid) -> Marker | None:
        """See `Markers.find`. Looks first where it was last, then on all Proxmox nodes."""
        with self._guard:
            known = self._places.get(vmid)
        if known is not None and (found := self._read(vmid, known)) is not None:
            return found
        for marker in from_online(self._api, lambda pve_node: self._found_on(pve_node, vmid)):
            self._learn(vmid, marker.pve_node)
            return marker
        return None

    def _found_on(self, pve_node: PveNodeName, vmid: Vmid) -> Iterator[Marker]:
        listing = self._api.read(f"nodes/{pve_node}/qemu", what=f"list the VMs of {pve_node}")
        vmids = answers.rows(listing, lambda row: answers.vmid(row.at("vmid")))
        if vmid in vmids and (found := self._read(vmid, pve_node)) is not None:
            yield found

    def create(
        self,
        vmid: Vmid,
        *,
        pve_nodes: tuple[PveNodeName, ...],
        name: str,
        description: str,
        tags: tuple[str, ...],
        smbios_uuid: str,
        resource_pool: str | None,
    ) -> None:
        """See `Markers.create`. Needs VM.Allocate, VM.Config.Options and VM.Config.HWType, as machines do.

        In a resource pool the tags are set after: Proxmox VE 9.2 checks the tags of a create request before the VM is
        in its pool, so that a token with rights only on the pool would be refused. A marker is found by its VMID, and
        recognized by its description, also before it has tags.

        Raises:
            HypervisorError: None of the Proxmox nodes is online, and all that a request may end in.
        """
        allowed = [node for node in online_nodes(self._api) if not pve_nodes or node in pve_nodes]
        what = f"make the marker VM {vmid} ({name})"
        if not allowed:
            raise HypervisorError(
                f"cannot {what}",
                details="none of the allowed Proxmox nodes is online",
                resolution="bring one up, or allow others with proxmox.nodes in the inventory",
            )
        parameters: dict[str, str | int] = {
            "vmid": vmid,
            "name": name,
            "description": description,
            "smbios1": f"uuid={smbios_uuid}",
        }
        tagging = {"tags": ";".join(tags)}
        parameters |= tagging if resource_pool is None else {"pool": resource_pool}
        pve_node = self._create_on(allowed, what=what, parameters=parameters)
        self._learn(vmid, pve_node)
        if resource_pool is not None:
            path = f"nodes/{pve_node}/qemu/{vmid}/config"
            what = f"tag the marker VM {vmid} ({name}) on {pve_node}"
            self._api.put(path, what=what, parameters=tagging)

    def _create_on(
        self, allowed: Sequence[PveNodeName], *, what: str, parameters: Mapping[str, str | int]
    ) -> PveNodeName:
        """Create it on the first reachable one of some Proxmox nodes; returns which."""
        for pve_node in allowed:
            try:
                path, doing = f"nodes/{pve_node}/qemu", f"{what} on {pve_node}"
                self._tasks.repeat("post", path, what=doing, parameters=parameters, warn=_unheard)
            except TransientError:
                # Whether it was created or not: the VMID is unique in the cluster, so the next attempt fails if it was.
                if pve_node == allowed[-1]:
                    raise
                continue
            return pve_node
        raise AssertionError(allowed)  # cannot be: the last one returns or raises

    def rewrite(self, marker: Marker, *, name: str, description: str, tags: tuple[str, ...]) -> bool:
        """See `Markers.rewrite`. After a lost answer the second attempt returns False: read it to know."""
        path = f"{_path(marker)}/config"
        what = f"write to the marker VM {marker.vmid} ({marker.name}) on {marker.pve_node}"
        parameters = {"name": name, "description": description, "tags": ";".join(tags), "digest": marker.digest}
        try:
            self._api.put(path, what=what, parameters=parameters)
        except VmNotFoundError:
            return False
        except HypervisorError as error:
            if "checksum mismatch" in error.details or "VM is locked (" in error.details:
                return False
            raise
        return True

    def remove(self, marker: Marker) -> None:
        """See `Markers.remove`. One that moved since it was read is removed where it is now."""
        try:
            self._remove(marker)
        except VmNotFoundError:
            moved = self.find(marker.vmid)
            if moved is not None and (moved.name, moved.digest) == (marker.name, marker.digest):
                self._remove(moved)

    def _remove(self, marker: Marker) -> None:
        what = f"remove the marker VM {marker.vmid} ({marker.name}) on {marker.pve_node}"
        parameters = {"purge": 1, "destroy-unreferenced-disks": 0}
        self._tasks.repeat("delete", _path(marker), what=what, parameters=parameters, warn=_unheard)

    def _read(self, vmid: Vmid, pve_node: PveNodeName) -> Marker | None:
        path = f"nodes/{pve_node}/qemu/{vmid}/config"
        try:
            config = self._api.read(path, what=f"read VM {vmid} on {pve_node}")
        except (VmNotFoundError, PermissionDeniedError):
            # A token with rights on a pool alone gets 403 for a VM that does not exist (PVE 8.4, observed).
            return None
        return Marker(
            vmid=vmid,
            pve_node=pve_node,
            name=config.at("name").text(""),
            description=config.at("description").text(""),
            lock=config.at("lock").text("") or None,
            digest=config.at("digest").text(""),
            smbios_uuid=(configs.properties(config.at("smbios1").text("")).get("uuid") or "").lower(),
            drives=tuple(sorted(key for key, _ in config.entries() if _DISK_KEY.fullmatch(key))),
        )

    def _learn(self, vmid: Vmid, pve_node: PveNodeName) -> None:
        with self._guard:
            self._places[vmid] = pve_node


def _unheard(_warning: str) -> None:
    """Warnings about a marker VM concern no user."""


def _path(marker: Marker) -> str:
    return f"nodes/{marker.pve_node}/qemu/{marker.vmid}"
