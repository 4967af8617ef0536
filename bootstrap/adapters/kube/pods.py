"""Pods and PodDisruptionBudgets as values, and where the API has what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bootstrap.model.workloads import Pod

PODS = "/api/v1/pods"
SNAPSHOTS = "/apis/k3s.cattle.io/v1/etcdsnapshotfiles"

_MIRROR = "kubernetes.io/config.mirror"


def pod_path(pod: Pod) -> str:
    """Where the API has a pod."""
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def budgets_path(namespace: str) -> str:
    """Where the API has a namespace's PodDisruptionBudgets."""
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def parse_pod(pod: Mapping[str, Any]) -> Pod:
    """A Pod object as a value."""
    metadata, spec, status = (pod.get(part) or {} for part in ("metadata", "spec", "status"))
    owners = metadata.get("ownerReferences") or ()
    return Pod(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        controller=next((str(owner.get("kind", "")) for owner in owners if owner.get("controller")), ""),
        finished=status.get("phase") in ("Succeeded", "Failed"),
        mirror=_MIRROR in (metadata.get("annotations") or {}),
        local_data=any("emptyDir" in volume for volume in spec.get("volumes") or ()),
        leaving=bool(metadata.get("deletionTimestamp")),
    )


def eviction(pod: Pod) -> dict[str, Any]:
    """The Eviction that asks for this very pod and no later one of its name."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }


def budgets_of(pod: Mapping[str, Any], budgets: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Those of a namespace's budgets that select a pod of it, as `namespace/name`, sorted."""
    metadata = pod.get("metadata") or {}
    labels = metadata.get("labels") or {}
    names = (
        f"{metadata.get('namespace')}/{(budget.get('metadata') or {}).get('name')}"
        for budget in budgets
        if selects((budget.get("spec") or {}).get("selector"), labels)
    )
    return tuple(sorted(names))


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects labels: an empty one all, none at all nothing (policy/v1)."""
    if selector is None:
        return False
    equal = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return equal and all(_meets(expression, labels) for expression in selector.get("matchExpressions") or ())


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = str(expression.get("key")), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":  # A label that is not there is not in the values either (apimachinery's labels.Requirement).
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def refusal_text(status: Mapping[str, Any]) -> str:
    """What the API said of a refused eviction, its causes (`The disruption budget web needs 2 ...`) after it."""
    causes = (status.get("details") or {}).get("causes") or ()
    said = [status.get("message"), *(cause.get("message") for cause in causes)]
    return " ".join(dict.fromkeys(str(part).strip() for part in said if part))


def has_cause(status: Mapping[str, Any], reason: str) -> bool:
    """Whether a Status names this cause."""
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == reason for cause in causes)


def next_page(listing: Mapping[str, Any]) -> str:
    """The token of a list's next part, empty at its end."""
    return str((listing.get("metadata") or {}).get("continue") or "")
