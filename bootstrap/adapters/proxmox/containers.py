"""Containers as Proxmox VE tells of them, read into values. Pure, but for the list of their templates.

A config is the JSON of `GET /nodes/N/lxc/VMID/config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from bootstrap.adapters.proxmox import configs, sight
from bootstrap.adapters.proxmox.api import Api
from bootstrap.errors import PermissionDeniedError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import GuestInterface, OsTemplate, VmRecord
from bootstrap.model.record import parse_record

ROOT = "rootfs"
_DEFAULT_MEMORY_MIB = 512
_CONTENT = "vztmpl"


def container_record(config: configs.Config, *, row: configs.Config, pve_node: PveNodeName) -> VmRecord:
    """A container from its config and its row in the list (or its `status/current`, which has the same keys).

    While it is being made the config holds nothing but `lock: create` (pve-container: create_and_lock_config), so its
    name is the row's, such as CT7001, and there is no record.
    """
    root, net0 = config.get(ROOT), config.get("net0")
    return VmRecord(
        vmid=Vmid(int(row["vmid"])),
        name=str(config.get("hostname") or row.get("name") or ""),
        pve_node=pve_node,
        running=row.get("status") == "running",
        lock=config.get("lock") or row.get("lock") or None,
        tags=configs.tags(config.get("tags")),
        record=parse_record(str(config.get("description") or "")),
        cores=int(config.get("cores") or row.get("cpus") or 0),
        memory_mib=int(config.get("memory") or _DEFAULT_MEMORY_MIB),
        disk=ROOT if root else None,
        disk_gib=configs.drive_gib(root) if root else 0,
        mac=configs.mac(net0),
        onboot=bool(config.get("onboot")),
        net0=net0,
        uptime_s=int(row.get("uptime") or 0),
        address=configs.address(net0),
        storage_address=configs.address(config.get("net1")),
        ip6=configs.properties(net0).get("ip6"),
        kind=MachineKind.LXC,
        description=str(config.get("description") or ""),
        ha_managed=configs.ha_managed(row),
    )


def parse_interfaces(rows: Any) -> tuple[GuestInterface, ...] | None:  # noqa: ANN401 - JSON of any shape
    """The interfaces of `GET /nodes/N/lxc/VMID/interfaces`; None where there is no list: the container is off."""
    if not isinstance(rows, list):
        return None
    return tuple(
        GuestInterface(
            name=str(row.get("name", "")),
            mac=str(row.get("hwaddr") or row.get("hardware-address") or "").upper(),
            addresses=tuple(_addresses(row)),
            addresses6=tuple(_addresses6(row)),
        )
        for row in rows
    )


def _addresses(row: Mapping[str, Any]) -> Iterator[IPv4Address]:
    """All that are told: newer releases list them, older ones name one as `inet`, with its prefix length."""
    listed = row.get("ip-addresses")
    texts = [part.get("ip-address") for part in listed] if isinstance(listed, list) else [row.get("inet")]
    for text in texts:
        try:
            yield IPv4Address(str(text or "").partition("/")[0])
        except AddressValueError:
            continue


def _addresses6(row: Mapping[str, Any]) -> Iterator[IPv6Address]:
    """The same for IPv6."""
    listed = row.get("ip-addresses")
    texts = [part.get("ip-address") for part in listed] if isinstance(listed, list) else [row.get("inet6")]
    for text in texts:
        try:
            yield IPv6Address(str(text or "").partition("/")[0].partition("%")[0])
        except AddressValueError:
            continue


def list_ostemplates(api: Api) -> tuple[OsTemplate, ...]:
    """The templates of containers on the Proxmox nodes that can be asked."""
    return tuple(sight.from_those_that_answer(sight.online_nodes(api), lambda pve_node: _on_node(api, pve_node)))


def _on_node(api: Api, pve_node: PveNodeName) -> Iterator[OsTemplate]:
    for row in api.get(f"nodes/{pve_node}/storage", what=f"list the storages of {pve_node}"):
        if not row.get("active") or _CONTENT not in str(row.get("content") or "").split(","):
            continue
        storage = str(row["storage"])
        path, what = f"nodes/{pve_node}/storage/{storage}/content", f"list {storage} on {pve_node}"
        try:
            listed = api.get(path, what=what, content=_CONTENT)
        except PermissionDeniedError:
            continue  # what the token may not see it may not use either; the plan says what is missing
        for volume in sorted(str(found["volid"]) for found in listed):
            yield OsTemplate(pve_node=pve_node, volume=volume)
