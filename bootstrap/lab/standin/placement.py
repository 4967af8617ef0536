"""Which node a pod may go to."""

from __future__ import annotations

from .conditions import keep_times
from .draft import Draft
from .shapes import Obj
from .telling import stamp


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


def why_not(spec: Obj, node: Obj) -> str:
    """Why a pod with this spec cannot go to this node; "" if it can."""
    labels = node["metadata"].get("labels") or {}
    for taint in node["spec"].get("taints") or []:
        hard = taint["effect"] in ("NoSchedule", "NoExecute")
        if hard and not any(tolerates(t, taint) for t in spec.get("tolerations") or []):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    affinity = spec.get("affinity") or {}
    if any((affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") for kind in affinity):
        return "node(s) are run by a stand-in that knows no required affinity"
    return ""


def schedule_pods(draft: Draft, nodes: dict[str, Obj]) -> None:
    pods = draft.all("pods")
    load = dict.fromkeys(nodes, 0)
    for pod in pods:
        if pod["spec"].get("nodeName") in load:
            load[pod["spec"]["nodeName"]] += 1
    for pod in pods:
        if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            continue
        reasons = {name: why_not(pod["spec"], node) for name, node in nodes.items()}
        reasons |= {name: "Too many pods" for name, node in nodes.items() if load[name] >= pod_limit(node)}
        good = [name for name, reason in reasons.items() if not reason]
        if good:
            chosen = min(good, key=lambda name: (load[name], name))
            load[chosen] += 1
            bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
            status = {**pod["status"], "conditions": [bound]}
            draft.put("pods", {**pod, "spec": {**pod["spec"], "nodeName": chosen}, "status": status})
        else:
            counts = [f"{list(reasons.values()).count(why)} {why}" for why in sorted(set(reasons.values()))]
            text = f"0/{len(nodes)} nodes are available: {', '.join(counts)}."
            verdict = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                       "message": text}]}  # fmt: skip
            draft.status("pods", pod, {**pod["status"], "conditions": keep_times(pod, verdict)})
