"""The part of the small Kubernetes API that has pods, their evictions, PodDisruptionBudgets and k3s's snapshots."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Reply = tuple[int, Object]


def pod(name: str, on: str, *, namespace: str = "default", **metadata: object) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", **metadata},
        "spec": {"nodeName": on},
        "status": {"phase": "Running"},
    }


def budget(name: str, selector: Object, *, allowed: int, namespace: str = "default") -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }


def failure(code: int, message: str, *, reason: str = "", cause: str = "") -> Reply:
    status: Object = {"kind": "Status", "status": "Failure", "code": code, "message": message}
    if reason:
        status["details"] = {"causes": [{"reason": reason, "message": cause}]}
    return code, status


@dataclass
class KubeWorkloads:
    """What runs; budgets select by one label with `matchLabels` here, and the API says which one refused.

    Attributes:
        expires: How many further parts of listings are still answered with 410.
        terminating: Namespaces in which nothing may be made any more.
        snapshots: ETCDSnapshotFiles, or None where k3s has no such kind.
        evictions: Bodies of all evictions asked for.
    """

    pods: list[Object] = field(default_factory=list)
    budgets: list[Object] = field(default_factory=list)
    expires: int = 0
    terminating: set[str] = field(default_factory=set)
    snapshots: list[Object] | None = None
    evictions: list[Object] = field(default_factory=list)

    def handle(self, method: str, path: str, query: dict[str, list[str]], body: Object) -> Reply | None:
        """Answer a request; None for what is not about workloads."""
        match [method, *path.strip("/").split("/")]:
            case ["GET", "api", "v1", "pods"]:
                return self._list(query)
            case ["GET", "api", "v1", "namespaces", namespace, "pods", name]:
                found = self._find(namespace, name)
                return (200, found) if found else failure(404, f'pods "{name}" not found')
            case ["POST", "api", "v1", "namespaces", namespace, "pods", name, "eviction"]:
                return self._evict(namespace, name, body)
            case ["GET", "apis", "policy", "v1", "namespaces", namespace, "poddisruptionbudgets"]:
                return 200, {"items": [one for one in self.budgets if one["metadata"]["namespace"] == namespace]}
            case ["GET", "apis", "k3s.cattle.io", "v1", "etcdsnapshotfiles"]:
                missing = failure(404, "the server could not find the requested resource")
                return missing if self.snapshots is None else (200, {"items": self.snapshots})
            case _:
                return None

    def _list(self, query: dict[str, list[str]]) -> Reply:
        key, _, value = query["fieldSelector"][0].partition("=")
        assert key == "spec.nodeName"
        begin = int(query.get("continue", ["0"])[0])
        if begin and self.expires:
            self.expires -= 1
            return failure(410, "The provided continue parameter is too old")
        found = [one for one in self.pods if one["spec"]["nodeName"] == value]
        end = begin + int(query["limit"][0])
        more = {"continue": str(end)} if end < len(found) else {}
        return 200, copy.deepcopy({"metadata": more, "items": found[begin:end]})

    def _find(self, namespace: str, name: str) -> Object | None:
        at = (namespace, name)
        return next((one for one in self.pods if (one["metadata"]["namespace"], one["metadata"]["name"]) == at), None)

    def _evict(self, namespace: str, name: str, body: Object) -> Reply:
        self.evictions.append(body)
        assert (body["apiVersion"], body["kind"]) == ("policy/v1", "Eviction")
        if namespace in self.terminating:
            message = f"forbidden: namespace {namespace} is being terminated"
            return failure(403, message, reason="NamespaceTerminating", cause=f"namespace {namespace} is going")
        found = self._find(namespace, name)
        if found is None:
            return failure(404, f'pods "{name}" not found')
        if body["deleteOptions"]["preconditions"]["uid"] != found["metadata"]["uid"]:
            return failure(409, "Precondition failed: UID in precondition: ...")
        labels = (found["metadata"].get("labels") or {}).items()
        budgets = [one for one in self.budgets if one["metadata"]["namespace"] == namespace]
        budgets = [one for one in budgets if one["spec"]["selector"]["matchLabels"].items() <= labels]
        if len(budgets) > 1:
            return failure(500, "This pod has more than one PodDisruptionBudget, which eviction does not support.")
        if budgets and budgets[0]["status"]["disruptionsAllowed"] <= 0:
            cause = f"The disruption budget {budgets[0]['metadata']['name']} needs 2 healthy pods and has 2 currently"
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            return failure(429, message, reason="DisruptionBudget", cause=cause)
        self.pods.remove(found)
        return 201, {"kind": "Status", "status": "Success"}
