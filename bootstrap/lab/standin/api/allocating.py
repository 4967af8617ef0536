"""Addresses and ports of Services."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from ..datastore.store import Store
from ..shapes import Obj

KEPT = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
NODE_PORTS = range(30000, 32768)


def keep_allocated(old: Obj, new: Obj) -> None:
    """An update that does not say what was allocated keeps it (pkg/registry/core/service)."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if "ExternalName" in (before.get("type"), after.get("type")):
        return
    silent = not after.get("clusterIP")
    for name in KEPT:
        if silent and after.get(name) is None and before.get(name) is not None:
            after[name] = before[name]
    ports = {(each.get("port"), each.get("protocol")): each.get("nodePort") for each in before.get("ports") or []}
    for each in after.get("ports") or [] if after.get("type") in ("NodePort", "LoadBalancer") else ():
        if not each.get("nodePort") and ports.get((each.get("port"), each.get("protocol"))):
            each["nodePort"] = ports[each.get("port"), each.get("protocol")]


def allocate(store: Store, networks: Iterable[str], service: Obj) -> None:
    """Give a Service the addresses and node ports that it needs."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return
    address = spec.get("clusterIP") or ""
    if not address:
        address = spec["clusterIP"] = next(free_addresses(store, next(iter(networks))), "")
    spec.setdefault("clusterIPs", [address])
    if address != "None":
        spec.setdefault("ipFamilies", ["IPv6" if ":" in address else "IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        taken = {port.get("nodePort") for each in store.all("services") for port in each["spec"].get("ports") or []}
        free = (port for port in NODE_PORTS if port not in taken)
        for port in spec.get("ports") or []:
            if not port.get("nodePort"):
                port["nodePort"] = next(free)


def free_addresses(store: Store, network: str) -> Iterator[str]:
    """Addresses that no Service has, after the first ten, which k3s keeps for its own."""
    taken = {each["spec"].get("clusterIP") for each in store.all("services")}
    for at, host in enumerate(ipaddress.ip_network(network, strict=False).hosts()):
        if at >= 10 and str(host) not in taken:
            yield str(host)
