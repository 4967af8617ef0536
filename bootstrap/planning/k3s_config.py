"""k3s's own files for a machine: /etc/rancher/k3s/config.yaml and the unit's environment file.

Paths and keys are upstream's, so that upstream's tools and manuals work on our machines (k3s.md). The token is
in the environment file alone, mode 0600, where upstream's installer puts it too.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import yaml

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineSpec, Role


def render_config(
    spec: ClusterSpec,
    machine: MachineSpec,
    *,
    address: IPv4Address,
    etcd: bool,
    join: IPv4Address | None,
) -> str:
    """The text of config.yaml.

    Args:
        spec: The cluster.
        machine: The machine.
        address: The machine's own address.
        etcd: For the first server: start embedded etcd instead of sqlite.
        join: The server to join, or None for the first server.
    """
    config: dict[str, object] = {"node-name": str(machine.name), "node-ip": str(address)}
    if join is not None:
        config["server"] = f"https://{join}:6443"
    if machine.role is Role.CONTROL_PLANE:
        config |= _server_settings(spec, address, first_with_etcd=etcd and join is None)
    # A kubelet may not give itself a role; those labels are set through the API once it is registered (k3s.md).
    labels = [f"{key}={value}" for key, value in machine.labels if not key.startswith("node-role.kubernetes.io/")]
    if labels:
        config["node-label"] = labels
    if machine.taints:
        config["node-taint"] = [str(taint) for taint in machine.taints]
    header = "# Written by homelab-k8s; put settings of your own into config.yaml.d/.\n"
    return header + yaml.safe_dump(config, default_flow_style=False, sort_keys=False)


def _server_settings(spec: ClusterSpec, address: IPv4Address, *, first_with_etcd: bool) -> dict[str, object]:
    """Settings that k3s wants to be the same on all servers, but for cluster-init."""
    k3s = spec.k3s
    settings: dict[str, object] = {
        "tls-san": [str(address), *((str(spec.vip.address),) if spec.vip else ()), *k3s.tls_san],
        "secrets-encryption": True,
    }
    if first_with_etcd:
        settings["cluster-init"] = True
    if k3s.disable:
        settings["disable"] = list(k3s.disable)
    if k3s.cluster_cidr is not None:
        settings["cluster-cidr"] = str(k3s.cluster_cidr)
    if k3s.service_cidr is not None:
        settings["service-cidr"] = str(k3s.service_cidr)
    return settings


def render_environment(token: str) -> str:
    """The text of the unit's environment file; `token` is a k3s token, which never holds a quote."""
    return f"K3S_TOKEN='{token}'\n"
