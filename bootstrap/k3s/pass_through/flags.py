"""The keys that k3s takes in config.yaml: the flags of `k3s server` and `k3s agent`, and those that are not the user's.

Read from k3s v1.36 (pkg/cli/cmds/server.go, agent.go, log.go, root.go, config.go). A server skips keys that it does not
know, with a warning; an agent does not start with one (pkg/configfilearg/defaultparser.go has `ValidFlags` for `server`
and `etcd-snapshot` alone).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import K3sSettings
from bootstrap.model.words import did_you_mean

_BOTH: Final = """
airgap-extra-registry* alsologtostderr! bind-address config container-runtime-endpoint data-dir debug! default-runtime
disable-default-registry-endpoint! docker! enable-pprof! flannel-cni-conf flannel-conf flannel-iface
image-credential-provider-bin-dir image-credential-provider-config image-service-endpoint kube-proxy-arg* kubelet-arg*
lb-server-port log node-external-dns* node-external-ip* node-internal-dns* node-ip* node-label* node-name node-taint*
nonroot-devices! pause-image prefer-bundled-bin! private-registry protect-kernel-defaults! resolv-conf rootless!
selinux! server snapshotter token token-file v vmodule vpn-auth vpn-auth-file with-node-id!
"""
"""`*` marks a list, `!` a switch."""
_AGENTS: Final = "disable-apiserver-lb!"
_SERVERS: Final = """
advertise-address advertise-port agent-token agent-token-file apiserver-bind-address apiserver-port cluster-cidr*
cluster-dns* cluster-domain cluster-init! cluster-reset! cluster-reset-restore-path datastore-cafile datastore-certfile
datastore-endpoint datastore-keyfile default-local-storage-path disable* disable-agent! disable-apiserver!
disable-cloud-controller! disable-controller-manager! disable-etcd! disable-helm-controller! disable-kube-proxy!
disable-network-policy! disable-scheduler! egress-selector-mode embedded-registry! etcd-arg* etcd-disable-snapshots!
etcd-expose-metrics! etcd-s3! etcd-s3-access-key etcd-s3-bucket etcd-s3-bucket-lookup-type etcd-s3-config-secret
etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-folder etcd-s3-insecure! etcd-s3-proxy etcd-s3-region etcd-s3-retention
etcd-s3-secret-key etcd-s3-session-token etcd-s3-skip-ssl-verify! etcd-s3-timeout etcd-snapshot-compress!
etcd-snapshot-dir etcd-snapshot-name etcd-snapshot-reconcile-interval etcd-snapshot-retention
etcd-snapshot-schedule-cron flannel-backend flannel-external-ip! flannel-ipv6-masq! helm-controller-arg* helm-job-image
https-listen-port kine-tls! kube-apiserver-arg* kube-cloud-controller-arg* kube-cloud-controller-manager-arg*
kube-controller-arg* kube-controller-manager-arg* kube-scheduler-arg* secrets-encryption! secrets-encryption-provider
service-cidr* service-node-port-range servicelb-namespace supervisor-metrics! supervisor-port system-default-registry
tls-san* tls-san-security! write-kubeconfig write-kubeconfig-group write-kubeconfig-mode write-kubeconfig-name
"""

ALIASES: Final[Mapping[str, str]] = {
    "c": "config",
    "d": "data-dir",
    "i": "node-ip",
    "l": "log",
    "o": "write-kubeconfig",
    "s": "server",
    "t": "token",
}
"""Short names of flags, which are keys as well."""


def _table(*texts: str) -> Mapping[str, str]:
    words = " ".join(texts).split()
    return {word.rstrip("*!"): word[-1] if word[-1] in "*!" else "" for word in words}


SERVER_FLAGS: Final = _table(_BOTH, _SERVERS)
"""What `k3s server` takes: `*` for a list, `!` for a switch, else one value."""
AGENT_FLAGS: Final = _table(_BOTH, _AGENTS)
"""What `k3s agent` takes."""
FLAGS: Final = {**SERVER_FLAGS, **AGENT_FLAGS}
"""What one of them takes."""

PACKAGED: Final = ("traefik", "servicelb", "metrics-server", "local-storage", "coredns", "runtimes")
"""What `disable` takes: the manifests that k3s packages (pkg/cli/cmds/stage.go, `DisableItems`); `runtimes` has
RuntimeClasses. It does not check the names."""

COMPONENTS: Final = ("network-policy", "kube-proxy", "helm-controller", "cloud-controller", "scheduler")
"""What a server runs in its own process and leaves out with `disable-NAME` (pkg/cli/cmds/server.go). Those that k3s
hides, `apiserver`, `controller-manager` and `etcd`, split a server's roles."""

