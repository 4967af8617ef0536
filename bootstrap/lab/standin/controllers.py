"""Deployments, ReplicaSets and DaemonSets."""

from __future__ import annotations

import calendar
import copy
import hashlib
import json
import secrets
import time
import uuid

from .api import Api
from .conditions import is_finished, keep_times, pod_is_ready
from .draft import Draft
from .placement import why_not
from .shapes import Obj
from .telling import stamp

DAEMON_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("not-ready", "NoSchedule"),
                        ("unreachable", "NoSchedule"), ("unschedulable", "NoSchedule"))
]  # fmt: skip


class Controllers:
    """Those of workloads, for one pass."""

    def __init__(self, api: Api, draft: Draft) -> None:
        self.api, self._draft = api, draft

    def stop(self, pod: Obj) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            self._draft.apply(self.api.deleting.delete_pod(pod))

    def deployment(self, deployment: Obj) -> None:
        spec, meta, draft = deployment["spec"], deployment["metadata"], self._draft
        wanted = int(spec.get("replicas", 1))
        digest = template_hash(spec["template"])
        sets = draft.owned("replicasets", deployment)
        current = [s for s in sets if s["metadata"]["labels"].get("pod-template-hash") == digest]
        if not current:
            labels = {**(spec["template"]["metadata"].get("labels") or {}), "pod-template-hash": digest}
            selector = {**spec["selector"]}
            selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "pod-template-hash": digest}
            template = {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}}
            new = self._child(deployment, "Deployment", f"{meta['name']}-{digest}", labels)
            new["metadata"]["generation"] = 1
            draft.put("replicasets", {**new, "spec": {"replicas": wanted, "selector": selector, "template": template}})
            return
        self._scale(current[0], wanted)
        ready = sum(1 for pod in draft.owned("pods", current[0]) if pod_is_ready(pod))
        for old in sets:
            if old is not current[0]:
                self._scale(old, min(int(old["spec"]["replicas"]), max(0, wanted - ready)))
        pods = [p for s in sets for p in draft.owned("pods", s) if not p["metadata"].get("deletionTimestamp")]
        all_ready = sum(1 for pod in pods if pod_is_ready(pod))
        updated = sum(1 for pod in pods if pod["metadata"]["labels"].get("pod-template-hash") == digest)
        status = {"observedGeneration": meta.get("generation", 1), "replicas": len(pods), "updatedReplicas": updated,
                  "readyReplicas": all_ready, "availableReplicas": all_ready,
                  "unavailableReplicas": max(0, wanted - all_ready),
                  "conditions": [{"type": "Available", "status": "True" if all_ready >= wanted else "False",
                                  "reason": f"Minimum{'' if all_ready >= wanted else 'Un'}availableReplicas",
                                  "message": ""}]}  # fmt: skip
        self._draft.status("deployments", deployment, {**status, "conditions": keep_times(deployment, status)})

    def _scale(self, replica_set: Obj, replicas: int) -> None:
        if replica_set["spec"]["replicas"] != replicas:
            meta = replica_set["metadata"]
            generation = {"generation": meta.get("generation", 1) + 1}
            spec = {**replica_set["spec"], "replicas": replicas}
            self._draft.put("replicasets", {**replica_set, "spec": spec, "metadata": {**meta, **generation}})

    @staticmethod
    def _child(owner: Obj, kind: str, name: str, labels: dict[str, str]) -> Obj:
        ref = {"apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"],
               "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}  # fmt: skip
        meta = {"name": name, "namespace": owner["metadata"]["namespace"], "labels": dict(labels),
                "uid": str(uuid.uuid4()), "creationTimestamp": stamp(), "ownerReferences": [ref]}  # fmt: skip
        return {"metadata": meta}

    def _make_pod(self, owner: Obj, kind: str, spec: Obj, labels: dict[str, str]) -> None:
        name = f"{owner['metadata']['name']}-{secrets.token_hex(3)[:5]}"
        template = owner["spec"]["template"]
        pod = self._child(owner, kind, name, {**(template["metadata"].get("labels") or {}), **labels})
        if template["metadata"].get("annotations"):
            pod["metadata"]["annotations"] = dict(template["metadata"]["annotations"])
        pod["spec"] = copy.deepcopy(template["spec"]) | spec
        self.api.admission.admit("pods", pod)
        self._draft.put("pods", pod)

    def replica_set(self, replica_set: Obj) -> None:
        wanted = int(replica_set["spec"].get("replicas", 1))
        mine = self._draft.owned("pods", replica_set)
        pods = [pod for pod in mine if not pod["metadata"].get("deletionTimestamp") and not is_finished(pod)]
        for _ in range(wanted - len(pods)):
            self._make_pod(replica_set, "ReplicaSet", {}, {})
        surplus = sorted(pods, key=lambda p: (bool(p["spec"].get("nodeName")), pod_is_ready(p), older_first(p)))
        for pod in surplus[: max(0, len(pods) - wanted)]:
            self.stop(pod)
        pods = [p for p in self._draft.owned("pods", replica_set) if not p["metadata"].get("deletionTimestamp")]
        ready = sum(1 for pod in pods if pod_is_ready(pod))
        status = {"observedGeneration": replica_set["metadata"].get("generation", 1), "replicas": len(pods),
                  "fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}  # fmt: skip
        self._draft.status("replicasets", replica_set, status)

    def daemon_set(self, daemon_set: Obj, nodes: dict[str, Obj]) -> None:
        draft, template = self._draft, daemon_set["spec"]["template"]
        tolerations = [*(template["spec"].get("tolerations") or []), *DAEMON_TOLERATIONS]
        spec = {**template["spec"], "tolerations": tolerations}
        digest = template_hash(template)
        wanted = [name for name, node in nodes.items() if not why_not(spec, node)]
        pods = [pod for pod in draft.owned("pods", daemon_set) if not pod["metadata"].get("deletionTimestamp")]
        outdated = [pod for pod in pods if pod["metadata"]["labels"].get("controller-revision-hash") != digest]
        for pod in pods:
            if pod["spec"].get("nodeName") not in wanted or is_finished(pod):
                self.stop(pod)
        if outdated and all(pod_is_ready(pod) for pod in draft.owned("pods", daemon_set)):
            self.stop(outdated[0])
        placed = {pod["spec"].get("nodeName") for pod in draft.owned("pods", daemon_set)}
        for name in wanted:
            if name not in placed:
                more = {"nodeName": name, "tolerations": tolerations}
                self._make_pod(daemon_set, "DaemonSet", more, {"controller-revision-hash": digest})
        pods = draft.owned("pods", daemon_set)
        ready = sum(1 for pod in pods if pod_is_ready(pod))
        status = {"observedGeneration": daemon_set["metadata"].get("generation", 1),
                  "desiredNumberScheduled": len(wanted), "currentNumberScheduled": len(pods), "numberMisscheduled": 0,
                  "updatedNumberScheduled": len(pods) - len(outdated), "numberReady": ready, "numberAvailable": ready,
                  "numberUnavailable": max(0, len(wanted) - ready)}  # fmt: skip
        self._draft.status("daemonsets", daemon_set, status)


def template_hash(template: Obj) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def older_first(pod: Obj) -> float:
    """A sort key by which newer pods come first, since they are the first to go."""
    return -float(calendar.timegm(time.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")))
