"""In which order objects are applied and pruned, and which of them hold data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bootstrap.manifests.values import GroupKind, Manifest, Object, ObjectId

FIRST, BUILT_IN, CUSTOM = range(3)
"""The waves: what others live in or are of; Kubernetes' and k3s's own kinds; kinds of others."""

HELM_CHART: Final = GroupKind("helm.cattle.io", "HelmChart")
"""k3s installs the chart, and uninstalls it when the object is deleted (docs.k3s.io/add-ons/helm)."""
CRD: Final = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
_FIRST: Final = (GroupKind("", "Namespace"), CRD)
_BUILT_IN_GROUPS: Final = frozenset(
    {
        "", "apps", "autoscaling", "batch", "extensions", "policy", "helm.cattle.io", "k3s.cattle.io",
        "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
        "authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
        "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io",
        "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)  # fmt: skip
"""Of Kubernetes 1.36 (kubernetes/kubernetes pkg/controlplane/instance.go), and the two that k3s brings."""
_EARLY: Final = (
    "PriorityClass", "RuntimeClass", "StorageClass", "IngressClass", "ResourceQuota", "LimitRange", "ServiceAccount",
    "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap", "Secret", "PersistentVolume",
    "PersistentVolumeClaim", "NetworkPolicy", "PodDisruptionBudget", "Service",
)  # fmt: skip
"""Within a wave, before all else: workloads need them."""
_LATE: Final = ("APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""Within a wave, after all else: requests fail until what they point to serves."""
ASK_FIRST: Final = "homelab-k8s/ask-before-delete"
"""An annotation of objects that others need which are kept, so that all of them go at once."""
_DATA: Final = frozenset(
    {*_FIRST, *(GroupKind("", kind) for kind in ("PersistentVolumeClaim", "PersistentVolume")), HELM_CHART}
)


def wave_of(kind: GroupKind) -> int:
    """`FIRST`, `BUILT_IN` or `CUSTOM`."""
    if kind in _FIRST:
        return FIRST
    return BUILT_IN if kind.group in _BUILT_IN_GROUPS else CUSTOM


def loses_data(found: Object, kind: GroupKind) -> bool:
    """Whether data may be lost with an object of the cluster: of volumes, of a chart, or of all objects in it or of it.

    A StatefulSet's volumes stay unless it says otherwise. What an operator removes with its own kinds is not known.
    """
    metadata = found.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and ASK_FIRST in annotations:
        return True
    spec = found.get("spec")
    policy = spec.get("persistentVolumeClaimRetentionPolicy") if isinstance(spec, dict) else None
    claims_go = isinstance(policy, dict) and policy.get("whenDeleted") == "Delete"
    return claims_go or kind in _DATA or wave_of(kind) == CUSTOM


def in_waves(manifests: Iterable[Manifest]) -> tuple[tuple[Manifest, ...], ...]:
    """The objects by wave, each in order; waves without objects are left out."""
    ordered = sorted(manifests, key=lambda each: (wave_of(each.group_kind), _rank(each.group_kind)))
    waves = (tuple(each for each in ordered if wave_of(each.group_kind) == wave) for wave in (FIRST, BUILT_IN, CUSTOM))
    return tuple(wave for wave in waves if wave)


def pruned_in_order(ids: Iterable[ObjectId]) -> tuple[ObjectId, ...]:
    """Objects in the order in which they are pruned: the reverse of the one in which they are applied."""
    return tuple(sorted(ids, key=lambda each: (-wave_of(each.group_kind), -_rank(each.group_kind), each)))


def _rank(kind: GroupKind) -> int:
    if kind.kind in _EARLY:
        return _EARLY.index(kind.kind)
    return len(_EARLY) + (1 + _LATE.index(kind.kind) if kind.kind in _LATE else 0)
