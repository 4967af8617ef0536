"""Checks that the CNI plugin fits the rest of the inventory."""

from __future__ import annotations

from typing import Final

from bootstrap.inventory.keys.k3s import K3sKeys
from bootstrap.inventory.keys.network import CniKeys, NetworkKeys
from bootstrap.inventory.keys.pools import PoolKeys
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.problems import Problems
from bootstrap.k3s.pass_through.flags import bare
from bootstrap.model.machine import MachineKind
from bootstrap.model.settings.cni import CniSpec, CniType, FlannelBackend

_LOCAL_API: Final = ("lb-server-port", "disable-apiserver-lb")
_FLANNEL_ONLY: Final = ("flannel-cni-conf", "flannel-conf", "flannel-iface", "flannel-external-ip")


def check_cni(root: Root, problems: Problems) -> None:
    """Add problems for what does not go with the CNI plugin."""
    keys = root.network.cni if root.network is not None and root.network.given(NetworkKeys.cni) else None
    if keys is None or keys.type is None:
        return
    cni = CniSpec(type=keys.type, backend=keys.backend or FlannelBackend.VXLAN)
    if cni.is_flannel:
        return
    if keys.given(CniKeys.backend):
        problems.add(keys.at(CniKeys.backend), f"is flannel's, and type is {cni.type}", "remove it")
    if cni.has_chart:
        _check_chart(root, cni, problems)
    _check_k3s(root, cni, problems)


def _check_chart(root: Root, cni: CniSpec, problems: Problems) -> None:
    k3s = root.k3s
    if k3s is not None and "helm-controller" in (k3s.disable_components or ()):
        message = f"k3s installs {cni.type} with its Helm controller"
        problems.add(k3s.at(K3sKeys.disable_components), message, "take helm-controller out, or set network.cni: none")
    for _name, pool in root.worker_pools or ():
        if pool.machine is MachineKind.LXC:
            message = f"{cni.type} needs rights in the kernel that a container does not have"
            problems.add(pool.at(PoolKeys.machine), message, "use machine: vm, or network.cni: flannel")


def _check_k3s(root: Root, cni: CniSpec, problems: Problems) -> None:
    """Settings in k3s's own keys that would have no effect, or cut Cilium off the API."""
    k3s = root.k3s
    if k3s is None:
        return
    local = _LOCAL_API if cni.type is CniType.CILIUM else ()
    for key, settings in ((K3sKeys.server_config, k3s.server_config), (K3sKeys.agent_config, k3s.agent_config)):
        for name, _values in settings or ():
            if bare(name) in _FLANNEL_ONLY:
                problems.add(k3s.at(key), f"{bare(name)} is flannel's, and network.cni is {cni.type}", "remove it")
            elif bare(name) in local:
                message = f"{bare(name)}: cilium reaches the API by k3s's load balancer on each machine, port 6444"
                problems.add(k3s.at(key), message, "remove it")
