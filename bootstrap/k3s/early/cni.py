"""The CNI plugin: k3s's settings for it, the manifest that installs it, and how its lack shows. Pure.

A node without a CNI is NotReady, so its chart is installed by k3s's Helm controller: with `bootstrap: true` the job
runs in the host's network on a NotReady server, and reaches the API at 127.0.0.1 (k3s-io/helm-controller:
pkg/controllers/chart/chart.go).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

import yaml

from bootstrap.k3s.dual_stack import cluster_networks, is_local
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.settings.cni import CniSpec, CniType, FlannelBackend

BACKEND: Final = "flannel-backend"
KUBE_PROXY: Final = "disable-kube-proxy"
MANIFEST: Final = "cni"
"""The name of its early manifest."""

CILIUM_VERSION: Final = "1.20.4"
CALICO_VERSION: Final = "v3.33.1"
CILIUM_LEAST_KERNEL: Final = (5, 10)
"""Cilium documentation, system requirements."""

_LOCAL_API: Final = {"k8sServiceHost": "127.0.0.1", "k8sServicePort": 6444}
"""On servers kube-apiserver listens there (k3s: pkg/daemons/control/server.go, `secure-port`), on agents k3s's load
balancer over all servers (`lb-server-port`, pkg/agent/proxy): without kube-proxy, one address for both, which outlives
any server."""
_VXLAN_BYTES: Final = 50
_LACKS: Final = ("cni plugin not initialized", "NetworkPluginNotReady", "cni config uninitialized")


class _Blocks(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _text)


def cni_settings(cni: CniSpec) -> dict[str, object]:
    """k3s's settings of servers for it; only what differs from its defaults. All servers must have the same."""
    if cni.is_flannel:
        return {} if cni.backend is FlannelBackend.VXLAN else {BACKEND: cni.backend.value}
    proxy = {KUBE_PROXY: True} if cni.replaces_kube_proxy else {}
    return {BACKEND: "none", "disable-network-policy": True, **proxy}


def cni_manifest(spec: ClusterSpec) -> str:
    """The HelmCharts that install it; empty where there is nothing to install."""
    charts = {CniType.CILIUM: _cilium, CniType.CALICO: _calico}.get(spec.network.cni.type)
    if charts is None:
        return ""
    header = "# Written by homelab-k8s: network.cni of the inventory. It counts at the cluster's first start.\n"
    return header + yaml.dump_all(charts(spec), Dumper=_Blocks, default_flow_style=False, sort_keys=False, width=2**16)


def _chart(name: str, *, chart: str, repo: str, version: str, namespace: str, values: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "repo": repo,
        "chart": chart,
        "version": version,
        "targetNamespace": namespace,
        "createNamespace": True,
        "bootstrap": True,
    }
    if values:
        spec["valuesContent"] = yaml.safe_dump(values, default_flow_style=False, sort_keys=False)
    meta = {"name": name, "namespace": "kube-system"}
    return {"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": meta, "spec": spec}


def _mtu(spec: ClusterSpec) -> int | None:
    """The machines' MTU where it is known; None lets the plugin look."""
    mtu = spec.network.mtu
    return mtu if mtu is not None and mtu > 1 else None


def _cilium(spec: ClusterSpec) -> list[dict[str, Any]]:
    """Pods get their addresses from the nodes' ranges, which k3s hands out of cluster-cidr."""
    mtu = _mtu(spec)
    values: dict[str, Any] = {
        "kubeProxyReplacement": True,
        **_LOCAL_API,
        "ipam": {"mode": "kubernetes"},
        "k8s": {"requireIPv4PodCIDR": True},
        "operator": {"replicas": 1 if spec.control_plane.count == 1 else 2},
        **({"MTU": mtu} if mtu else {}),
    }
    if spec.network.ipv6 is not None:
        values["ipv6"] = {"enabled": True}
        values["k8s"]["requireIPv6PodCIDR"] = True
        values["enableIPv6Masquerade"] = any(map(is_local, cluster_networks(spec).pods))
    repo = "https://helm.cilium.io"
    return [_chart("cilium", chart="cilium", repo=repo, version=CILIUM_VERSION, namespace="kube-system", values=values)]


def _calico(spec: ClusterSpec) -> list[dict[str, Any]]:
    """The operator's chart has no CRDs since v3.32: they are a chart of their own, and the other's job waits for it."""
    mtu = _mtu(spec)
    network: dict[str, Any] = {
        "bgp": "Disabled",
        "containerIPForwarding": "Enabled",  # as k3s's own plugin does (k3s documentation, custom CNI)
        "ipPools": [
            {"cidr": str(pods), "encapsulation": "VXLAN", "natOutgoing": _nat(pods), "nodeSelector": "all()"}
            for pods in cluster_networks(spec).pods
        ],
        # net0's address, which is the node's: net1 is for storage.
        "nodeAddressAutodetectionV4": {"kubernetes": "NodeInternalIP"},
    }
    if any(isinstance(pods, IPv6Network) for pods in cluster_networks(spec).pods):
        network["nodeAddressAutodetectionV6"] = {"kubernetes": "NodeInternalIP"}
    if mtu:
        network["mtu"] = mtu - _VXLAN_BYTES
    values = {"installation": {"cni": {"type": "Calico"}, "calicoNetwork": network}}
    both = {"repo": "https://docs.tigera.io/calico/charts", "version": CALICO_VERSION, "namespace": "tigera-operator"}
    return [
        _chart("calico-crds", chart="crd.projectcalico.org.v1", values={}, **both),
        _chart("calico", chart="tigera-operator", values=values, **both),
    ]


def _nat(pods: IPv4Network | IPv6Network) -> str:
    """As `flannel-ipv6-masq`: routers know the way back to global addresses of IPv6."""
    return "Enabled" if isinstance(pods, IPv4Network) or is_local(pods) else "Disabled"


def lacks_cni(problem: str) -> bool:
    """Whether a node is NotReady since no CNI plugin runs there, by its Ready condition."""
    return any(words in problem for words in _LACKS)


def without_cni(cni: CniSpec) -> str:
    """That a node has no CNI yet, and what to do, in one line."""
    if cni.type is CniType.NONE:
        return "no CNI plugin runs there: install yours (network.cni is none)"
    if cni.has_chart:
        job = f"helm-install-{cni.type}"
        return f"{cni.type.value} does not run there yet: kubectl -n kube-system logs job/{job} shows its installation"
    return "flannel, k3s's CNI plugin, does not run there"