_JOINING: Final = Advice("homelab-k8s makes the tokens; `homelab-k8s rotate token` replaces them")
_DATA: Final = "control_plane.count decides: one server has sqlite, several have embedded etcd"
_ADDRESS: Final = "network.addresses and network.ipv6 decide"
_FIXED: Final = "homelab-k8s relies on k3s's default"
_RESTORE: Final = Advice("`homelab-k8s restore` sets it while it is needed")
_S3: Final = "use backup.s3"

RESERVED: Final[Mapping[str, str]] = {
    "node-name": "machines are named after the cluster and their pool",
    "node-ip": _ADDRESS,
    "with-node-id": "machines are named after the cluster and their pool",
    "server": "a machine joins by control_plane.vip, or by a server's address",
    "cluster-init": _DATA,
    "token": _JOINING,
    "token-file": _JOINING,
    "agent-token": _JOINING,
    "agent-token-file": _JOINING,
    "tls-san": "use k3s.tls_san",
    "disable": "use k3s.disable",
    **{f"disable-{name}": f"use k3s.disable_components: [{name}]" for name in COMPONENTS},
    "private-registry": "use k3s.registries",
    "embedded-registry": "use k3s.embedded_registry",
    "cluster-cidr": "use k3s.cluster_cidr",
    "service-cidr": "use k3s.service_cidr",
    "flannel-ipv6-masq": "it follows from network.ipv6",
    "flannel-backend": "use network.cni",
    "node-label": "use labels of the pool",
    "node-taint": "use taints of the pool",
    "etcd-snapshot-schedule-cron": "use backup.schedule",
    "etcd-snapshot-retention": "use backup.retention",
    **{key: _S3 for key in SERVER_FLAGS if key.startswith("etcd-s3")},
    **{key: _DATA for key in SERVER_FLAGS if key.startswith("datastore-")},
    "secrets-encryption": "it is always on",
    "cluster-reset": _RESTORE,
    "cluster-reset-restore-path": _RESTORE,
    "disable-agent": _RESTORE,
    "vpn-auth": "it is a secret: use vpn-auth-file, and put that file on the machines",
    "advertise-address": _ADDRESS,
    **dict.fromkeys(
        (
            "config",
            "data-dir",
            "etcd-snapshot-dir",
            "bind-address",
            "https-listen-port",
            "supervisor-port",
            "apiserver-port",
            "apiserver-bind-address",
            "advertise-port",
            "disable-apiserver",
            "disable-controller-manager",
            "disable-etcd",
            "rootless",
            "write-kubeconfig",
            "write-kubeconfig-name",
        ),
        _FIXED,
    ),
}
"""Keys that are not the user's: what to use in the inventory instead, or why there is nothing."""


def bare(key: str) -> str:
    """A key without the `+` that adds to it."""
    return key.removesuffix("+")


def notes_on_unknown(spec: ClusterSpec) -> tuple[str, ...]:
    """One line for each key of the inventory that k3s v1.36 does not know: a mistake, or another version's."""
    places: tuple[tuple[str, K3sSettings], ...] = (
        ("k3s.server_config", spec.k3s.server_config),
        ("k3s.agent_config", spec.k3s.agent_config),
        *((f"k3s of {pool.name}", pool.k3s_settings) for pool in spec.pools),
    )
    return tuple(_unknown(place, bare(key)) for place, found in places for key, _ in found if bare(key) not in FLAGS)


def _unknown(place: str, key: str) -> str:
    meant = did_you_mean(key, FLAGS.keys() - RESERVED.keys())
    return (
        f"{place}: k3s v1.36 has no setting {key}{f' ({meant})' if meant else ''}; if yours has none either, servers "
        "ignore it and agents do not start"
    )
