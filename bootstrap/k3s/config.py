"""k3s's own files for a machine: /etc/rancher/k3s/config.yaml and the unit's environment file.

Paths and keys are upstream's, so that upstream's tools and manuals work on our machines (docs/k3s.md#files). The
token is in the environment file alone, mode 0600, where upstream's installer puts it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import yaml

from bootstrap.k3s.dual_stack import network_settings
from bootstrap.k3s.early.cni import cni_settings
from bootstrap.k3s.environment import environment_files
from bootstrap.k3s.hardening.cis import with_hardening
from bootstrap.k3s.hardening.files import hardening_files
from bootstrap.k3s.pass_through.merge import with_pass_through
from bootstrap.k3s.registries import EMBEDDED, REGISTRIES, SETTING, has_registries, registries_files
from bootstrap.k3s.topology_labels import REGION, ZONE
from bootstrap.model.cluster import BackupSpec, ClusterSpec, S3Spec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineSpec, Role
from bootstrap.records.state.token_history import check_token

IN_CONTAINER = ("feature-gates=KubeletInUserNamespace=true",)
"""What the kubelet needs in an unprivileged container: it then goes on without /dev/kmsg and without setting the host's
sysctls (Kubernetes documentation, kubelet-in-userns). k3s gives it so to itself in its rootless mode alone (k3s-io/k3s
#4249), and what kube-proxy needs there, no conntrack settings, always (k3s: pkg/daemons/agent/agent_linux.go)."""


K3S_RETENTION = 5
"""How many scheduled snapshots k3s keeps on a server unless it is told."""

BUCKET_SHARE = 3
"""For how many servers' scheduled snapshots there is room in a bucket. Not as many as there are: to add a server would
change, and restart, all others."""


def render_config(
    spec: ClusterSpec,
    machine: MachineSpec,
    *,
    address: IPv4Address,
    address6: IPv6Address | None = None,
    etcd: bool,
    join: IPv4Address | None,
    alone: bool = False,
) -> str:
    """The text of config.yaml; arguments as of `machine_config`."""
    config = machine_config(spec, machine, address=address, address6=address6, etcd=etcd, join=join, alone=alone)
    header = "# Written by homelab-k8s; put your own settings into config.yaml.d/.\n"
    return header + yaml.safe_dump(config, default_flow_style=False, sort_keys=False)


def machine_config(
    spec: ClusterSpec,
    machine: MachineSpec,
    *,
    address: IPv4Address,
    address6: IPv6Address | None = None,
    etcd: bool,
    join: IPv4Address | None,
    alone: bool = False,
) -> dict[str, object]:
    """What config.yaml sets.

    Args:
        spec: The cluster.
        machine: The machine.
        address: The machine's own address.
        address6: Its IPv6 address, in a cluster with both families.
        etcd: For the first server: start embedded etcd instead of sqlite.
        join: The server to join, or None for the first server.
        alone: Start a server without its kubelet ("agentless" in k3s's documentation): its node is not touched.
    """
    own = [str(each) for each in (address, address6) if each is not None]
    config: dict[str, object] = {"node-name": str(machine.name), "node-ip": ",".join(own)}
    if join is not None:
        config["server"] = f"https://{join}:6443"
    if machine.role is Role.CONTROL_PLANE:
        config |= _server_settings(spec, own, first_with_etcd=etcd and join is None)
        if etcd or join is not None:
            config |= _snapshot_settings(spec.backup)
    if alone:
        config["disable-agent"] = True
    if has_registries(spec.k3s):
        config[SETTING] = REGISTRIES
    hardened = with_hardening(config | _node_settings(machine), spec, machine)
    return with_pass_through(hardened, spec, machine)


def files_beside(spec: ClusterSpec, machine: MachineSpec) -> dict[str, str]:
    """What the scripts that put config.yaml in place are sent beside it, by name: secret."""
    return {**registries_files(spec.k3s), **hardening_files(spec, machine), **environment_files(spec)}


def _node_settings(machine: MachineSpec) -> dict[str, object]:
    """Settings of a machine's own node."""
    labels = [f"{key}={value}" for key, value in machine.labels if not through_api(key)]
    settings: dict[str, list[str]] = {
        "node-label": labels,
        "kubelet-arg": list(IN_CONTAINER) if machine.kind is MachineKind.LXC else [],
        "node-taint": [str(taint) for taint in machine.taints],
    }
    return {key: values for key, values in settings.items() if values}


def through_api(label: str) -> bool:
    """Whether a label is set through the API once the node is registered.

    A kubelet may not give itself a role, and would put the zone it was born in back at each start
    (docs/k3s.md#labels-and-roles).
    """
    return label.startswith("node-role.kubernetes.io/") or label in (ZONE, REGION)


def _server_settings(spec: ClusterSpec, own: Sequence[str], *, first_with_etcd: bool) -> dict[str, object]:
    """Settings that k3s wants to be the same on all servers, but for cluster-init."""
    k3s = spec.k3s
    settings: dict[str, object] = {
        "tls-san": [*own, *spec.api_sans],
        "secrets-encryption": True,
    }
    if first_with_etcd:
        settings["cluster-init"] = True
    if k3s.disable:
        settings["disable"] = list(k3s.disable)
    settings |= {f"disable-{name}": True for name in k3s.disable_components}
    if k3s.embedded_registry:
        settings[EMBEDDED] = True
    return settings | network_settings(spec) | cni_settings(spec.network.cni)


def _snapshot_settings(backup: BackupSpec) -> dict[str, object]:
    """Settings of scheduled snapshots; for servers with embedded etcd alone."""
    settings: dict[str, object] = {}
    if backup.schedule is not None:
        settings["etcd-snapshot-schedule-cron"] = backup.schedule
    if backup.retention is not None:
        settings["etcd-snapshot-retention"] = backup.retention
    if backup.s3 is not None:
        settings |= bucket_settings(backup.s3)
        # k3s would keep as many in the bucket as on one server, though all servers' are counted there (k3s:
        # pkg/cli/server/server.go, pkg/etcd/s3/s3.go). An older k3s passes this setting over with a warning.
        settings["etcd-s3-retention"] = backup.s3.retention or BUCKET_SHARE * (backup.retention or K3S_RETENTION)
    return settings


def bucket_settings(s3: S3Spec) -> dict[str, object]:
    """k3s's settings of a bucket, with its keys: they belong into files of mode 0600 and nowhere else."""
    settings: dict[str, object] = {
        "etcd-s3": True,
        "etcd-s3-endpoint": s3.endpoint,
        "etcd-s3-bucket": s3.bucket,
        "etcd-s3-region": s3.region,
    }
    told = {"folder": s3.folder, "access-key": s3.access_key, "secret-key": s3.secret_key}
    settings |= {f"etcd-s3-{key}": value for key, value in told.items() if value}
    if s3.insecure:
        settings["etcd-s3-insecure"] = True
    if s3.skip_verify:
        settings["etcd-s3-skip-ssl-verify"] = True
    return settings


def render_bucket(s3: S3Spec, machine: MachineName) -> str:
    """The text of a settings file for one snapshot that a server sends to a bucket."""
    return yaml.safe_dump({"node-name": str(machine)} | bucket_settings(s3), default_flow_style=False, sort_keys=False)


def render_environment(token: str, *, agent_token: str = "") -> str:
    """The text of the unit's environment file.

    Args:
        token: What the machine joins with, or begins the cluster with.
        agent_token: On a server: what agents join with. Empty to say nothing of it.

    Raises:
        GuestError: One of them is no token: it would end the quotes.
    """
    told = {"K3S_TOKEN": token} | ({"K3S_AGENT_TOKEN": agent_token} if agent_token else {})
    return "".join(f"{name}='{check_token(value, source='the unit of k3s')}'\n" for name, value in told.items())
