"""The kubelet's part."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable

from .. import process
from ..api.objects import condition
from ..built import VERSION
from ..failures import ApiError
from ..files import read_if_there, write_file
from ..journal import noise_agent
from ..journal.noise import make_noise
from ..logs import Shutdown, log, stamp
from ..manifests.charts import brings_cni
from ..manifests.cloud import UNINITIALIZED
from ..settings.machine import Machine
from ..settings.options import Options
from ..shapes import Call, Obj, Reply
from .node_object import LEASE_SECONDS, node_conditions, node_status, render_node

CNI_LOOK_S = 0.5
SAY_EVERY = 10
NO_CNI = "container runtime network not ready: cni plugin not initialized"
ENDS = 4
"""How often k3s exits because of a node with another address, before the address is corrected."""


class Kubelet:
    """Registers this machine's Node and renews its lease. Like a kubelet, it registers once per start."""

    def __init__(
        self,
        *,
        options: Options,
        machine: Machine,
        call: Call,
        say: Callable[[str, str], None] = log,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.options, self.machine, self.call, self.say, self._tell = options, machine, call, say, tell
        self.held: Callable[[], bool] = lambda: process.LIFE.held()
        self.period_s = options.argument("kubelet-arg", "node-status-update-frequency", LEASE_SECONDS / 4)
        self.path = f"/api/v1/nodes/{machine.name}"
        self.reported = False
        self._looks = 0
        self.backend = "vxlan"
        """The cluster's flannel backend, which its servers say."""
        self._begun = False

    def start(self) -> None:
        """Register, and write a kubelet's log lines. Raises ApiError when the API refuses."""
        if not self._begun:
            make_noise(noise_agent.KUBELET, self.facts(), self._tell)
            self._begun = True
        self.register()
        if self.backend != "none":
            make_noise(noise_agent.NETWORK, self.facts(), self._tell)

    def facts(self) -> dict[str, str]:
        """The values for its log lines."""
        server = self.options.one("server", "https://127.0.0.1:6443").removeprefix("https://")
        address = self.machine.addresses[0]
        return {"node": self.machine.name, "address": address, "version": VERSION, "server": server}

    def register(self) -> None:
        """Create or update the Node. Raises ApiError when the API refuses."""
        wanted = render_node(self.options, self.machine, self.backend)
        code, old = self.call("GET", self.path)
        if code == 404:
            wanted["spec"]["taints"] = [*self.machine.taints, *self._waits_for_cloud()]
            wanted["status"]["conditions"] = node_conditions(ready=False)
            self._check(self.call("POST", "/api/v1/nodes", wanted))
        else:
            self._check((code, old))
            patch = {"metadata": {k: wanted["metadata"][k] for k in ("labels", "annotations")}}
            self._check(self.call("PATCH", self.path, patch, "application/merge-patch+json"))
            if old["status"].get("addresses"):
                del wanted["status"]["addresses"]  # with a cloud controller a kubelet leaves existing addresses
            self._patch_status(wanted["status"])
        self.say("info", f"Successfully registered node {self.machine.name}")

    def _waits_for_cloud(self) -> list[Obj]:
        """With an external cloud provider of the user's, nothing is scheduled here before that has seen the node."""
        external = "cloud-provider=external" in self.options.many("kubelet-arg")
        return [{"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}] if external else []

    def run(self) -> None:
        """Become and stay Ready; never returns."""
        try:
            self.renew()
        except ApiError as error:  # etcd may be electing a leader
            self.say("error", f"Unable to update node status: {error.message}")
        process.LIFE.pause(process.LIFE.ready_delay_s)
        while True:
            self.beat()
            process.LIFE.pause(self.pause_s)

    @property
    def pause_s(self) -> float:
        """Until the next beat. A kubelet without a CNI looks for one all the time."""
        return self.period_s if self.reported or self.backend != "none" else min(self.period_s, CNI_LOOK_S)

    def beat(self) -> None:
        """Renew the lease, and make the node Ready if it is not."""
        try:
            code, node = self.call("GET", self.path)
            if code != 200:
                text = f"Error updating node status, will retry: error getting node: {node.get('message')}"
                self.say("error", text)
            elif not node["spec"].get("podCIDR"):
                self.say("error", f"Unable to set up the network: node {self.machine.name} has no podCIDR")
            elif self.held():
                self.say("error", NO_CNI)
            elif self._lacks_cni():
                if self._looks % SAY_EVERY == 0:
                    self.say("error", NO_CNI)
                self._looks += 1
                if condition(node, "Ready").get("status") != "False":
                    self._patch_status({"conditions": node_conditions(ready=False)})
            elif not self.reported or condition(node, "Ready").get("status") != "True":
                # A kubelet reports at its start; it repeats an unchanged status only after 5 minutes.
                self._patch_status({"conditions": node_conditions(ready=True, backend=self.backend)})
                self._apply_network_policies(node)
                self.reported = True
            self.renew()
        except ApiError as error:
            self.say("error", f"Unable to update node status: {error.message}")

    def _lacks_cni(self) -> bool:
        """Whether flannel is off and no pod on this node has brought another CNI."""
        if self.reported or self.backend != "none":
            return False
        query = urllib.parse.urlencode({"fieldSelector": f"spec.nodeName={self.machine.name}"})
        pods = self._check(self.call("GET", f"/api/v1/pods?{query}"))["items"]
        return not any(brings_cni(pod) and pod.get("status", {}).get("phase") == "Running" for pod in pods)

    def _apply_network_policies(self, node: Obj) -> None:
        """The network policy controller ends k3s if the node has an address that the machine does not have. The
        cloud controller corrects the address from the node's annotation once it has its lease; before that k3s exited
        four times (1.36, observed).
        """
        told = {each["address"] for each in node["status"].get("addresses", ()) if each["type"] == "InternalIP"}
        ends = self.options.data / "agent/ends-over-address"
        if told & set(self.machine.addresses):
            ends.unlink(missing_ok=True)
            return
        seen = int(read_if_there(ends) or 0)
        if self.reported or seen >= ENDS:
            self._patch_status({"addresses": node_status(self.options, self.machine)["addresses"]})
            return
        write_file(ends, str(seen + 1))
        raise Shutdown("network policy controller exited: unable to initialize network policy controller: "
                    "failed to find interface with specified node ip")  # fmt: skip

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
