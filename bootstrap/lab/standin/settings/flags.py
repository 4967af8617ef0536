"""The flags of servers and agents, and the command line."""

from __future__ import annotations

import sys

from ..logs import Fatal

# Names as in k3s: "!" marks a switch, "*" a list. Flags without effect here are accepted.
AGENT_FLAGS = """
config debug! v vmodule log alsologtostderr! token token-file server data-dir node-name with-node-id! node-label*
node-taint* image-credential-provider-bin-dir image-credential-provider-config docker! container-runtime-endpoint
default-runtime disable-default-registry-endpoint! image-service-endpoint nonroot-devices! pause-image snapshotter
private-registry airgap-extra-registry* node-ip* bind-address node-external-ip*
node-internal-dns* node-external-dns* resolv-conf flannel-iface flannel-conf flannel-cni-conf kubelet-arg*
kube-proxy-arg* protect-kernel-defaults! enable-pprof! rootless! selinux! lb-server-port prefer-bundled-bin!
vpn-auth vpn-auth-file
"""
AGENT_ONLY = "disable-apiserver-lb!"
SERVER_FLAGS = """
https-listen-port supervisor-port apiserver-port apiserver-bind-address advertise-address advertise-port tls-san*
tls-san-security! cluster-cidr* service-cidr* service-node-port-range cluster-dns* cluster-domain flannel-backend
flannel-ipv6-masq! flannel-external-ip! egress-selector-mode servicelb-namespace write-kubeconfig
write-kubeconfig-mode write-kubeconfig-group write-kubeconfig-name system-default-registry helm-job-image agent-token
agent-token-file cluster-init! cluster-reset! cluster-reset-restore-path kube-apiserver-arg* etcd-arg*
kube-controller-manager-arg* kube-scheduler-arg* kube-cloud-controller-manager-arg* helm-controller-arg*
kube-controller-arg* kube-cloud-controller-arg* kine-tls! datastore-endpoint datastore-cafile
datastore-certfile datastore-keyfile etcd-expose-metrics! etcd-disable-snapshots! etcd-snapshot-name
etcd-snapshot-schedule-cron etcd-snapshot-reconcile-interval etcd-snapshot-retention etcd-snapshot-dir
etcd-snapshot-compress! etcd-s3! etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-skip-ssl-verify! etcd-s3-access-key
etcd-s3-secret-key etcd-s3-session-token etcd-s3-bucket etcd-s3-bucket-lookup-type etcd-s3-region etcd-s3-folder
etcd-s3-proxy etcd-s3-config-secret etcd-s3-insecure! etcd-s3-timeout etcd-s3-retention default-local-storage-path
disable* disable-scheduler! disable-cloud-controller! disable-kube-proxy! disable-network-policy!
disable-helm-controller! disable-agent! disable-etcd! disable-apiserver! disable-controller-manager!
embedded-registry! supervisor-metrics! secrets-encryption! secrets-encryption-provider
"""
ALIASES = {
    "t": "token",
    "s": "server",
    "d": "data-dir",
    "c": "config",
    "o": "write-kubeconfig",
    "l": "log",
    "i": "node-ip",
}


def flag_table(command: str) -> dict[str, str]:
    """Flag name to kind: "!" switch, "*" list, "" one value."""
    words = (AGENT_FLAGS + (SERVER_FLAGS if command == "server" else AGENT_ONLY)).split()
    return {word.rstrip("!*"): word[-1] if word[-1] in "!*" else "" for word in words}


def undefined(name: str) -> Fatal:
    """How k3s ends over a flag that it does not have."""
    sys.stderr.write(f"Incorrect Usage: flag provided but not defined: -{name}\n\n")
    return Fatal(f"flag provided but not defined: -{name}")


def parse_flags(
    argv: list[str],
    known: dict[str, str],
    *,
    words: list[str] | None = None,
    aliases: dict[str, str] = ALIASES,
) -> dict[str, list[str]]:
    """Parse the command line; words that are no flags go into `words`. An unknown flag is fatal, as in k3s."""
    result: dict[str, list[str]] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.lstrip("-").partition("=")
        name = aliases.get(name, name)
        if words is not None and not word.startswith("-"):
            words.append(word)
            continue
        if not word.startswith("-") or name not in known:
            raise undefined(name)
        if not has_value:
            if known[name] == "!":
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise Fatal(f"flag needs an argument: -{name}")
        result.setdefault(name, []).append(value)
    return result
