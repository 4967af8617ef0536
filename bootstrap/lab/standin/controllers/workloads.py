"""Passes of the workload controllers, the scheduler and the kubelets."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..api.api import Api
from ..api.budgets import budget_status
from ..api.objects import controller_of, is_terminating, keep_times
from ..shapes import Obj
from .controllers import Controllers
from .draft import WORKLOADS, Draft
from .placement import schedule_pods, tolerates
from .pods import Ages, Pods

OWNER_KINDS = {"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"}


class Workloads:
    """Each pass looks at all workloads and corrects them."""

    def __init__(self, api: Api, living: Callable[[str], bool]) -> None:
        self.api, self.store, self._living = api, api.store, living
        self._ages = Ages()
        self._done = -1

    def tick(self) -> None:
        """Make a pass if anything changed or is due."""
        touched = max((self.store.touched.get(plural, 0) for plural in WORKLOADS), default=0)
        now = time.monotonic()
        if touched <= self._done and now < self._ages.due:
            return
        with self.api.cluster.lock:
            rev, self._ages.due = self.store.rev, now + 5
            draft = Draft(self.store)
            self._pass(draft, Controllers(self.api, draft))
            if draft.edits:
                self.api.cluster.commit(list(draft.edits.values()))
        self._done = rev

    def _pass(self, draft: Draft, controllers: Controllers) -> None:
        if not any(draft.all(plural) for plural in WORKLOADS if plural != "nodes"):
            self._ages.since.clear()
            return
        nodes = {node["metadata"]["name"]: node for node in draft.all("nodes")}
        self._collect_garbage(draft, controllers, nodes)
        for deployment in draft.all("deployments"):
            controllers.deployment(deployment)
        for replica_set in draft.all("replicasets"):
            controllers.replica_set(replica_set)
        for daemon_set in draft.all("daemonsets"):
            controllers.daemon_set(daemon_set, nodes)
        schedule_pods(draft, nodes)
        self._look_at_pods(draft, nodes)
        for budget in draft.all("poddisruptionbudgets"):
            verdict = budget_status(budget, self.store)
            draft.status("poddisruptionbudgets", budget, {**verdict, "conditions": keep_times(budget, verdict)})

    def _look_at_pods(self, draft: Draft, nodes: dict[str, Obj]) -> None:
        pods = Pods(draft, self._ages, self._living)
        for pod in draft.all("pods"):
            pods.look_at(pod, nodes)
        self._ages.forget_others({pod["metadata"]["uid"] for pod in draft.all("pods")})

    def _collect_garbage(self, draft: Draft, controllers: Controllers, nodes: dict[str, Obj]) -> None:
        """Remove objects without their owner or node, and pods that a taint evicts."""
        uids = drop_orphaned_sets(draft)
        for pod in draft.all("pods"):
            name = pod["spec"].get("nodeName", "")
            if name and name not in nodes:
                draft.drop("pods", pod)
            elif is_orphan(pod, uids) or self._is_driven_out(pod, nodes.get(name)):
                controllers.stop(pod)

    def _is_driven_out(self, pod: Obj, node: Obj | None) -> bool:
        """Whether its node has a NoExecute taint that it does not tolerate, or not for that long."""
        if node is None or is_terminating(pod):
            return False
        for taint in node["spec"].get("taints") or []:
            limit_s = tolerated_s(pod, taint) if taint["effect"] == "NoExecute" else None
            if limit_s is not None and self._ages.reaches(pod, f"taint {taint['key']}", limit_s):
                return True
        return False


def drop_orphaned_sets(draft: Draft) -> set[str]:
    """Drop the ReplicaSets without their owner; returns the uids of all possible owners."""
    uids = {obj["metadata"]["uid"] for plural in WORKLOADS if plural != "pods" for obj in draft.all(plural)}
    for replica_set in draft.all("replicasets"):
        if is_orphan(replica_set, uids):
            draft.drop("replicasets", replica_set)
            uids.discard(replica_set["metadata"]["uid"])
    return uids


def is_orphan(obj: Obj, uids: set[str]) -> bool:
    ref = controller_of(obj)
    return ref.get("kind") in OWNER_KINDS and ref["uid"] not in uids


def tolerated_s(pod: Obj, taint: Obj) -> float | None:
    """How long a pod tolerates a taint; None: without limit."""
    good = [each for each in pod["spec"].get("tolerations") or [] if tolerates(each, taint)]
    if any("tolerationSeconds" not in each for each in good):
        return None
    return max((float(each["tolerationSeconds"]) for each in good), default=0.0)
