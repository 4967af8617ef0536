"""What becomes of HelmCharts: nothing here runs Helm, but what others wait for comes of a known one.

Nodes wait for a CNI's DaemonSet, and objects of custom kinds for their definitions.
"""

from __future__ import annotations

import time

from ..api.api import Api
from ..shapes import Obj
from .chart_kinds import definitions_of
from .cloud import CloudController

SOON_S = 0.5
"""How long an installation takes."""
CNI_FOLDER = "/etc/cni/net.d"
CNIS = {"cilium": ("kube-system", "cilium"), "tigera-operator": ("calico-system", "calico-node")}
"""By chart, the namespace and name of the DaemonSet that it brings."""


class Charts:
    """Gives each HelmChart its job's name, and brings what comes of it; a CNI's job must run before nodes are Ready."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._seen: dict[str, float] = {}
        self._done: set[str] = set()
        self._looked, self._due = 0, False
        self._cloud = CloudController(api)

    def tick(self) -> None:
        """Look at the charts that are not done, and at nodes that a cloud controller initializes."""
        charts = self._api.store.all("helmcharts") if self._done else []
        self._cloud.tick([chart for chart in charts if chart["metadata"]["uid"] in self._done])
        touched = self._api.store.touched.get("helmcharts", 0)
        if touched == self._looked and not self._due:
            return
        self._looked, self._due = touched, False
        for chart in self._api.store.all("helmcharts"):
            meta = chart["metadata"]
            uid, now = meta["uid"], time.monotonic()
            if uid in self._done:
                continue
            if now - self._seen.setdefault(uid, now) < SOON_S:
                self._due = True
                continue
            path = f"/apis/helm.cattle.io/v1/namespaces/{meta['namespace']}/helmcharts/{meta['name']}/status"
            patch = {"status": {"jobName": f"helm-install-{meta['name']}"}}
            self._api.call("PATCH", path, patch, "application/merge-patch+json")
            spec = chart.get("spec") or {}
            if spec.get("chart") in CNIS and spec.get("bootstrap") is True:
                self._bring(*CNIS[spec["chart"]])
            for definition in definitions_of(spec.get("chart", "")):
                self._api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
            self._done.add(uid)

    def _bring(self, ns: str, name: str) -> None:
        self._api.call("POST", "/api/v1/namespaces", {"metadata": {"name": ns}})
        self._api.call("POST", f"/apis/apps/v1/namespaces/{ns}/daemonsets", daemon_set(name))


def daemon_set(name: str) -> Obj:
    labels = {"k8s-app": name}
    pod = {
        "hostNetwork": True,
        "containers": [{"name": name, "image": f"standin/{name}"}],
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "etc-cni-netd", "hostPath": {"path": CNI_FOLDER, "type": "DirectoryOrCreate"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def brings_cni(pod: Obj) -> bool:
    """Whether a pod, once it runs, gives its node a CNI: it has the folder of their settings."""
    volumes = pod.get("spec", {}).get("volumes") or []
    return any((volume.get("hostPath") or {}).get("path", "").rstrip("/") == CNI_FOLDER for volume in volumes)
