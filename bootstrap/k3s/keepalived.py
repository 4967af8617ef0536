"""keepalived's settings for the VIP: an address that follows a living server. Pure.

VRRP version 3 between the servers' own addresses: unicast, since switches and cloud-like networks drop multicast. It is
what Debian's keepalived (2.2.7 and newer) speaks; the keys below are those of keepalived.conf(5).
"""

from __future__ import annotations

import re
import zlib
from ipaddress import IPv4Address

from bootstrap.errors import GuestError
from bootstrap.model.cluster import VipSpec
from bootstrap.model.ids import ClusterName

ADVERT_S = 0.5
"""Pause between adverts. A backup takes over when it has missed three and a bit: within 2 s."""

CHECK = "/etc/keepalived/check-k3s-api"
"""Where install-vip.sh puts the health check."""

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}", re.ASCII)
"""Linux's own limit is 15 characters (IFNAMSIZ); in keepalived.conf a space or brace would begin something else."""

_HIGHEST, _STEP, _LOWEST = 250, 30, 10
"""Priorities; far apart, so that backups do not run out of patience at the same instant (RFC 5798, skew time)."""


def router_id(vip: VipSpec, *, cluster: ClusterName) -> int:
    """VRRP's virtual router id, 1-255: the one given, else one that follows from the cluster's name.

    Two clusters in one network that get the same one do not fight: their adverts are unicast. Others that speak VRRP
    by multicast there (routers) may; then give one.
    """
    return vip.router_id if vip.router_id is not None else zlib.crc32(cluster.encode()) % 255 + 1


def priority(place: int) -> int:
    """The priority of a server, 10-250, by its place among the servers (from 0)."""
    return max(_LOWEST, _HIGHEST - _STEP * place)


def render_keepalived(
    vip: VipSpec,
    *,
    cluster: ClusterName,
    interface: str,
    address: IPv4Address,
    place: int,
    peers: tuple[IPv4Address, ...],
) -> str:
    """The text of keepalived.conf for one server.

    A server whose check fails twice has no claim (FAULT), and one that comes back does not take the VIP from who has it
    (`nopreempt`, which needs BACKUP as the state to begin with): each move breaks clients' connections. That rules out
    a `weight` for the check: with `nopreempt` no server would take over from a holder whose priority has merely sunk.

    Args:
        vip: The VIP.
        cluster: The cluster's name.
        interface: The server's interface that has `address`.
        address: The server's own address.
        place: Its place among the servers, from 0.
        peers: The other servers' own addresses; with none, keepalived falls back to multicast.

    Raises:
        GuestError: The interface, as the server reports it, is no name of one.
    """
    if not _INTERFACE.fullmatch(interface):
        raise GuestError(
            f"the server at {address} reports no interface with its address",
            details=f"it reports {ascii(interface)[:40]}",
            resolution=f"check there: `ip -4 address show to {address}`",
        )
    others = "".join(f"        {peer}\n" for peer in sorted(peers))
    unicast = f"    unicast_src_ip {address}\n    unicast_peer {{\n{others}    }}\n" if peers else ""
    return f"""# Written by homelab-k8s; changes are overwritten.
global_defs {{
    enable_script_security
    script_user root
    vrrp_version 3
    vrrp_garp_master_delay 1
    vrrp_garp_master_refresh 60
}}
vrrp_script k3s_api {{
    script {CHECK}
    interval 1
    timeout 2
    fall 2
    rise 1
    init_fail
}}
vrrp_instance vip {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id {router_id(vip, cluster=cluster)}
    priority {priority(place)}
    advert_int {ADVERT_S}
{unicast}    virtual_ipaddress {{
        {vip.address}/32
    }}
    track_script {{
        k3s_api
    }}
}}
"""


def choose_peers(address: IPv4Address, *, others: tuple[IPv4Address, ...], servers: int) -> tuple[IPv4Address, ...]:
    """Whom a server's keepalived sends its adverts to: the others whose address is known.

    Where there will be others but none is known yet it is itself, which has no effect but lines in the journal: peers
    can be changed without losing the VIP, but not the way from multicast to unicast (keepalived 2.2.7: 1.7 s).

    Args:
        address: The server's own address.
        others: The addresses of the others that are known.
        servers: How many servers there are to be, itself among them.
    """
    return others or ((address,) if servers > 1 else ())
