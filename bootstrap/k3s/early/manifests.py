"""The manifests of a cluster's first start: what they are, and what their files are called. Pure.

k3s applies each file of `server/manifests` as soon as its API answers, every 15 s where it has changed, and at each
start, and tracks it as an `Addon` of the same name (k3s: pkg/deploy/controller.go). Each server applies its own files,
so two servers with different files of one name would undo each other's: only the first server gets ours. What is
taken from the folder stays in the cluster.
"""

from __future__ import annotations

import re
from typing import Final

from bootstrap.k3s.early.cni import MANIFEST, cni_manifest
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.settings.early import EarlyManifest

FOLDER: Final = "/var/lib/rancher/k3s/server/manifests"
PREFIX: Final = "homelab-k8s-"
"""What our files' names begin with; others in the folder are k3s's own, or the user's."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")


def file_name(name: str) -> str:
    """What the file of a manifest is called.

    Raises:
        ValueError: The name is not one: it would lead elsewhere, or end in a dot (k3s's Addon is called what comes
            before the first one).
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name an early manifest")
    return f"{PREFIX}{name}.yaml"


def early_manifests(spec: ClusterSpec) -> dict[str, str]:
    """All files of a cluster's first start, by name: secret.

    Raises:
        ValueError: A name is no such name, or two manifests have one.
    """
    files: dict[str, str] = {}
    cni = cni_manifest(spec)
    own = (EarlyManifest(name=MANIFEST, text=cni),) if cni else ()
    for each in (*own, *spec.early_manifests):
        name = file_name(each.name)
        if name in files:
            raise ValueError(f"two early manifests are called {each.name}")
        files[name] = each.text
    return files
