"""PodDisruptionBudgets."""

from __future__ import annotations

import json

from .conditions import controller_of, pod_is_ready
from .selecting import label_selector_matches
from .shapes import Obj
from .store import Store

CANNOT_EVICT = "Cannot evict pod as it would violate the pod's disruption budget."


def budget_covers(budget: Obj, pod: Obj) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and label_selector_matches(selector, pod["metadata"].get("labels") or {})


def budget_status(budget: Obj, store: Store) -> Obj:
    """What a PodDisruptionBudget allows just now, as the disruption controller counts it."""
    meta, spec = budget["metadata"], budget["spec"]
    pods = [pod for pod in store.all("pods", meta["namespace"]) if budget_covers(budget, pod)]
    healthy = sum(1 for pod in pods if pod_is_ready(pod))
    limit = spec.get("maxUnavailable", spec.get("minAvailable", 0))
    expected, problem = len(pods), ""
    if "maxUnavailable" in spec or isinstance(limit, str):
        expected, problem = scale_behind(pods, store)
    count = -(-expected * int(limit.rstrip("%")) // 100) if isinstance(limit, str) else int(limit)
    desired = max(0, expected - count) if "maxUnavailable" in spec else count
    allowed = max(0, healthy - desired) if expected > 0 and not problem else 0
    verdict = {"type": "DisruptionAllowed", "status": "True" if allowed else "False", "message": problem,
               "reason": "SyncFailed" if problem else "SufficientPods" if allowed else "InsufficientPods",
               "observedGeneration": meta.get("generation", 1)}  # fmt: skip
    return {"conditions": [verdict], "currentHealthy": healthy, "desiredHealthy": desired,
            "disruptionsAllowed": allowed, "expectedPods": expected,
            "observedGeneration": meta.get("generation", 1)}  # fmt: skip


def scale_behind(pods: list[Obj], store: Store) -> tuple[int, str]:
    """How many pods their controllers want in all, or why that cannot be told."""
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
