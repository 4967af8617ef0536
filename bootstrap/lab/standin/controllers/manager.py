"""The controllers of nodes; only the leader's are active."""

from __future__ import annotations

import time
from typing import NoReturn

from .. import process
from ..api.admission import ETCD_LABEL
from ..api.api import Api
from ..api.node_passwords import Owners
from ..api.objects import condition, is_terminating, labels_of
from ..connections.pki import Pki
from ..datastore.annotations import ETCD_NOTE
from ..datastore.etcd import Etcd
from ..failures import ApiError
from ..logs import log, stamp
from ..manifests.charts import Charts
from ..settings.options import Options
from ..shapes import Obj
from .certificates import Certificates
from .definitions import Definitions
from .namespaces import Namespaces
from .workloads import Workloads

CONTROL_S = 0.1  # how often the controllers look for work
VOTER_STATES = {
    "voter": ("True", "MemberNotLearner", "Node is a voting member of the etcd cluster"),
    "learner": ("False", "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"),
    "lost": ("False", "Unhealthy", "Node is not answering as a member of the etcd cluster"),
    "none": ("False", "NotAMember", "Node is not a member of the etcd cluster"),
}


class Manager:
    """The controllers, the scheduler, and what kubelets do with pods; only the leader's is active."""

    def __init__(self, options: Options, api: Api, pki: Pki) -> None:
        self.api, self.store = api, api.store
        self.grace_s = options.argument("kube-controller-manager-arg", "node-monitor-grace-period", 40)
        self._leases: dict[str, tuple[str, float]] = {}  # by node: the last renewal, and when it was first seen here
        self._looked = (-1, -1)
        self._pods = Workloads(api, self.is_living)
        self._owners = Owners(api)
        self._definitions = Definitions(api)
        self._certificates = Certificates(api, pki)
        self._namespaces = Namespaces(api)
        self._charts = Charts(api)
        self._refused: set[str] = set()  # nodes whose member may not be removed

    def tick(self) -> None:
        """Do the work that is due."""
        if not self.api.cluster.is_leader:
            self._leases.clear()
            return
        self._look_at_leases()
        self._owners.look()
        self._definitions.look()
        self._certificates.look()
        self._namespaces.look()
        for name in self._leases:
            node = self.store.get("nodes", "", name)
            if node and self.silence_s(name) > self.grace_s:
                self._mark_unknown(node)
                if is_terminating(node):
                    with self.api.cluster.lock:
                        self.api.release_node(name)
            if node and isinstance(self.api.cluster, Etcd):
                self._etcd_node(node, self.api.cluster)
        self._charts.tick()
        self._pods.tick()

    def _etcd_node(self, node: Obj, etcd: Etcd) -> None:
        """Set the condition of a server's etcd member, and remove the member if an annotation requests it."""
        meta = node["metadata"]
        if labels_of(node).get(ETCD_LABEL) != "true":
            return
        member = next((m for m in etcd.members() if m["machine"] == meta["name"]), None)
        status, reason, message = VOTER_STATES[
            "none" if not member else "learner" if member["learner"] else
            "voter" if member["id"] in etcd.peers.living() else "lost"
        ]  # fmt: skip
        known = condition(node, "EtcdIsVoter")
        if (known.get("status"), known.get("reason")) != (status, reason):
            now = stamp()
            verdict = {"type": "EtcdIsVoter", "status": status, "reason": reason, "message": message,
                       "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip
            self._patch(f"nodes/{meta['name']}/status", {"status": {"conditions": [verdict]}})
        self._obey_annotations(meta, etcd)

    def _obey_annotations(self, meta: Obj, etcd: Etcd) -> None:
        notes = meta.get("annotations") or {}
        name, removed = notes.get(ETCD_NOTE + "node-name"), notes.get(ETCD_NOTE + "removed-node-name")
        path = f"nodes/{meta['name']}"
        if removed and name and name != removed:  # it has joined again
            self._annotate(path, {"removed-node-name": None, "remove": "false"})
        elif notes.get(ETCD_NOTE + "remove", "").lower() == "true" and not removed:
            edits = etcd.member_removal(meta["name"])
            if not edits:
                if meta["name"] not in self._refused:
                    log("error", f"etcd member {name} is not removed: it is the only voting member of the cluster")
                self._refused.add(meta["name"])
                return
            log("info", f"Removing etcd member {name} from cluster")
            self._annotate(path, {"removed-node-name": name, "node-name": None, "node-address": None})
            with etcd.lock:
                etcd.commit(edits)

    def _annotate(self, path: str, notes: dict[str, str | None]) -> None:
        self._patch(path, {"metadata": {"annotations": {ETCD_NOTE + key: value for key, value in notes.items()}}})

    def _patch(self, path: str, patch: Obj) -> None:
        self.api.call("PATCH", f"/api/v1/{path}", patch, "application/strategic-merge-patch+json")

    def silence_s(self, node: str) -> float:
        """Time since the lease changed, by the leader's own clock: after a change of leader Ready stays stale for a
        while."""
        return time.monotonic() - self._leases.get(node, ("", time.monotonic()))[1]

    def is_living(self, node: str) -> bool:
        """Whether its kubelet runs; leases are renewed every quarter of the grace period."""
        return node in self._leases and self.silence_s(node) < self.grace_s * 0.45

    def _look_at_leases(self) -> None:
        changed = (self.store.touched.get("leases", 0), self.store.touched.get("nodes", 0))
        if changed == self._looked and self._leases:
            return
        self._looked, now = changed, time.monotonic()
        before, self._leases = self._leases, {}
        for node in self.store.all("nodes"):
            name = node["metadata"]["name"]
            lease = self.store.get("leases", "kube-node-lease", name) or {}
            renewed = str(lease.get("spec", {}).get("renewTime"))
            known = before.get(name, ("", 0.0))
            self._leases[name] = known if known[0] == renewed else (renewed, now)

    def _mark_unknown(self, node: Obj) -> None:
        if condition(node, "Ready").get("status") == "Unknown":
            return
        now = stamp()
        changes = [
            {"type": c["type"], "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": now,
             "message": "Kubelet stopped posting node status."}
            for c in node.get("status", {}).get("conditions", [])
            if c["type"] not in ("NetworkUnavailable", "EtcdIsVoter")
        ]  # fmt: skip
        self._patch(f"nodes/{node['metadata']['name']}/status", {"status": {"conditions": changes}})


def control(options: Options, api: Api, pki: Pki) -> NoReturn:
    """Run the controllers; only the leader's are active."""
    manager = Manager(options, api, pki)
    while True:
        process.LIFE.pause(CONTROL_S)
        try:
            manager.tick()
        except ApiError as error:
            log("warning", f"a controller's write failed: {error.message}")
            process.LIFE.pause(1)
