"""The Kubernetes API through a port of this computer: for clusters behind a jump host, and as well for others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bootstrap.commands.access.kubeconfig import needed_kubeconfig
from bootstrap.k3s.kubeconfig.build import API_PORT, server_of, through_tunnel
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.ports import Ports, Tunnel

_FIRST_PORT, _PORTS = 17000, 1000


@dataclass(frozen=True, kw_only=True)
class ApiTunnel:
    """An open tunnel to a cluster's API.

    Attributes:
        tunnel: The local port.
        server: What it leads to, as the kubeconfig names it.
        over: The jump hosts; empty if there are none.
        kubeconfig: One that goes through it (a secret).
    """

    tunnel: Tunnel
    server: str
    over: str
    kubeconfig: str


def usual_port(cluster: ClusterName) -> int:
    """The local port of a cluster's tunnel: from its name, so that a kubeconfig for it stays valid."""
    digest = hashlib.sha256(cluster.encode()).digest()
    return _FIRST_PORT + int.from_bytes(digest[:4], "big") % _PORTS


def open_tunnel(spec: ClusterSpec, ports: Ports, *, port: int | None, tell: Callable[[str], None]) -> ApiTunnel:
    """Open a tunnel to the API that the cluster's kubeconfig names.

    Args:
        spec: The cluster.
        ports: For its kubeconfig and the way there.
        port: The local port; None for the cluster's usual one, 0 for any.
        tell: As in `bootstrap.ports.Ways.listen`.

    Raises:
        HomelabError: There is no kubeconfig here, or as `bootstrap.ports.Ways.listen`.
    """
    text = needed_kubeconfig(spec.name, ports)
    server = server_of(text)
    parts = urlsplit(server)
    host = parts.hostname or ""
    local_port = usual_port(spec.name) if port is None else port
    tunnel = ports.ways.listen(host, parts.port or API_PORT, local_port=local_port, tell=tell)
    return ApiTunnel(
        tunnel=tunnel, server=server, over=ports.ways.over(host), kubeconfig=through_tunnel(text, tunnel.port)
    )


def api_over(spec: ClusterSpec, ports: Ports) -> str:
    """The jump hosts on the way to the API that the cluster's kubeconfig names; empty if it is reached directly.

    Raises:
        HomelabError: There is no kubeconfig here.
    """
    return ports.ways.over(urlsplit(server_of(needed_kubeconfig(spec.name, ports))).hostname or "")
