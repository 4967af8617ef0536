"""Fields of objects: labels, owners, conditions."""

from __future__ import annotations

from collections.abc import Iterable

from ..logs import stamp
from ..shapes import Obj


def labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def is_terminating(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def condition(obj: Obj, kind: str) -> Obj:
    """A condition by its type; {} where there is none."""
    conditions: list[Obj] = obj.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def is_true(obj: Obj, kind: str) -> bool:
    return bool(condition(obj, kind).get("status") == "True")


def pod_is_ready(pod: Obj) -> bool:
    return is_true(pod, "Ready") and not is_terminating(pod)


def count_ready(pods: Iterable[Obj]) -> int:
    return sum(map(pod_is_ready, pods))


def pod_conditions(ready: bool) -> list[Obj]:
    states = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    return [{"type": kind, "status": str(state), "lastTransitionTime": stamp()} for kind, state in states.items()]


def is_finished(pod: Obj) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def keep_times(obj: Obj, status: Obj) -> list[Obj]:
    """The conditions of a new status, each with the time of its last change."""
    kept = []
    for new in status["conditions"]:
        old = condition(obj, new["type"])
        since = old.get("lastTransitionTime") if old.get("status") == new["status"] else stamp()
        kept.append({**new, "lastTransitionTime": since})
    return kept


def controller_of(obj: Obj) -> Obj:
    """The owner reference of its controller; {} where there is none."""
    references: list[Obj] = obj["metadata"].get("ownerReferences") or []
    return next((each for each in references if each.get("controller")), {})
