"""The cloud controller manager that a HelmChart brings: it knows the machines, and initializes their nodes.

(k8s.io/cloud-provider: controllers/node/node_controller.go; proxmox-cloud-controller-manager: pkg/proxmox.)
"""

from __future__ import annotations

from ..api.api import Api
from ..shapes import Obj

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
CHART = "proxmox-cloud-controller-manager"


class CloudController:
    """Takes the taint off nodes that registered for it, once a chart of it was installed."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._looked = -1

    def tick(self, charts: list[Obj]) -> None:
        """Look at the nodes, if one of the charts that are installed is the controller's."""
        touched = self._api.store.touched.get("nodes", 0)
        if touched == self._looked or not any(_is_controller(chart) for chart in charts):
            return
        self._looked = touched
        for node in self._api.store.all("nodes"):
            taints = node["spec"].get("taints") or []
            left = [taint for taint in taints if taint["key"] != UNINITIALIZED]
            if len(left) < len(taints):
                patch = {"spec": {"taints": left, "providerID": f"proxmox://standin/{node['metadata']['name']}"}}
                path = f"/api/v1/nodes/{node['metadata']['name']}"
                self._api.call("PATCH", path, patch, "application/merge-patch+json")


def _is_controller(chart: Obj) -> bool:
    """Whether it is the controller's chart, and its job can run on a node that is not initialized."""
    spec = chart.get("spec") or {}
    return str(spec.get("chart", "")).endswith(f"/{CHART}") and spec.get("bootstrap") is True
