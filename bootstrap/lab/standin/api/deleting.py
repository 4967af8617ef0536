"""Deleting objects, and evicting pods."""

from __future__ import annotations

from ..datastore.cluster import Cluster
from ..datastore.store import Store
from ..failures import ApiError, status_object
from ..logs import stamp
from ..shapes import Edit, Json, Key, Obj
from .admission import ETCD_FINALIZER, NODE_FINALIZER
from .budgets import CANNOT_EVICT, budget_covers, budget_status
from .objects import is_finished, is_terminating, pod_is_ready
from .resources import RESOURCES, Resource

IMMORTAL = ("default", "kube-public", "kube-system")


def grace_of(op: Obj) -> int | None:
    """The grace period that a DELETE asks for, in its query or in its DeleteOptions."""
    asked = op["query"].get("gracePeriodSeconds", (op["body"] or {}).get("gracePeriodSeconds"))
    return None if asked is None else int(asked)


def owned_by(secret: Obj | None, node: Obj) -> bool:
    """Whether this Node owns the password's Secret."""
    owners = (secret or {}).get("metadata", {}).get("ownerReferences") or []
    return any(owner["uid"] == node["metadata"]["uid"] for owner in owners)


class Deleting:
    """Deletes: each returns the edits to commit, dependent objects included."""

    def __init__(self, store: Store, cluster: Cluster) -> None:
        self.store, self.cluster = store, cluster

    def delete(self, resource: Resource, old: Obj, grace_s: int | None = None) -> list[Edit]:
        meta = old["metadata"]
        if resource.plural == "pods":
            return self.delete_pod(old, grace_s)
        if resource.plural == "nodes":
            return self._delete_node(old)
        if resource.key == "namespaces":
            return self._terminate(old)
        # The finalizer of a snapshot's record is k3s's own, which removes it at once.
        if meta.get("finalizers") and resource.plural != "etcdsnapshotfiles":
            held = {**old, "metadata": {**meta, "deletionTimestamp": meta.get("deletionTimestamp") or stamp()}}
            return [(resource.key, meta.get("namespace", ""), meta["name"], held)]
        return self.remove(resource, old)

    def _terminate(self, old: Obj) -> list[Edit]:
        """A namespace is Terminating until it is empty."""
        meta = old["metadata"]
        if meta["name"] in IMMORTAL:
            details = {"name": meta["name"], "kind": "namespaces"}
            text = f'namespaces "{meta["name"]}" is forbidden: this namespace may not be deleted'
            raise ApiError(403, "Forbidden", text, details)
        marked = {**meta, "deletionTimestamp": meta.get("deletionTimestamp") or stamp()}
        return [("namespaces", "", meta["name"], {**old, "metadata": marked, "status": {"phase": "Terminating"}})]

    def _delete_node(self, old: Obj) -> list[Edit]:
        """Its etcd member is removed at once; the Node of a running server waits for its finalizer (observed on
        k3s)."""
        meta = old["metadata"]
        hangs = is_terminating(old) or self.cluster.has_living(meta["name"])
        over = {ETCD_FINALIZER} if hangs else {ETCD_FINALIZER, NODE_FINALIZER}
        finalizers = [f for f in meta.get("finalizers") or [] if f not in over]
        member = self.cluster.member_removal(meta["name"])
        if not finalizers:
            return [*self.remove(RESOURCES["nodes"], old), *member]
        marked = {**meta, "finalizers": finalizers, "deletionTimestamp": meta.get("deletionTimestamp") or stamp()}
        return [("nodes", "", meta["name"], {**old, "metadata": marked}), *member]

    def delete_pod(self, old: Obj, grace_s: int | None = None) -> list[Edit]:
        """A bound pod is only marked: its kubelet removes it within the grace period."""
        meta, spec = old["metadata"], old["spec"]
        key: Key = ("pods", meta["namespace"], meta["name"])
        grace_s = int(spec.get("terminationGracePeriodSeconds", 30)) if grace_s is None else grace_s
        grace_s = min(grace_s, meta.get("deletionGracePeriodSeconds", grace_s))
        if not spec.get("nodeName") or is_finished(old):
            grace_s = 0
        if grace_s == 0 and not meta.get("finalizers"):
            return [(*key, None)]
        if meta.get("deletionGracePeriodSeconds") == grace_s:
            return [(*key, {**old, "metadata": dict(meta)})]
        marks = {"deletionTimestamp": stamp(later_s=grace_s), "deletionGracePeriodSeconds": grace_s}
        return [(*key, {**old, "metadata": {**meta, **marks}})]

    def evict(self, pod: Obj, body: Json) -> tuple[int, Obj, list[Edit]]:
        """The eviction subresource: a delete that the pod's disruption budget may refuse."""
        options = (body or {}).get("deleteOptions") or {}
        if pod.get("status", {}).get("phase") == "Running" and not is_terminating(pod):
            self._ask_budgets(pod)
        dry = "All" in (options.get("dryRun") or [])
        edits = [] if dry else self.delete_pod(pod, options.get("gracePeriodSeconds"))
        return 201, status_object("Success", 201) | {"code": 201}, edits

    def _ask_budgets(self, pod: Obj) -> None:
        """Raises ApiError where a budget does not allow the eviction of a running pod."""
        namespace = pod["metadata"]["namespace"]
        budgets = [each for each in self.store.all("poddisruptionbudgets", namespace) if budget_covers(each, pod)]
        if len(budgets) > 1:
            text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise ApiError(500, "InternalError", text)
        for budget in budgets:
            status = budget_status(budget, self.store)
            healthy, desired = status["currentHealthy"], status["desiredHealthy"]
            always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
            unhealthy_may_go = not pod_is_ready(pod) and (always or healthy >= desired > 0)
            if status["disruptionsAllowed"] < 1 and not unhealthy_may_go:
                name = budget["metadata"]["name"]
                text = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
                cause = {"reason": "DisruptionBudget", "message": text}
                raise ApiError(429, "TooManyRequests", CANNOT_EVICT, {"causes": [cause]})

    def remove(self, resource: Resource, old: Obj) -> list[Edit]:
        """Remove the object and its dependents: a Node's password, a custom kind's objects."""
        name = old["metadata"]["name"]
        edits: list[Edit] = [(resource.key, old["metadata"].get("namespace", ""), name, None)]
        also: list[Key] = []
        if resource.plural == "nodes":
            also = [("leases", "kube-node-lease", name)]
            password: Key = ("secrets", "kube-system", f"{name}.node-password.k3s")
            if owned_by(self.store.objects.get(password), old):
                also.append(password)
        elif resource.key == "customresourcedefinitions":
            also = [key for key in self.store.objects if key[0] == name]
        return edits + [(*key, None) for key in also if key in self.store.objects]
