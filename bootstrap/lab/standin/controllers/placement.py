"""The scheduler: which node a pod goes to."""

from __future__ import annotations

from collections import Counter

from ..api.objects import is_terminating, keep_times, labels_of
from ..logs import stamp
from ..shapes import Obj
from .draft import Draft


def tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if not toleration.get("key"):
        return bool(toleration.get("operator") == "Exists")
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def pod_limit(node: Obj) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get("pods", 110))


def untolerated(spec: Obj, node: Obj) -> list[Obj]:
    """The taints of a node that keep a pod with this spec away."""
    tolerations = spec.get("tolerations") or []
    hard = [taint for taint in node["spec"].get("taints") or [] if taint["effect"] in ("NoSchedule", "NoExecute")]
    return [taint for taint in hard if not any(tolerates(each, taint) for each in tolerations)]


def why_not(spec: Obj, node: Obj) -> str:
    """Why a pod with this spec cannot go to this node; "" if it can."""
    keeping = untolerated(spec, node)
    if keeping:
        taint = keeping[0]
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if not (spec.get("nodeSelector") or {}).items() <= labels_of(node).items():
        return "node(s) didn't match Pod's node affinity/selector"
    kinds = (spec.get("affinity") or {}).values()
    if any((kind or {}).get("requiredDuringSchedulingIgnoredDuringExecution") for kind in kinds):
        return "node(s) are run by a stand-in that knows no required affinity"
    return ""


def schedule_pods(draft: Draft, nodes: dict[str, Obj]) -> None:
    """Bind each unbound pod to the node with the fewest pods that accepts it, or set why none does."""
    pods = draft.all("pods")
    load = Counter(pod["spec"].get("nodeName") for pod in pods)
    for pod in pods:
        if pod["spec"].get("nodeName") or is_terminating(pod):
            continue
        reasons = reasons_against(pod, nodes, load)
        good = [name for name, reason in reasons.items() if not reason]
        if not good:
            refuse_pod(draft, pod, list(reasons.values()))
            continue
        chosen = min(good, key=lambda name: (load[name], name))
        load[chosen] += 1
        bind_pod(draft, pod, chosen)


def reasons_against(pod: Obj, nodes: dict[str, Obj], load: Counter[str]) -> dict[str, str]:
    """By node: why it cannot run the pod; "" if it can."""
    return {
        name: "Too many pods" if load[name] >= pod_limit(node) else why_not(pod["spec"], node)
        for name, node in nodes.items()
    }


def bind_pod(draft: Draft, pod: Obj, node: str) -> None:
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
    status = {**pod["status"], "conditions": [bound]}
    draft.put("pods", {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status})


def refuse_pod(draft: Draft, pod: Obj, reasons: list[str]) -> None:
    counts = [f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons))]
    text = f"0/{len(reasons)} nodes are available: {', '.join(counts)}."
    verdict = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    draft.status("pods", pod, {**pod["status"], "conditions": keep_times(pod, {"conditions": [verdict]})})
