"""Pods, from their controllers to their end."""

from __future__ import annotations

import time
from collections.abc import Callable

from .api import Api
from .budgets import budget_status
from .conditions import controller_of, keep_times
from .controllers import Controllers
from .draft import WORKLOADS, Draft
from .placement import schedule_pods, tolerates
from .pods import Ages, Pods
from .shapes import Obj

OWNER_KINDS = {"Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"}


class Workloads:
    """Each pass looks at all and changes what should be otherwise."""

    def __init__(self, api: Api, living: Callable[[str], bool]) -> None:
        self.api, self.store, self._living = api, api.store, living
        self._ages = Ages()
        self._done = -1

    def tick(self) -> None:
        """Make a pass if anything changed, or is due."""
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
        pods = Pods(draft, self._ages, self._living)
        for pod in draft.all("pods"):
            pods.look_at(pod, nodes)
        uids = {pod["metadata"]["uid"] for pod in draft.all("pods")}
        self._ages.since = {key: since for key, since in self._ages.since.items() if key[0] in uids}
        for budget in draft.all("poddisruptionbudgets"):
            verdict = budget_status(budget, self.store)
            draft.status("poddisruptionbudgets", budget, {**verdict, "conditions": keep_times(budget, verdict)})

    def _collect_garbage(self, draft: Draft, controllers: Controllers, nodes: dict[str, Obj]) -> None:
        uids = {o["metadata"]["uid"] for plural in WORKLOADS if plural != "pods" for o in draft.all(plural)}
        for replica_set in draft.all("replicasets"):
            ref = controller_of(replica_set)
            if ref.get("kind") in OWNER_KINDS and ref["uid"] not in uids:
                draft.drop("replicasets", replica_set)
                uids.discard(replica_set["metadata"]["uid"])
        for pod in draft.all("pods"):
            ref, node = controller_of(pod), pod["spec"].get("nodeName", "")
            if node and node not in nodes:
                draft.drop("pods", pod)
            elif (ref.get("kind") in OWNER_KINDS and ref["uid"] not in uids) or self._is_driven_out(pod, nodes):
                controllers.stop(pod)

    def _is_driven_out(self, pod: Obj, nodes: dict[str, Obj]) -> bool:
        """Whether its node has a NoExecute taint that it does not tolerate, or not for that long."""
        node = nodes.get(pod["spec"].get("nodeName", ""))
        if node is None or pod["metadata"].get("deletionTimestamp"):
            return False
        for taint in node["spec"].get("taints") or []:
            good = [t for t in pod["spec"].get("tolerations") or [] if tolerates(t, taint)]
            if taint["effect"] != "NoExecute" or any("tolerationSeconds" not in t for t in good):
                continue
            limit_s = max((float(t["tolerationSeconds"]) for t in good), default=0.0)
            if self._ages.age_s(pod, f"taint {taint['key']}", limit_s) >= limit_s:
                return True
        return False
