"""What the API is called: in the user's kubeconfig, and in the user's DNS. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import urlsplit

from bootstrap.model.machine import Role
from bootstrap.planning.view import ClusterView


def other_server(view: ClusterView) -> str:
    """That the kubeconfig names the API otherwise than the inventory does; empty where it does not.

    Of servers' own addresses any will do. Without an inventory file nothing is wanted of it.
    """
    named = urlsplit(view.observed.kubeconfig_server or "").hostname
    if named is None or not view.spec.states_settings or named == view.spec.api_host:
        return ""
    if view.spec.api_host is not None:
        return f"the kubeconfig uses {named} for the API, and the inventory {view.spec.api_host}"
    return "" if _is_address(named) else f"the kubeconfig uses {named}, which is no longer in the inventory"


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def leads_elsewhere(view: ClusterView, resolved: Sequence[IPv4Address]) -> str:
    """That the addresses that the API's name resolves to here are not the API's; empty where they are."""
    right = _api_addresses(view)
    there = ", ".join(map(str, right)) or "the first server, once that has its address"
    if not resolved:
        return f"{view.spec.api_name} does not resolve here, and kubectl needs it: point it to {there}"
    wrong = [address for address in resolved if address not in right]
    if not right or not wrong:
        return ""
    return f"{view.spec.api_name} resolves to {', '.join(map(str, wrong))} here, but the API is at {there}"


def _api_addresses(view: ClusterView) -> tuple[IPv4Address, ...]:
    """The VIP, and the servers' own addresses."""
    servers = {record.machine for _, record in view.machines if record.role is Role.CONTROL_PLANE}
    own = sorted(address for name, address in view.observed.addresses if name in servers)
    return (*((view.spec.vip.address,) if view.spec.vip is not None else ()), *own)
