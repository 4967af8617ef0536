"""PodDisruptionBudgets."""

from __future__ import annotations

import json
from typing import Any

from ..datastore.store import Store
from ..shapes import Obj
from .objects import controller_of, count_ready, labels_of
from .reading.selecting import label_selector_matches

CANNOT_EVICT = "Cannot evict pod as it would violate the pod's disruption budget."


def budget_covers(budget: Obj, pod: Obj) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and label_selector_matches(selector, labels_of(pod))


def budget_status(budget: Obj, store: Store) -> Obj:
    """The status of a PodDisruptionBudget, as the disruption controller computes it."""
    pods = [pod for pod in store.all("pods", budget["metadata"]["namespace"]) if budget_covers(budget, pod)]
    healthy, generation = count_ready(pods), budget["metadata"].get("generation", 1)
    expected, desired, problem = needs_of(budget["spec"], pods, store)
    allowed = max(0, healthy - desired) if expected > 0 and not problem else 0
    reason = "SyncFailed" if problem else "SufficientPods" if allowed else "InsufficientPods"
    verdict = {"type": "DisruptionAllowed", "status": str(allowed > 0), "message": problem, "reason": reason,
               "observedGeneration": generation}  # fmt: skip
    return {"conditions": [verdict], "currentHealthy": healthy, "desiredHealthy": desired,
            "disruptionsAllowed": allowed, "expectedPods": expected, "observedGeneration": generation}  # fmt: skip


def needs_of(spec: Obj, pods: list[Obj], store: Store) -> tuple[int, int, str]:
    """How many pods a budget expects and how many of them must be healthy, and why these cannot be counted."""
    limit: Any = spec.get("maxUnavailable", spec.get("minAvailable", 0))
    percent = isinstance(limit, str)
    by_scale = "maxUnavailable" in spec or percent
    expected, problem = scale_behind(pods, store) if by_scale else (len(pods), "")
    count = -(-expected * int(limit.rstrip("%")) // 100) if percent else int(limit)
    return expected, max(0, expected - count) if "maxUnavailable" in spec else count, problem


def scale_behind(pods: list[Obj], store: Store) -> tuple[int, str]:
    """How many pods their controllers want in all, or why they cannot be counted."""
    scales: dict[str, int] = {}
    for pod in pods:
        ref, ns = controller_of(pod), pod["metadata"]["namespace"]
        owner = store.get("replicasets" if ref.get("kind") == "ReplicaSet" else "statefulsets", ns, ref.get("name", ""))
        above = controller_of(owner) if owner else {}
        owner = store.get("deployments", ns, above["name"]) if above else owner
        if owner is None:
            return 0, f"found no controller ref for pod {json.dumps(pod['metadata']['name'])}"
        scales[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
    return sum(scales.values()), ""
