"""Pods and PodDisruptionBudgets as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bootstrap.adapters.kube.objects import kube_object, note
from bootstrap.model.observed import Pod
from bootstrap.model.reading import Reading, each

SNAPSHOTS = ("k3s.cattle.io", "v1", "etcdsnapshotfiles")
"""Group, version and plural of k3s's snapshot objects."""

_NAMESPACE = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
"""The API's own forms (DNS labels and subdomains): they become parts of paths."""


def parse_pod(pod: object) -> Pod:
    """A Pod object as a value. Raises UnreadableObjectError."""
    read = kube_object(pod, what="read a pod")
    metadata, spec, status = (read.at(part) for part in ("metadata", "spec", "status"))
    owners = metadata.at("ownerReferences").items(optional=True)
    volumes = spec.at("volumes").items(optional=True)
    return Pod(
        namespace=metadata.at("namespace").word(f"(?:{_NAMESPACE})?", "a namespace", default=""),
        name=metadata.at("name").word(_NAME, "a pod's name"),
        uid=metadata.at("uid").text(""),
        controller=next((owner.at("kind").text("") for owner in owners if owner.at("controller").flag()), ""),
        finished=status.at("phase").value in ("Succeeded", "Failed"),
        mirror=not metadata.at("annotations").at("kubernetes.io/config.mirror").absent,
        local_data=any(not volume.at("emptyDir").absent for volume in volumes),
        leaving=not metadata.at("deletionTimestamp").absent,
    )


def eviction(pod: Pod) -> dict[str, Any]:
    """The Eviction of this pod; a later one of the same name is not affected."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }


def budgets_of(pod: object, budgets: object) -> tuple[str, ...]:
    """The budgets of a namespace (a list object) that select a pod, as `namespace/name`, sorted.

    Raises:
        UnreadableObjectError: The pod is invalid; an invalid budget is ignored.
    """
    metadata = kube_object(pod, what="read a pod").at("metadata")
    labels = {key: value.text() for key, value in metadata.at("labels").entries(optional=True)}
    namespace = metadata.at("namespace").text("")
    listed = kube_object(budgets, what="list the budgets of a namespace").at("items").items(optional=True)
    names = each(
        listed,
        lambda budget: (
            budget.at("metadata").at("name").text() if selects(budget.at("spec").at("selector"), labels) else ""
        ),
        note,
    )
    return tuple(sorted(f"{namespace}/{name}" for name in names if name))


def selects(selector: Reading, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects labels: an empty one selects all, a missing one nothing (policy/v1)."""
    if selector.absent:
        return False
    equal = all(labels.get(key) == value.value for key, value in selector.at("matchLabels").entries(optional=True))
    return equal and all(
        _meets(expression, labels) for expression in selector.at("matchExpressions").items(optional=True)
    )


def _meets(expression: Reading, labels: Mapping[str, str]) -> bool:
    key = expression.at("key").text("")
    values = [value.value for value in expression.at("values").items(optional=True)]
    match expression.at("operator").value:
        case "In":
            return labels.get(key) in values
        case "NotIn":  # True for a missing label, too (apimachinery's labels.Requirement).
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def refusal_text(status: object) -> str:
    """The API's message for a refused eviction, then its causes (`The disruption budget web needs 2 ...`)."""
    read = kube_object(status, what="evict a pod")
    said = [read.at("message"), *(cause.at("message") for cause in _causes(read))]
    return " ".join(dict.fromkeys(part.text("").strip() for part in said if part.text("").strip()))


def has_cause(status: object, reason: str) -> bool:
    """Whether a Status names this cause."""
    return any(cause.at("reason").value == reason for cause in _causes(kube_object(status, what="evict a pod")))


def _causes(status: Reading) -> tuple[Reading, ...]:
    return status.at("details").at("causes").items(optional=True)


def next_page(listing: object) -> str:
    """The token of a list's next page; empty on the last."""
    return kube_object(listing, what="list objects").at("metadata").at("continue").text("")
