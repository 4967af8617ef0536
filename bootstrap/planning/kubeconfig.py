"""Kubeconfigs as text: k3s's own, which calls everything `default`, made into one a user can keep."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

import yaml

from bootstrap.errors import KubernetesError

_SERVER_LINE = re.compile(r"server: https://\S+")


def with_server(kubeconfig: str, address: IPv4Address) -> str:
    """A kubeconfig of ours that talks to this server instead."""
    return _SERVER_LINE.sub(f"server: https://{address}:6443", kubeconfig)


def rename_entries(kubeconfig: str, *, name: str, server_url: str) -> str:
    """A kubeconfig with cluster, user and context called `name`, and the server's reachable address.

    Args:
        kubeconfig: With one cluster, user and context, as /etc/rancher/k3s/k3s.yaml has them.
        name: The cluster's name.
        server_url: `https://address:6443`.

    Raises:
        KubernetesError: It is not such a kubeconfig.
    """
    try:
        config = yaml.safe_load(kubeconfig)
        cluster = dict(config["clusters"][0]["cluster"])
        user = dict(config["users"][0]["user"])
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        raise KubernetesError(
            "k3s's kubeconfig is not as expected",
            details=type(error).__name__,
            resolution="look at /etc/rancher/k3s/k3s.yaml on the first server",
        ) from error
    cluster["server"] = server_url
    renamed = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(renamed, default_flow_style=False, sort_keys=False)
