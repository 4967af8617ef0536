"""What the API server and the controllers fill in when an object is written."""

from __future__ import annotations

import base64
import ipaddress

from ..datastore.store import Store
from ..logs import stamp
from ..shapes import Obj
from .allocating import allocate
from .objects import condition, is_terminating, labels_of

NODE_FINALIZER = "wrangler.cattle.io/node"
ETCD_FINALIZER = "wrangler.cattle.io/managed-etcd-controller"
ETCD_LABEL = "node-role.kubernetes.io/etcd"
CONDITION_TAINTS = {"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable"}
TOLERATION_S = 300  # how long pods tolerate a node that is not ready, by default


def node_taints(node: Obj) -> list[Obj]:
    """The taints that fit this node's conditions, as the node lifecycle controller sets them."""
    spec = node.get("spec", {})
    own = ("node.kubernetes.io/unschedulable", *CONDITION_TAINTS.values())
    before = spec.get("taints") or []
    wanted = [("node.kubernetes.io/unschedulable", "NoSchedule")] if spec.get("unschedulable") else []
    key = CONDITION_TAINTS.get(condition(node, "Ready").get("status", ""))
    wanted += [(key, "NoSchedule"), (key, "NoExecute")] if key else []
    had = {(t["key"], t["effect"]): t for t in before}
    new = [had.get(pair) or {"key": pair[0], "effect": pair[1], "timeAdded": stamp()} for pair in wanted]
    return [t for t in before if t["key"] not in own] + new


def admit_pod(pod: Obj) -> None:
    pod.setdefault("status", {}).setdefault("phase", "Pending")
    spec = pod["spec"]
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("restartPolicy", "Always")
    tolerations = spec.setdefault("tolerations", [])
    for key in CONDITION_TAINTS.values():
        if not any(t.get("key") in (None, "", key) for t in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute",
                                "tolerationSeconds": TOLERATION_S})  # fmt: skip


def admit_secret(secret: Obj) -> None:
    plain = secret.pop("stringData", None) or {}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    secret["data"] = (secret.get("data") or {}) | data
    secret.setdefault("type", "Opaque")


def admit_namespace(namespace: Obj) -> None:
    namespace.setdefault("status", {"phase": "Active"})


def hold_node(node: Obj) -> None:
    """The finalizers of k3s's controllers: one for each node, one more for each server with etcd."""
    meta = node["metadata"]
    held = meta.setdefault("finalizers", [])
    if is_terminating(node):
        return
    wanted = [ETCD_FINALIZER] if labels_of(node).get(ETCD_LABEL) == "true" else []
    meta["finalizers"] = [*(f for f in wanted if f not in held), *held]
    if NODE_FINALIZER not in held:
        meta["finalizers"].append(NODE_FINALIZER)


class Admission:
    """Completes objects before they are kept."""

    def __init__(self, store: Store, pods: list[str], services: list[str]) -> None:
        self.store, self._services = store, services
        self.pod_networks = [ipaddress.ip_network(cidr, strict=False) for cidr in pods]

    def admit(self, plural: str, obj: Obj) -> None:
        """What the API server and the controllers fill in."""
        admit = {"nodes": self._admit_node, "secrets": admit_secret, "namespaces": admit_namespace,
                 "pods": admit_pod, "services": self._admit_service}.get(plural)  # fmt: skip
        if admit:
            admit(obj)

    def _admit_service(self, service: Obj) -> None:
        allocate(self.store, self._services, service)

    def _admit_node(self, node: Obj) -> None:
        spec = node.setdefault("spec", {})
        ranges = spec.get("podCIDRs") or self._pod_cidrs()
        if ranges:
            spec["podCIDR"], spec["podCIDRs"] = ranges[0], ranges
        spec["taints"] = node_taints(node)
        if not spec["taints"]:
            del spec["taints"]
        hold_node(node)

    def _pod_cidrs(self) -> list[str]:
        """A free range per IP family for a node's pods; none when a family has none left (256 in the default /16)."""
        used = {cidr for node in self.store.all("nodes") for cidr in node.get("spec", {}).get("podCIDRs", [])}
        found = []
        for network in self.pod_networks:
            each = map(str, network.subnets(new_prefix=24 if network.version == 4 else 64))
            found.append(next((cidr for cidr in each if cidr not in used), ""))
        return found if all(found) else []
