"""Whether an object does what it is for, as `kubectl rollout status` and `kubectl wait` see it.

Kubernetes: staging/src/k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bootstrap.manifests.values import GroupKind, Object

_FLUX: Final = ".toolkit.fluxcd.io"


@dataclass(frozen=True)
class NotReady:
    """Why an object is not ready yet; `final` where waiting does not help."""

    problem: str
    final: bool = False


def not_ready(found: Object) -> NotReady | None:
    """Why an object of the cluster is not ready; None where it is, or where there is nothing to wait for."""
    group = str(found.get("apiVersion") or "").rpartition("/")[0]
    look = _LOOKS.get(GroupKind(group, str(found.get("kind"))))
    return look(_Seen(found)) if look is not None else None


def is_waited_for(kind: GroupKind) -> bool:
    """Whether objects of this kind become ready."""
    return kind in _LOOKS


def not_synced(found: Object) -> str:
    """Why Flux or Argo CD has not read or applied what an object says, in their own words; empty where it has.

    Flux's kinds have the condition Ready (fluxcd/pkg apis/meta/conditions.go); an Application has `status.sync.status`,
    and conditions whose types end with Error (argoproj/argo-cd pkg/apis/application/v1alpha1/types.go).
    """
    kind, seen = str(found.get("kind")), _Seen(found)
    group = str(found.get("apiVersion") or "").rpartition("/")[0]
    if group.endswith(_FLUX) and kind in ("GitRepository", "Kustomization"):
        problem = seen.needs("Ready")
        return f"{problem.problem}" if problem is not None else ""
    if (group, kind) != ("argoproj.io", "Application"):
        return ""
    errors = [str(each.get("message")) for each in seen.conditions if str(each.get("type")).endswith("Error")]
    status = str(_mapping(seen.status.get("sync")).get("status") or "not synced yet")
    return "" if status == "Synced" and not errors else "; ".join(errors) or status


class _Seen:
    """An object's parts, of odd form or not."""

    def __init__(self, found: Object) -> None:
        self.metadata, self.spec, self.status = (_mapping(found.get(key)) for key in ("metadata", "spec", "status"))

    def number(self, name: str) -> int:
        value = self.status.get(name)
        return value if isinstance(value, int) else 0

    def wanted(self, name: str = "replicas") -> int:
        value = self.spec.get(name)
        return value if isinstance(value, int) else 1

    @property
    def unobserved(self) -> NotReady | None:
        generation = self.metadata.get("generation")
        late = isinstance(generation, int) and self.number("observedGeneration") < generation
        return NotReady("its controller has not seen the change yet") if late else None

    @property
    def conditions(self) -> tuple[Mapping[str, object], ...]:
        found = self.status.get("conditions")
        return tuple(each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()

    def condition(self, kind: str) -> Mapping[str, object]:
        return next((each for each in self.conditions if each.get("type") == kind), {})

    def needs(self, kind: str) -> NotReady | None:
        """That a condition is True."""
        condition = self.condition(kind)
        if condition.get("status") == "True":
            return None
        said = condition.get("message") or condition.get("reason")
        return NotReady(f"not {kind}: {said}" if said else f"not {kind}")


def _deployment(seen: _Seen) -> NotReady | None:
    if seen.spec.get("paused") is True:
        return None
    wanted = seen.wanted()
    updated, all_of, available = map(seen.number, ("updatedReplicas", "replicas", "availableReplicas"))
    if seen.unobserved is not None:
        return seen.unobserved
    if updated < wanted:
        return NotReady(f"{updated} of {wanted} pods are updated")
    if all_of > updated:
        return NotReady(f"{all_of - updated} old pods are still there")
    if available < updated:
        return NotReady(f"{available} of {updated} pods are available")
    return seen.needs("Available") if wanted else None


def _daemon_set(seen: _Seen) -> NotReady | None:
    if _mapping(seen.spec.get("updateStrategy")).get("type") == "OnDelete":
        return None
    wanted, updated, available = map(
        seen.number, ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    )
    if seen.unobserved is not None:
        return seen.unobserved
    if updated < wanted:
        return NotReady(f"{updated} of {wanted} pods are updated")
    return NotReady(f"{available} of {wanted} pods are available") if available < wanted else None


def _stateful_set(seen: _Seen) -> NotReady | None:
    strategy = _mapping(seen.spec.get("updateStrategy"))
    if strategy.get("type") == "OnDelete":
        return None
    wanted, ready, updated = seen.wanted(), seen.number("readyReplicas"), seen.number("updatedReplicas")
    partition = _mapping(strategy.get("rollingUpdate")).get("partition")
    to_update = wanted - (partition if isinstance(partition, int) else 0)
    if seen.unobserved is not None:
        return seen.unobserved
    if ready < wanted:
        return NotReady(f"{ready} of {wanted} pods are ready")
    return NotReady(f"{updated} of {to_update} pods are updated") if updated < to_update else None


def _job(seen: _Seen) -> NotReady | None:
    if seen.spec.get("suspend") is True:
        return None
    failed = seen.condition("Failed")
    if failed.get("status") == "True":
        return NotReady(f"failed: {failed.get('message') or failed.get('reason') or 'no reason given'}", final=True)
    return seen.needs("Complete")


def _crd(seen: _Seen) -> NotReady | None:
    names = seen.condition("NamesAccepted")
    if names.get("status") == "False":
        return NotReady(f"its names are not accepted: {names.get('message') or names.get('reason')}", final=True)
    return seen.needs("Established")


def _namespace(seen: _Seen) -> NotReady | None:
    terminating = seen.status.get("phase") == "Terminating" or bool(seen.metadata.get("deletionTimestamp"))
    return NotReady("it is being deleted") if terminating else None


_LOOKS: Final[Mapping[GroupKind, Callable[[_Seen], NotReady | None]]] = {
    GroupKind("apps", "Deployment"): _deployment,
    GroupKind("apps", "DaemonSet"): _daemon_set,
    GroupKind("apps", "StatefulSet"): _stateful_set,
    GroupKind("batch", "Job"): _job,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    GroupKind("apiregistration.k8s.io", "APIService"): lambda seen: seen.needs("Available"),
    GroupKind("", "Namespace"): _namespace,
}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
