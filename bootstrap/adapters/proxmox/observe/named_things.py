"""Named things of Proxmox VE: CPU types, resource pools, vnets, packages, container templates. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.reachable_nodes import from_online
from bootstrap.errors import HypervisorError, PermissionDeniedError
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.observed import OsTemplate
from bootstrap.model.reading import Reading
from bootstrap.proxmox.reading import answers

_CONTENT = "vztmpl"
_NO_POOL = re.compile(r"pool '[^']*' does not exist")


class NamedThings:
    """These methods of `bootstrap.ports.Hypervisor`: a part of `ProxmoxHypervisor`."""

    _api: Api

    def cpu_types(self, pve_node: PveNodeName) -> frozenset[str]:
        """See `Hypervisor.cpu_types`.

        A VM's `cpu` is checked against this list. Built-in types depend on the node's version; custom models are shown
        to tokens with Sys.Audit on /nodes and, since 9.2, with a Mapping right on them (PVE::API2::Qemu::CPU).
        """
        listing = self._api.read(f"nodes/{pve_node}/capabilities/qemu/cpu", what=f"list the CPU types of {pve_node}")
        return frozenset(answers.rows(listing, lambda row: row.at("name").text(most=256)))

    def has_resource_pool(self, name: str) -> bool:
        """See `Hypervisor.has_resource_pool`.

        `GET /pools` lists only pools that the token may audit. Asked for one by its name, it says to any token whether
        it exists: "pool 'x' does not exist" (seen on 9.2.11).
        """
        try:
            self._api.read("pools", what=f"look for the resource pool {name}", poolid=name)
        except PermissionDeniedError:
            return True
        except HypervisorError as error:
            if _NO_POOL.search(error.details):
                return False
            raise
        return True

    def package_versions(self, pve_node: PveNodeName) -> Mapping[str, str]:
        """See `Hypervisor.package_versions`. `OldVersion` is the installed one (PVE::API2::APT)."""
        try:
            listing = self._api.read(f"nodes/{pve_node}/apt/versions", what=f"list the packages of {pve_node}")
        except PermissionDeniedError:
            return {}
        return dict(answers.rows(listing, lambda row: (row.at("Package").text(""), row.at("OldVersion").text(""))))

    def ostemplates(self) -> tuple[OsTemplate, ...]:
        """See `Hypervisor.ostemplates`. Needs Datastore.Audit or Datastore.AllocateSpace on their storage."""
        return tuple(from_online(self._api, lambda pve_node: _ostemplates(self._api, pve_node)))


def vnet_zones(api: Api) -> Mapping[str, str]:
    """The zone of each SDN vnet that the token may read."""
    listing = api.read("cluster/sdn/vnets", what="list the SDN vnets")
    found = answers.rows(listing, lambda row: (row.at("vnet").text(), row.at("zone").text("")))
    return {vnet: zone for vnet, zone in found if zone}


def _ostemplates(api: Api, pve_node: PveNodeName) -> Iterator[OsTemplate]:
    listing = api.read(f"nodes/{pve_node}/storage", what=f"list the storages of {pve_node}")
    for storage in answers.rows(listing, _storage):
        if storage is None:
            continue
        path, what = f"nodes/{pve_node}/storage/{storage}/content", f"list {storage} on {pve_node}"
        try:
            listed = api.read(path, what=what, content=_CONTENT)
        except PermissionDeniedError:
            continue  # what the token may not see it may not use either; the plan reports what is missing
        for volume in sorted(answers.rows(listed, lambda found: found.at("volid").text())):
            yield OsTemplate(pve_node=pve_node, volume=volume)


def _storage(row: Reading) -> StorageName | None:
    """A storage's name, where it is active and holds templates of containers."""
    if not row.at("active").flag() or _CONTENT not in row.at("content").text("").split(","):
        return None
    return answers.storage_name(row.at("storage"))
