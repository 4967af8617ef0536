"""The Node that a kubelet reports."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping

from ..built import VERSION
from ..files import first_line
from ..logs import stamp
from ..settings.machine import Machine
from ..settings.options import Options
from ..shapes import Obj
from ..versions import WHAT_THIS_IS, go_arch

LEASE_SECONDS = 40
SECRETS = ("token", "agent-token", "datastore-endpoint", "etcd-s3-access-key", "etcd-s3-secret-key", "vpn-auth")
SECRET_NAMES = ("K3S_TOKEN", "K3S_AGENT_TOKEN")
"""k3s: pkg/nodeconfig/nodeconfig.go."""


NO_NETWORK = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
"""The Ready condition's message without a CNI."""


def render_node(options: Options, machine: Machine, backend: str) -> Obj:
    name = machine.name
    labels = {"kubernetes.io/hostname": name, "node.kubernetes.io/instance-type": "k3s"}
    for prefix in ("", "beta."):
        labels |= {f"{prefix}kubernetes.io/arch": go_arch(), f"{prefix}kubernetes.io/os": "linux"}
    labels["beta.kubernetes.io/instance-type"] = "k3s"
    arguments = json.dumps([options.command, *shown_arguments(options.given)])
    annotations = {
        "alpha.kubernetes.io/provided-node-ip": ",".join(machine.addresses),
        "k3s.io/hostname": name,
        "k3s.io/internal-ip": ",".join(machine.addresses),
        "k3s.io/node-args": arguments,
        "k3s.io/node-config-hash": base64.b32encode(hashlib.sha256(arguments.encode()).digest()).decode(),
        "k3s.io/node-env": json.dumps(shown_environment(options.environ)),
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    if backend != "none":
        annotations |= {
            "flannel.alpha.coreos.com/backend-data": json.dumps({"VNI": 1, "VtepMAC": vtep_of(name)}),
            "flannel.alpha.coreos.com/backend-type": {"wireguard-native": "wireguard"}.get(backend, backend),
            "flannel.alpha.coreos.com/kube-subnet-manager": "true",
            "flannel.alpha.coreos.com/public-ip": machine.addresses[0],
        }
    if machine.external:
        annotations["k3s.io/external-ip"] = ",".join(machine.external)
    meta = {"name": name, "labels": labels | machine.labels, "annotations": annotations}
    # k3s's own cloud controller gives the identity; another one gives its own.
    spec = {} if "cloud-provider=external" in options.many("kubelet-arg") else {"providerID": f"k3s://{name}"}
    return {"metadata": meta, "spec": spec, "status": node_status(options, machine)}


def vtep_of(name: str) -> str:
    """The MAC address of a node's flannel interface: locally administered, the same at each start."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ":".join(("ce", *(digest[at : at + 2] for at in range(0, 10, 2))))


def node_status(options: Options, machine: Machine) -> Obj:
    addresses = [{"type": "InternalIP", "address": a} for a in machine.addresses]
    addresses += [{"type": "ExternalIP", "address": a} for a in machine.external]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    capacity = {"cpu": str(os.cpu_count()), "memory": f"{memory}Ki", "pods": "110"}
    info = {
        "architecture": go_arch(), "operatingSystem": "linux", "kernelVersion": os.uname().release,
        "kubeletVersion": VERSION, "kubeProxyVersion": "", "osImage": f"{WHAT_THIS_IS}, {os_name()}",
        "containerRuntimeVersion": "containerd://0.0.0-standin",
        "machineID": identity(options, "/etc/machine-id"),
        "systemUUID": identity(options, "/sys/class/dmi/id/product_uuid"),
        "bootID": first_line("/proc/sys/kernel/random/boot_id"),
    }  # fmt: skip
    return {
        "addresses": [*addresses, {"type": "Hostname", "address": machine.name}],
        "capacity": capacity, "allocatable": capacity, "nodeInfo": info,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }  # fmt: skip


def identity(options: Options, path: str) -> str:
    """The first line of a file, below the machine's own root if it exists there."""
    return first_line(options.root + path) or first_line(path)


def node_conditions(*, ready: bool, backend: str = "vxlan") -> list[Obj]:
    def one(kind: str, status: str, reason: str, message: str) -> Obj:
        now = stamp()
        return {"type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": now}  # fmt: skip

    last = (
        one("Ready", "True", "KubeletReady", "kubelet is posting ready status")
        if ready
        else one("Ready", "False", "KubeletNotReady", NO_NETWORK)
    )
    pressures = [
        one(f"{kind}Pressure", "False", f"KubeletHas{enough}", f"kubelet has {kind.lower()} available")
        for kind, enough in (("Memory", "SufficientMemory"), ("Disk", "NoDiskPressure"), ("PID", "SufficientPID"))
    ]
    network = [one("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node")]
    return [*(network if ready and backend != "none" else []), *pressures, last]


def shown_arguments(given: dict[str, list[str]]) -> list[str]:
    """The settings of command line and files as in the Node's annotation: as flags, with secrets masked."""
    pairs = [(name, value) for name, values in given.items() for value in values]
    return [word for name, value in pairs for word in (f"--{name}", "********" if name in SECRETS else value)]


def shown_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """k3s's own variables as in the Node's annotation, with secrets masked."""
    own = ((name, value) for name, value in environ.items() if name.startswith("K3S_"))
    return {
        name: "********" if name in SECRET_NAMES else value
        for name, value in own
        if not name.startswith("K3S_STANDIN_")
    }


def os_name() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', first_line("/etc/os-release"), re.MULTILINE)
    return found[1] if found else "Linux"
