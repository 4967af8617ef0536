"""Containers as Proxmox VE reports them, read into values. Pure.

A config is the JSON of `GET /nodes/N/lxc/VMID/config`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import GuestInterface, VmRecord
from bootstrap.model.reading import Reading
from bootstrap.proxmox.reading import answers, configs
from bootstrap.records.vms.machine import record_or_problem

ROOT = "rootfs"
_DEFAULT_MEMORY_MIB = 512


def container_record(readings: Reading, *, row: Reading, pve_node: PveNodeName) -> VmRecord:
    """A container from its config and its row in the list (or its `status/current`, which has the same keys).

    While it is being made the config holds nothing but `lock: create` (pve-container: create_and_lock_config), so its
    name is the row's, such as CT7001, and there is no record.

    Raises:
        UnreadableAnswerError: One of them is of odd form.
    """
    config = configs.scalars(readings)
    record, problem = record_or_problem(configs.setting(config, "description"))
    cores = readings.at("cores").integer(0, answers.MOST_CORES, default=0)
    root, net0 = config.get(ROOT), config.get("net0")
    return VmRecord(
        vmid=answers.vmid(row.at("vmid")),
        name=str(config.get("hostname") or row.at("name").text("")),
        pve_node=pve_node,
        running=row.at("status").value == "running",
        lock=str(config.get("lock") or row.at("lock").text("")) or None,
        tags=configs.tags(config.get("tags")),
        record=record,
        cores=cores or int(row.at("cpus").number(0, answers.MOST_CORES, default=0)),
        memory_mib=readings.at("memory").integer(0, answers.MOST_MIB, default=_DEFAULT_MEMORY_MIB),
        disk=ROOT if root else None,
        disk_gib=configs.drive_gib(root) if root else 0,
        mac=configs.mac(net0),
        onboot=bool(config.get("onboot")),
        net0=str(net0) if net0 else None,
        uptime_s=row.at("uptime").integer(0, answers.MOST_SECONDS, default=0),
        address=configs.address(net0),
        storage_address=configs.address(config.get("net1")),
        ip6=configs.properties(net0).get("ip6"),
        kind=MachineKind.LXC,
        description=configs.setting(config, "description"),
        ha_managed=configs.ha_managed(row),
        problem=problem,
    )


def unfinished(config: configs.Config) -> bool:
    """Whether there is nothing but what Proxmox VE writes when a container is begun: a lock."""
    return config.get("lock") == "create" and "description" not in config


def parse_interfaces(rows: Reading) -> tuple[GuestInterface, ...] | None:
    """The interfaces of `GET /nodes/N/lxc/VMID/interfaces`; None where there is no list: the container is off.

    Raises:
        UnreadableAnswerError: One of them is of odd form.
    """
    if not isinstance(rows.value, list):
        return None
    return tuple(
        GuestInterface(
            name=row.at("name").text(""),
            mac=(row.at("hwaddr").text("") or row.at("hardware-address").text("")).upper(),
            addresses=tuple(_addresses(row)),
            addresses6=tuple(_addresses6(row)),
        )
        for row in rows.items()
    )


def _told(row: Reading, key: str) -> Iterator[str]:
    """Newer releases list all addresses, older ones name one under `key`, with its prefix length."""
    listed = row.at("ip-addresses")
    texts = [row.at(key)] if listed.absent else [part.at("ip-address") for part in listed.items()]
    for text in texts:
        yield text.text("").partition("/")[0]


def _addresses(row: Reading) -> Iterator[IPv4Address]:
    for text in _told(row, "inet"):
        with suppress(AddressValueError):
            yield IPv4Address(text)


def _addresses6(row: Reading) -> Iterator[IPv6Address]:
    for text in _told(row, "inet6"):
        with suppress(AddressValueError):
            yield IPv6Address(text.partition("%")[0])
