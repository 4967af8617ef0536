"""Answers of a Kubernetes API, broken: a worker's kubelet writes much of what its node object says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from kubernetes.client.rest import RESTResponse
from urllib3 import HTTPResponse

from bootstrap.adapters.kube.answers import Object
from bootstrap.adapters.kube.api import KubernetesApi
from bootstrap.adapters.kube.client import BoundedClient
from bootstrap.adapters.kube.credentials import Credentials
from bootstrap.adapters.kube.http import KubeHttp
from bootstrap.adapters.kube.watch import Leases, NodeWatch
from bootstrap.k3s.snapshot_files import parse_listing
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.model.observed import Pod
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import Area

CREDENTIALS = Credentials(server="https://192.0.2.1:6443")
NAME = MachineName("demo-workers-1")
NODE: Object = {
    "kind": "Node",
    "metadata": {
        "name": "demo-workers-1", "uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-11-28T19:24:17Z",
        "labels": {"node-role.kubernetes.io/worker": "true", "a": "b"},
        "annotations": {
            "k3s.io/node-args": '["agent","--node-label","a=b"]', "k3s.io/internal-ip": "198.18.0.9,fd00::9",
        },
    },
    "spec": {"taints": [{"key": "x", "value": "y", "effect": "NoSchedule"}], "unschedulable": True},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "posting",
             "lastHeartbeatTime": "2026-11-28T19:24:17Z"}
        ],
        "addresses": [{"type": "InternalIP", "address": "198.18.0.7"}, {"type": "Hostname", "address": "x"}],
        "nodeInfo": {"kubeletVersion": "v1.36.3+k3s1", "osImage": "Debian GNU/Linux 13 (trixie)"},
    },
}  # fmt: skip
OTHER: Object = {**NODE, "metadata": {**NODE["metadata"], "name": "demo-cp-1"}}
LEASE: Object = {"metadata": {"name": "demo-workers-1"}, "spec": {"renewTime": "2026-11-28T19:24:17.123456Z"}}
POD: Object = {
    "metadata": {
        "namespace": "web", "name": "web-1", "uid": "p-1", "labels": {"app": "web"}, "annotations": {"a": "b"},
        "ownerReferences": [{"kind": "ReplicaSet", "controller": True}],
    },
    "spec": {"volumes": [{"emptyDir": {}}]},
    "status": {"phase": "Running"},
}  # fmt: skip
BUDGET: Object = {
    "metadata": {"name": "web"},
    "spec": {"selector": {"matchLabels": {"app": "web"},
                          "matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}},
}  # fmt: skip
REFUSAL: Object = {
    "message": "Cannot evict pod", "details": {"causes": [{"reason": "DisruptionBudget", "message": "needs 2"}]},
}  # fmt: skip
SNAPSHOT: Object = {
    "kind": "ETCDSnapshotFile",
    "spec": {"snapshotName": "s-1740830400", "nodeName": "demo-cp-1", "location": "file:///var/lib/x"},
    "status": {"size": "2891776", "creationTime": "2026-11-28T19:24:17Z", "readyToUse": True, "error": None},
}  # fmt: skip

ANSWERS: Mapping[str, tuple[int, Any]] = {
    "GET /api/v1/nodes": (200, {"metadata": {"resourceVersion": "9"}, "items": [NODE, OTHER]}),
    "GET /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases": (200, {"items": [LEASE]}),
    "GET /api/v1/nodes/demo-workers-1": (200, NODE),
    "PATCH /api/v1/nodes/demo-workers-1": (200, NODE),
    "PATCH /api/v1/nodes/demo-workers-1/status": (200, NODE),
    "DELETE /api/v1/nodes/demo-workers-1": (200, {}),
    "DELETE /api/v1/namespaces/kube-system/secrets/demo-workers-1.node-password.k3s": (200, {}),
    "GET /api/v1/pods": (200, {"metadata": {"continue": ""}, "items": [POD]}),
    "GET /api/v1/namespaces/web/pods/web-1": (200, POD),
    "GET /apis/policy/v1/namespaces/web/poddisruptionbudgets": (200, {"items": [BUDGET]}),
    "POST /api/v1/namespaces/web/pods/web-1/eviction": (429, REFUSAL),
    "GET /apis/k3s.cattle.io/v1/etcdsnapshotfiles": (200, {"items": [SNAPSHOT]}),
    "GET /readyz": (200, "ok"),
}


class CannedRest:
    """What the client sends its requests with; answers from a table."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]]) -> None:
        self.answers = answers
        self.asked: set[str] = set()

    def request(self, method: str, url: str, **_request: object) -> RESTResponse:
        key = f"{method} {urlsplit(url).path}"
        self.asked.add(key)
        status, value = self.answers[key]
        body = (value if isinstance(value, str) else json.dumps(value)).encode(errors="surrogatepass")
        headers = {"Date": "Sat, 28 Nov 2026 19:24:20 GMT"}
        return RESTResponse(HTTPResponse(body=BytesIO(body), status=status, headers=headers, preload_content=False))


