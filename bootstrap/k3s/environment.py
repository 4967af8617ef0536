"""The inventory's variables in the environment of k3s's units: which are written, on all machines the same. Pure.

k3s reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY as every Go program does, and containerd, its child, gets them from it.
`CONTAINERD_NAME` becomes NAME for containerd alone (k3s: pkg/agent/containerd/containerd.go). A server adds the
networks of pods and services, `.svc` and the cluster's domain to its NO_PROXY (pkg/server/server.go, `setNoProxyEnv`),
an agent nothing. etcd's members reach each other through a proxy unless NO_PROXY covers them (etcd:
client/pkg/transport/transport.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from bootstrap.errors import GuestSetupError
from bootstrap.k3s.dual_stack import cluster_networks
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName

CONTAINERD: Final = "CONTAINERD_"
"""Before the names of variables that k3s passes on to containerd alone."""

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY")
NO_PROXY: Final = "NO_PROXY"

MARKER: Final = "K3S_HOMELAB_K8S_ENVIRONMENT"
"""Is set on machines that have variables of the inventory, so that k3s reports it with its own variables
(pkg/nodeconfig/nodeconfig.go, `getNodeEnv`): without a login it is known which machines have some."""

_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "198.18.0.0/15")
PRIVATE: Final = tuple(map(IPv4Network, _PRIVATE))
"""Addresses of homes (RFC 1918), of providers' networks and VPNs such as Tailscale (RFC 6598), of a link, and of labs
(RFC 2544, ours too)."""
PRIVATE6: Final = tuple(map(IPv6Network, ("fc00::/7", "fe80::/10")))
_LOOPBACK: Final = IPv4Network("127.0.0.0/8")

NEAR: Final = (".local", ".lan", ".home.arpa", ".internal")
"""Suffixes that public DNS does not have (RFC 6762, 8375; ICANN reserved `internal`), and `.lan` by custom."""


def unit_environment(spec: ClusterSpec) -> dict[str, str]:
    """The variables of all machines' units, with NO_PROXY filled where a proxy is set, and `MARKER`.

    Nothing in it depends on the machines that there are: another one must not restart k3s on all.
    """
    given = dict(spec.k3s.environment.variables)
    if not given:
        return {}
    found = {name: value for name, value in given.items() if not name.endswith(NO_PROXY)}
    for prefix in ("", CONTAINERD):
        own = given.get(prefix + NO_PROXY, "")
        if any(prefix + name in given for name in PROXIES):
            # What containerd gets for itself replaces what it has from k3s.
            own = ",".join(dict.fromkeys([*beside_proxies(spec), *_entries(own)]))
        if own:
            found[prefix + NO_PROXY] = own
    return {**found, MARKER: "1"}


def _entries(text: str) -> Iterator[str]:
    return (entry for each in text.split(",") if (entry := each.strip()))


def beside_proxies(spec: ClusterSpec) -> tuple[str, ...]:
    """What no proxy is used for, in NO_PROXY's form: the machine itself, near networks and names, the cluster's own."""
    networks = cluster_networks(spec)
    domains = (".svc", f".{_cluster_domain(spec)}", *NEAR)
    own = (spec.vip.address if spec.vip is not None else None, spec.api_name)
    found = ("localhost", *_near_networks(spec), *networks.pods, *networks.services, *own, *domains)
    return tuple(dict.fromkeys(str(each) for each in found if each is not None))


def _near_networks(spec: ClusterSpec) -> Iterator[IPv4Network | IPv6Network | str]:
    """Where the machines are, as far as the inventory says, and all private networks: DHCP gives such addresses."""
    network = spec.network
    yield _LOOPBACK
    for static in (network.addresses, network.storage.addresses if network.storage is not None else None):
        if static is not None:
            yield static.subnet
    if network.subnet is not None:
        yield network.subnet
    yield from PRIVATE
    if network.ipv6 is not None:
        yield "::1"
        if network.ipv6.addresses is not None:
            yield network.ipv6.addresses.subnet
        if network.ipv6.subnet is not None:
            yield network.ipv6.subnet
        yield from PRIVATE6


def _cluster_domain(spec: ClusterSpec) -> str:
    """k3s's own unless it is among the settings in k3s's keys."""
    return next((values[0] for key, values in spec.k3s.server_config if key == "cluster-domain"), "cluster.local")


def check_beside_proxy(spec: ClusterSpec, machine: MachineName, address: IPv4Address) -> None:
    """Refuse a proxy that k3s would also reach this machine through.

    Raises:
        GuestSetupError: Its address is in none of the networks that NO_PROXY has.
    """
    if not any(name in dict(spec.k3s.environment.variables) for name in PROXIES):
        return
    if not any(_covers(entry, address) for entry in _entries(unit_environment(spec)[NO_PROXY])):
        raise GuestSetupError(
            f"{machine}: k3s would use the proxy also for {address}, the machine's own address",
            details="NO_PROXY has private networks, and those of the inventory; this address is in none of them",
            resolution="set network.subnet in the inventory to the machines' network",
        )


def _covers(entry: str, address: IPv4Address) -> bool:
    try:
        return address in IPv4Network(entry, strict=False)
    except ValueError:
        return entry == "*"


def environment_lines(spec: ClusterSpec) -> dict[str, str]:
    """The lines of the unit's environment file, by the variable; secret.

    In single quotes systemd takes everything as it is, up to the next one (systemd: src/basic/env-file.c).
    """
    return {name: f"{name}='{value}'" for name, value in sorted(unit_environment(spec).items())}


def environment_checksums(spec: ClusterSpec) -> dict[str, str]:
    """SHA-256 of each line, in lower-case hex, by the variable."""
    return {name: hashlib.sha256(line.encode()).hexdigest() for name, line in environment_lines(spec).items()}


def environment_files(spec: ClusterSpec) -> dict[str, str]:
    """What is sent to a machine for it, beside config.yaml: secret."""
    text = "".join(f"{line}\n" for line in environment_lines(spec).values())
    return {"environment": text} if text else {}


def proxy_files(spec: ClusterSpec) -> dict[str, str]:
    """What is sent beside scripts that install packages: the proxies for the package manager, which are secret.

    In lower case: apt-get, and curl in dnf and zypper, read http_proxy in this form alone.
    """
    found = unit_environment(spec)
    if not any(name in found for name in PROXIES):
        return {}
    names = [name for name in (*PROXIES, NO_PROXY) if name in found]
    return {"proxies": "".join(f"{name.lower()}='{found[name]}'\n" for name in names)}
