"""What Proxmox VE knows by name: CPU types, resource pools, vnets, packages. Reads only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bootstrap.adapters.proxmox import answers
from bootstrap.adapters.proxmox.api import Api
from bootstrap.errors import HypervisorError, PermissionDeniedError
from bootstrap.model.ids import PveNodeName

_NO_POOL = re.compile(r"pool '[^']*' does not exist")


def cpu_types(api: Api, pve_node: PveNodeName) -> frozenset[str]:
    """See `Hypervisor.cpu_types`.

    The list is the one that a VM's `cpu` is checked against: built-in types depend on the node's version, custom models
    are shown to who has Sys.Audit on /nodes, and since 9.2 to who has a Mapping right on them (PVE::API2::Qemu::CPU).
    """
    listing = api.read(f"nodes/{pve_node}/capabilities/qemu/cpu", what=f"list the CPU types of {pve_node}")
    return frozenset(answers.rows(listing, lambda row: row.at("name").text(most=256)))


def has_resource_pool(api: Api, name: str) -> bool:
    """See `Hypervisor.has_resource_pool`.

    `GET /pools` lists those alone that the token may audit; asked for one by its name it tells anybody whether that is
    there: "pool 'x' does not exist" (seen on 9.2.11).
    """
    try:
        api.read("pools", what=f"look for the resource pool {name}", poolid=name)
    except PermissionDeniedError:
        return True
    except HypervisorError as error:
        if _NO_POOL.search(error.details):
            return False
        raise
    return True


def package_versions(api: Api, pve_node: PveNodeName) -> Mapping[str, str]:
    """See `Hypervisor.package_versions`. `OldVersion` is the one that is installed (PVE::API2::APT)."""
    try:
        listing = api.read(f"nodes/{pve_node}/apt/versions", what=f"list the packages of {pve_node}")
    except PermissionDeniedError:
        return {}
    return dict(answers.rows(listing, lambda row: (row.at("Package").text(""), row.at("OldVersion").text(""))))


def vnet_zones(api: Api) -> Mapping[str, str]:
    """The zone of each SDN vnet; of none where the token may not read it."""
    listing = api.read("cluster/sdn/vnets", what="list the SDN vnets")
    found = answers.rows(listing, lambda row: (row.at("vnet").text(), row.at("zone").text("")))
    return {vnet: zone for vnet, zone in found if zone}
