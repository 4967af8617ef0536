"""What kubelets do with pods; the leader does it for all nodes."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable

from ..api.objects import is_finished, is_terminating, is_true, pod_conditions
from ..logs import stamp
from ..shapes import Obj
from .draft import Draft

POD_START_S = 0.4  # from being bound to a node to Running and Ready
POD_STOP_S = 0.3  # how long a pod takes to stop without a preStop hook


class Ages:
    """When pods entered their stage, and when the next pass is due."""

    def __init__(self) -> None:
        self.since: dict[tuple[str, str], float] = {}  # by uid and stage
        self.due = 0.0

    def reaches(self, pod: Obj, stage: str, age_s: float) -> bool:
        """Whether a pod has been in this stage for so long; the next pass comes no later than that time."""
        now = time.monotonic()
        since = self.since.setdefault((pod["metadata"]["uid"], stage), now)
        if now < since + age_s:
            self.due = min(self.due, since + age_s)
        return now - since >= age_s

    def forget_others(self, uids: set[str]) -> None:
        """Drop the ages of all other pods."""
        self.since = {key: since for key, since in self.since.items() if key[0] in uids}


class Pods:
    """The pods of all nodes, for one pass."""

    def __init__(self, draft: Draft, ages: Ages, living: Callable[[str], bool]) -> None:
        self._draft, self._ages, self._living = draft, ages, living

    def look_at(self, pod: Obj, nodes: dict[str, Obj]) -> None:
        """Move a pod to its next phase if that is due."""
        node = nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return
        living = self._living(node["metadata"]["name"])
        if not living:
            self._ages.due = min(self._ages.due, time.monotonic() + 0.5)  # no event marks the start of a node
        if is_terminating(pod):
            stop_s = min(float(pod["metadata"].get("deletionGracePeriodSeconds", 0)), stop_time_s(pod))
            if living and self._ages.reaches(pod, "stopping", stop_s):
                self._end(pod)
        elif pod["status"]["phase"] == "Pending":
            if living and self._ages.reaches(pod, "starting", POD_START_S):
                self._run(pod, node)
        elif not is_finished(pod):
            self._follow(pod, node)

    def _follow(self, pod: Obj, node: Obj) -> None:
        """A running pod is Ready while its node is."""
        ready = is_true(node, "Ready")
        if ready != is_true(pod, "Ready"):
            self._draft.put("pods", {**pod, "status": {**pod["status"], "conditions": pod_conditions(ready)}})

    def _end(self, pod: Obj) -> None:
        if not pod["metadata"].get("finalizers"):
            self._draft.drop("pods", pod)
        elif pod["metadata"].get("deletionGracePeriodSeconds"):
            status = {**pod["status"], "phase": "Succeeded", "conditions": pod_conditions(False)}
            meta = {**pod["metadata"], "deletionGracePeriodSeconds": 0}
            self._draft.put("pods", {**pod, "metadata": meta, "status": status})

    def _run(self, pod: Obj, node: Obj) -> None:
        spec, now = pod["spec"], stamp()
        host = next((a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"), "")
        ip = host if spec.get("hostNetwork") else self._free_ip(node)
        containers = [
            {"name": c["name"], "image": c.get("image", ""), "imageID": "", "ready": True, "started": True,
             "restartCount": 0, "containerID": f"containerd://{hashlib.sha256(c['name'].encode()).hexdigest()}",
             "state": {"running": {"startedAt": now}}, "lastState": {}}
            for c in spec.get("containers") or []
        ]  # fmt: skip
        status = {**pod["status"], "phase": "Running", "startTime": now, "hostIP": host, "podIP": ip,
                  "podIPs": [{"ip": ip}], "containerStatuses": containers, "qosClass": "BestEffort",
                  "conditions": pod_conditions(True)}  # fmt: skip
        self._draft.put("pods", {**pod, "status": status})

    def _free_ip(self, node: Obj) -> str:
        used = {pod["status"].get("podIP") for pod in self._draft.all("pods")}
        hosts = ipaddress.ip_network(node["spec"].get("podCIDR") or "10.42.255.0/24").hosts()
        next(hosts)  # the bridge's own
        return next((str(ip) for ip in hosts if str(ip) not in used), "")


def stop_time_s(pod: Obj) -> float:
    """How long a pod takes to stop, with the `sleep` of its preStop hooks."""
    hooks = [(c.get("lifecycle") or {}).get("preStop") or {} for c in pod["spec"].get("containers") or []]
    return POD_STOP_S + max((float((hook.get("sleep") or {}).get("seconds", 0)) for hook in hooks), default=0.0)
