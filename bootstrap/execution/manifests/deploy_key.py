"""The deploy key that we make: kept in the state directory, or found in the cluster by another computer."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

from bootstrap.addons.gitops.objects import key_place, with_key
from bootstrap.manifests.values import GroupKind, Manifest
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.settings.gitops import GitopsSpec
from bootstrap.ports.local import StateStore
from bootstrap.ports.manifests import KubeObjects
from bootstrap.records.state.ssh_key import new_ssh_key
from bootstrap.records.state.state_items import DEPLOY_KEY

_SECRET = GroupKind("", "Secret")


def with_deploy_key(
    manifests: Sequence[Manifest], spec: ClusterSpec, state: StateStore, api: KubeObjects, *, keep: bool
) -> tuple[Manifest, ...]:
    """The objects with the deploy key, where it is one that we make.

    Args:
        manifests: All objects of the inventory.
        spec: The cluster.
        state: Where the key is kept.
        api: Where another computer may have put one.
        keep: Keep a key that is new here; else it is only to look with.
    """
    if spec.gitops is None or not spec.gitops.makes_key:
        return tuple(manifests)
    key = deploy_key(spec, spec.gitops, state, api, keep=keep)
    return tuple(replace(each, body=with_key(each.body, key)) for each in manifests)


def deploy_key(spec: ClusterSpec, gitops: GitopsSpec, state: StateStore, api: KubeObjects | None, *, keep: bool) -> str:
    """The key of the state directory, else the cluster's, else a new one."""
    kept = state.read(spec.name, DEPLOY_KEY)
    if kept:
        return kept
    found = (_in_cluster(gitops, api) if api is not None else "") or new_ssh_key()
    return state.put_first(spec.name, DEPLOY_KEY, found) if keep else found


def _in_cluster(gitops: GitopsSpec, api: KubeObjects) -> str:
    namespace, name, field = key_place(gitops)
    kind = api.kind(_SECRET, "v1")
    secret = api.get(kind, namespace, name) if kind is not None else None
    data = secret.get("data") if secret is not None else None
    try:
        return base64.b64decode(str(data.get(field) or "")).decode() if isinstance(data, dict) else ""
    except ValueError:  # not base64, or no text
        return ""
