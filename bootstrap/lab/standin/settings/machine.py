"""Who this machine is in the cluster."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from pathlib import Path

from ..files import read_or_make
from ..logs import Fatal
from .labels import parse_labels, parse_taints
from .options import Options

NODE_NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"


def default_address() -> str:
    """The address of the interface with the default route; without one fatal, as in k3s."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # asks the routing table; a UDP connect sends nothing
        except OSError as error:
            raise Fatal('no default routes found in "/proc/net/route" or "/proc/net/ipv6_route"') from error
        return str(sock.getsockname()[0])


class Machine:
    """Who this machine is in the cluster."""

    def __init__(self, options: Options) -> None:
        etc = Path(options.root + "/etc/rancher")
        name = options.one("node-name", socket.gethostname()).lower()
        if options.on("with-node-id"):
            name += "-" + read_or_make(etc / "node/id", lambda: secrets.token_hex(4))
        if not re.fullmatch(NODE_NAME, name):
            raise Fatal(f"invalid node name {name!r}")
        self.name = name
        self.addresses = options.many("node-ip") or [default_address()]
        self.external = options.many("node-external-ip")
        self.labels = parse_labels(options.many("node-label"))
        self.taints = parse_taints(options.many("node-taint"))
        self.password = read_or_make(etc / "node/password", lambda: secrets.token_hex(16))


def check_families(pods: list[str], services: list[str], node_ips: list[str]) -> None:
    """Refuse networks and addresses of different IP families, in k3s's words (pkg/agent/run.go, run)."""

    def families(texts: list[str]) -> set[int]:
        return {ipaddress.ip_interface(text).version for text in texts}

    rest = "must share the same IP version (IPv4, IPv6 or dual-stack)"
    shown = f"Error: cluster-cidr: [{' '.join(pods)}] and"
    if families(pods) != families(services):
        raise Fatal(f"{shown} service-cidr: [{' '.join(services)}], {rest}")
    if not families(pods) <= families(node_ips):
        raise Fatal(f"{shown} node-ip: [{' '.join(node_ips)}], {rest}")
