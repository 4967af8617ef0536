"""The lab's SDN: at most one vnet, in a zone of its own, on the same network as vmbr0.

The lists are filtered as in Proxmox VE (PVE::Network::SDN::get_local_vnets, PVE::API2::Network::SDN::Vnets).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from bootstrap.lab.front.configs.vmconfig import options_of
from bootstrap.lab.front.gateway.context import Front

ZONE: Final = "lab"
"""A simple zone; its vnet is not VLAN-aware."""
BRIDGE: Final = "vmbr0"


def bridges(front: Front) -> tuple[str, ...]:
    """All bridges and vnets for network devices."""
    return (BRIDGE, front.options.vnet) if front.options.vnet else (BRIDGE,)


def path_of(front: Front, bridge: str) -> str:
    """The ACL path of a bridge or vnet."""
    zone = ZONE if bridge and bridge == front.options.vnet else "localnetwork"
    return f"/sdn/zones/{zone}/{bridge}"


def why_not_plugged(front: Front, net: str) -> str:
    """Why a network device fails at the start of its VM; empty if it does not."""
    options = options_of(net)
    bridge = options.get("bridge", "")
    if bridge and bridge not in bridges(front):
        return f"bridge '{bridge}' does not exist"
    if bridge and bridge == front.options.vnet and "tag" in options:
        return f"vm vlans are not allowed on vnet {bridge}"
    return ""


def local_vnets(front: Front, user: str) -> list[dict[str, Any]]:
    """Rows of `/nodes/{node}/network` for callers that may audit or use the vnet."""
    name = front.options.vnet
    if not name or not _allowed(front, user, name, "SDN.Audit", "SDN.Use"):
        return []
    return [{"active": "1", "comments": None, "iface": name, "ipam": 0, "type": "vnet", "vlanaware": 0}]


def vnet_configs(front: Front, user: str) -> list[dict[str, Any]]:
    """Rows of `/cluster/sdn/vnets` for callers that may audit or change the vnet; SDN.Use is not enough."""
    name = front.options.vnet
    if not name or not _allowed(front, user, name, "SDN.Audit", "SDN.Allocate"):
        return []
    return [{"digest": "0" * 40, "type": "vnet", "vnet": name, "zone": ZONE}]


def require_use(front: Front, user: str, config: Mapping[str, Any]) -> None:
    """Refuse callers that may not use all bridges and vnets of a config.

    With a VLAN tag the right to that tag counts, or the right to the whole bridge (PVE::GuestHelpers,
    check_vnet_access).

    Raises:
        PveError: 403.
    """
    for key in sorted(config):
        options = options_of(str(config[key])) if re.fullmatch(r"net\d+", key) else {}
        if bridge := options.get("bridge"):
            path = path_of(front, bridge)
            front.pve.require(user, f"{path}/{options['tag']}" if "tag" in options else path, "SDN.Use")


def _allowed(front: Front, user: str, vnet: str, *privileges: str) -> bool:
    return any(front.pve.allowed(user, path_of(front, vnet), privilege) for privilege in privileges)