class CannedHttp(KubeHttp):
    """A client that answers from a table."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]]) -> None:
        super().__init__(CREDENTIALS)
        self.rest = CannedRest(answers)
        self._client = _client()
        self._client.rest_client = self.rest  # type: ignore[assignment]  # all of it that the client uses


@cache
def _client() -> BoundedClient:
    """One for all: making one reads this machine's certificates, which takes long."""
    return BoundedClient(CREDENTIALS)


ACTS: Mapping[str, Callable[[KubernetesApi], object]] = {
    "nodes": lambda api: api.kube_nodes(),
    "metadata": lambda api: api.set_kube_node_metadata(
        NAME,
        labels={"c": "d"},
        taints=(Taint(key="k", value="", effect="NoExecute"),),
        stale_labels=(("a", "b"),),
        stale_taints=(Taint(key="x", value="y", effect="NoSchedule"),),
    ),
    "address": lambda api: api.set_kube_node_address(NAME, IPv4Address("198.18.0.8")),
    "cordon": lambda api: api.set_unschedulable(NAME, unschedulable=False),
    "delete": lambda api: api.delete_kube_node(NAME, timeout_s=0.0),
    "pods": lambda api: api.pods(on=NAME),
    "evict": lambda api: api.evict(
        Pod(
            namespace="web", name="web-1", uid="p-1", controller="ReplicaSet", finished=False, mirror=False,
            local_data=True, leaving=False,
        )
    ),
    "snapshots": lambda api: api.snapshots(),
}  # fmt: skip


@cache
def _asked_by(name: str) -> tuple[str, ...]:
    http = CannedHttp(ANSWERS)
    ACTS[name](KubernetesApi(http))
    return tuple(sorted(http.rest.asked))


def _area(name: str) -> Area:
    def make(mutator: Mutator) -> Mapping[str, tuple[int, Any]]:
        key = mutator.random.choice(_asked_by(name))
        status, value = ANSWERS[key]
        if mutator.random.random() < 0.1:
            return {**ANSWERS, key: (status, mutator.text(json.dumps(value)))}
        return {**ANSWERS, key: (status, mutator.value(value))}

    return Area(
        name=f"kubernetes {name}",
        make=make,
        read=lambda answers: ACTS[name](KubernetesApi(CannedHttp(answers))),
        inputs=250,
    )


EVENT = {"type": "MODIFIED", "object": NODE}


def _watched(line: str) -> object:
    """An event of the watch, and the node that it tells of."""
    http = CannedHttp(ANSWERS)
    watch = NodeWatch(http, Leases(http))
    watch._taken(line)
    return watch._known(NAME)


AREAS = (
    *map(_area, ACTS),
    Area(name="kubernetes watch", make=lambda mutator: mutator.json_text(json.dumps(EVENT)), read=_watched, inputs=250),
    Area(
        name="kubernetes snapshot listing",
        make=lambda mutator: mutator.json_text(json.dumps({"kind": "List", "items": [SNAPSHOT]})),
        read=parse_listing,
        inputs=250,
    ),
)
