"""Deployments, ReplicaSets and DaemonSets."""

from __future__ import annotations

import calendar
import copy
import hashlib
import json
import secrets
import time
import uuid

from ..api.api import Api
from ..api.objects import count_ready, is_finished, is_terminating, keep_times, labels_of, pod_is_ready
from ..logs import stamp
from ..shapes import Obj
from .draft import Draft
from .placement import why_not

TEMPLATE_HASH, REVISION_HASH = "pod-template-hash", "controller-revision-hash"
DAEMON_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("not-ready", "NoSchedule"),
                        ("unreachable", "NoSchedule"), ("unschedulable", "NoSchedule"))
]  # fmt: skip


class Controllers:
    """The controllers of workloads, for one pass."""

    def __init__(self, api: Api, draft: Draft) -> None:
        self.api, self._draft = api, draft

    def stop(self, pod: Obj) -> None:
        if not is_terminating(pod):
            self._draft.apply(self.api.deleting.delete_pod(pod))

    def _pods_of(self, owner: Obj) -> list[Obj]:
        """Its pods, without terminating ones."""
        return [pod for pod in self._draft.owned("pods", owner) if not is_terminating(pod)]

    def deployment(self, deployment: Obj) -> None:
        digest, wanted = template_hash(deployment["spec"]["template"]), int(deployment["spec"].get("replicas", 1))
        sets = self._draft.owned("replicasets", deployment)
        current = next((each for each in sets if labels_of(each).get(TEMPLATE_HASH) == digest), None)
        if current is None:
            self._make_replica_set(deployment, digest, wanted)
            return
        self._scale(current, wanted)
        ready = count_ready(self._draft.owned("pods", current))
        for old in sets:
            if old is not current:
                self._scale(old, min(int(old["spec"]["replicas"]), max(0, wanted - ready)))
        pods = [pod for each in sets for pod in self._pods_of(each)]
        self._draft.status("deployments", deployment, deployment_status(deployment, pods, digest, wanted))

    def _make_replica_set(self, deployment: Obj, digest: str, wanted: int) -> None:
        spec, mark = deployment["spec"], {TEMPLATE_HASH: digest}
        labels = labels_of(spec["template"]) | mark
        selector = {**spec["selector"], "matchLabels": (spec["selector"].get("matchLabels") or {}) | mark}
        template = {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}}
        new = child_of(deployment, "Deployment", f"{deployment['metadata']['name']}-{digest}", labels)
        new["metadata"]["generation"] = 1
        new["spec"] = {"replicas": wanted, "selector": selector, "template": template}
        self._draft.put("replicasets", new)

    def _scale(self, replica_set: Obj, replicas: int) -> None:
        if replica_set["spec"]["replicas"] != replicas:
            meta = replica_set["metadata"]
            generation = {"generation": meta.get("generation", 1) + 1}
            spec = {**replica_set["spec"], "replicas": replicas}
            self._draft.put("replicasets", {**replica_set, "spec": spec, "metadata": {**meta, **generation}})

    def _make_pod(self, owner: Obj, kind: str, spec: Obj, labels: dict[str, str]) -> None:
        name = f"{owner['metadata']['name']}-{secrets.token_hex(3)[:5]}"
        template = owner["spec"]["template"]
        pod = child_of(owner, kind, name, labels_of(template) | labels)
        if template["metadata"].get("annotations"):
            pod["metadata"]["annotations"] = dict(template["metadata"]["annotations"])
        pod["spec"] = copy.deepcopy(template["spec"]) | spec
        self.api.admission.admit("pods", pod)
        self._draft.put("pods", pod)

    def replica_set(self, replica_set: Obj) -> None:
        wanted = int(replica_set["spec"].get("replicas", 1))
        pods = [pod for pod in self._pods_of(replica_set) if not is_finished(pod)]
        for _ in range(wanted - len(pods)):
            self._make_pod(replica_set, "ReplicaSet", {}, {})
        surplus = sorted(pods, key=lambda p: (bool(p["spec"].get("nodeName")), pod_is_ready(p), newer_first(p)))
        for pod in surplus[: max(0, len(pods) - wanted)]:
            self.stop(pod)
        pods = self._pods_of(replica_set)
        ready = count_ready(pods)
        status = {"observedGeneration": replica_set["metadata"].get("generation", 1), "replicas": len(pods),
                  "fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}  # fmt: skip
        self._draft.status("replicasets", replica_set, status)

    def daemon_set(self, daemon_set: Obj, nodes: dict[str, Obj]) -> None:
        draft, template = self._draft, daemon_set["spec"]["template"]
        tolerations = [*(template["spec"].get("tolerations") or []), *DAEMON_TOLERATIONS]
        spec, digest = {**template["spec"], "tolerations": tolerations}, template_hash(template)
        wanted = [name for name, node in nodes.items() if not why_not(spec, node)]
        pods = self._pods_of(daemon_set)
        outdated = [pod for pod in pods if labels_of(pod).get(REVISION_HASH) != digest]
        self._stop_daemons(daemon_set, pods, outdated, wanted)
        placed = {pod["spec"].get("nodeName") for pod in draft.owned("pods", daemon_set)}
        for name in wanted:
            if name not in placed:
                more = {"nodeName": name, "tolerations": tolerations}
                self._make_pod(daemon_set, "DaemonSet", more, {REVISION_HASH: digest})
        pods = draft.owned("pods", daemon_set)
        ready = count_ready(pods)
        status = {"observedGeneration": daemon_set["metadata"].get("generation", 1),
                  "desiredNumberScheduled": len(wanted), "currentNumberScheduled": len(pods), "numberMisscheduled": 0,
                  "updatedNumberScheduled": len(pods) - len(outdated), "numberReady": ready, "numberAvailable": ready,
                  "numberUnavailable": max(0, len(wanted) - ready)}  # fmt: skip
        draft.status("daemonsets", daemon_set, status)

    def _stop_daemons(self, daemon_set: Obj, pods: list[Obj], outdated: list[Obj], wanted: list[str]) -> None:
        """Stop pods that must not run on their node, and one outdated pod while all others are ready."""
        for pod in pods:
            if pod["spec"].get("nodeName") not in wanted or is_finished(pod):
                self.stop(pod)
        if outdated and all(map(pod_is_ready, self._draft.owned("pods", daemon_set))):
            self.stop(outdated[0])


def deployment_status(deployment: Obj, pods: list[Obj], digest: str, wanted: int) -> Obj:
    ready = count_ready(pods)
    updated = sum(1 for pod in pods if labels_of(pod).get(TEMPLATE_HASH) == digest)
    available = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": ""}
    if ready < wanted:
        available |= {"status": "False", "reason": "MinimumReplicasUnavailable"}
    status = {"observedGeneration": deployment["metadata"].get("generation", 1), "replicas": len(pods),
              "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": ready,
              "unavailableReplicas": max(0, wanted - ready), "conditions": [available]}  # fmt: skip
    return {**status, "conditions": keep_times(deployment, status)}


def child_of(owner: Obj, kind: str, name: str, labels: dict[str, str]) -> Obj:
    """An object created by a controller; `kind` is the owner's."""
    ref = {"apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"],
           "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}  # fmt: skip
    meta = {"name": name, "namespace": owner["metadata"]["namespace"], "labels": dict(labels),
            "uid": str(uuid.uuid4()), "creationTimestamp": stamp(), "ownerReferences": [ref]}  # fmt: skip
    return {"metadata": meta}


def template_hash(template: Obj) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def newer_first(pod: Obj) -> float:
    """A sort key with newer pods first, since they are stopped first."""
    return -float(calendar.timegm(time.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")))
