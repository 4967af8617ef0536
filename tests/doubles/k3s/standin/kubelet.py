"""The kubelet's part."""

from __future__ import annotations

from collections.abc import Callable

from . import process
from .conditions import condition
from .failures import ApiError
from .machine import Machine
from .node_object import LEASE_SECONDS, node_conditions, render_node
from .settings import Options
from .shapes import Call, Obj, Reply
from .telling import log, stamp


class Kubelet:
    """Registers this machine's Node and keeps its lease fresh. Like a kubelet, it does not register twice."""

    def __init__(
        self, *, options: Options, machine: Machine, call: Call, say: Callable[[str, str], None] = log
    ) -> None:
        self.options, self.machine, self.call, self.say = options, machine, call, say
        self.held: Callable[[], bool] = lambda: process.LIFE.held()
        self.period_s = options.argument("kubelet-arg", "node-status-update-frequency", LEASE_SECONDS / 4)
        self.path = f"/api/v1/nodes/{machine.name}"
        self.reported = False

    def register(self) -> None:
        """Create the Node or bring it up to date. Raises ApiError when the API does not take it."""
        wanted = render_node(self.options, self.machine)
        code, old = self.call("GET", self.path)
        if code == 404:
            wanted["spec"]["taints"] = self.machine.taints
            wanted["status"]["conditions"] = node_conditions(ready=False)
            self._check(self.call("POST", "/api/v1/nodes", wanted))
        else:
            self._check((code, old))
            patch = {"metadata": {k: wanted["metadata"][k] for k in ("labels", "annotations")}}
            self._check(self.call("PATCH", self.path, patch, "application/merge-patch+json"))
            self._patch_status(wanted["status"])
        self.say("info", f"Successfully registered node {self.machine.name}")

    def run(self) -> None:
        """Become Ready and stay so; returns never."""
        self.renew()
        process.LIFE.pause(process.LIFE.ready_delay_s)
        while True:
            self.beat()
            process.LIFE.pause(self.period_s)

    def beat(self) -> None:
        """Say that this node lives, and make it Ready where it is not."""
        try:
            code, node = self.call("GET", self.path)
            if code != 200:
                text = f"Error updating node status, will retry: error getting node: {node.get('message')}"
                self.say("error", text)
            elif not node["spec"].get("podCIDR"):
                self.say("error", f"Unable to set up the network: node {self.machine.name} has no podCIDR")
            elif self.held():
                self.say("error", "container runtime network not ready: cni plugin not initialized")
            elif not self.reported or condition(node, "Ready").get("status") != "True":
                # One that has just started reports at once; an unchanged status comes again after 5 minutes only.
                self._patch_status({"conditions": node_conditions(ready=True)})
                self.reported = True
            self.renew()
        except ApiError as error:
            self.say("error", f"Unable to update node status: {error.message}")

    @staticmethod
    def _check(reply: Reply) -> Obj:
        if reply[0] >= 400:
            raise ApiError(reply[0], reply[1].get("reason", ""), reply[1].get("message", ""))
        return reply[1]

    def _patch_status(self, status: Obj) -> None:
        content_type = "application/strategic-merge-patch+json"
        self._check(self.call("PATCH", f"{self.path}/status", {"status": status}, content_type))

    def renew(self) -> None:
        name, base = self.machine.name, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp(micro=True)}
        content_type = "application/merge-patch+json"
        code, _ = reply = self.call("PATCH", f"{base}/{name}", {"spec": spec}, content_type)
        if code == 404:
            reply = self.call("POST", base, {"metadata": {"name": name}, "spec": spec})
        self._check(reply)
