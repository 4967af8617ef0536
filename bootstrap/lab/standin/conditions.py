"""Conditions of nodes and pods, and what they tell."""

from __future__ import annotations

from .shapes import Obj
from .telling import stamp


def condition(node: Obj, kind: str) -> Obj:
    found: list[Obj] = [c for c in node.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}


def pod_is_ready(pod: Obj) -> bool:
    return condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def pod_conditions(ready: bool) -> list[Obj]:
    states = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    return [{"type": kind, "status": str(state), "lastTransitionTime": stamp()} for kind, state in states.items()]


def is_finished(pod: Obj) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def keep_times(obj: Obj, status: Obj) -> list[Obj]:
    """The conditions of a new status, with the time of the last change of each."""
    kept = []
    for new in status["conditions"]:
        old = condition(obj, new["type"])
        since = old.get("lastTransitionTime") if old.get("status") == new["status"] else stamp()
        kept.append({**new, "lastTransitionTime": since})
    return kept


def controller_of(obj: Obj) -> Obj:
    """The owner reference of its controller; {} where there is none."""
    found: list[Obj] = [ref for ref in obj["metadata"].get("ownerReferences") or [] if ref.get("controller")]
    return found[0] if found else {}
