"""Unreachable Proxmox nodes, and what `/cluster/resources` still has of their guests.

A node that is offline answers nothing (595 after seconds); one that counts as online may do the same until corosync
notices, or while only the API between the nodes is broken. `/cluster/resources` keeps the rows of its guests:
`status` is `unknown`, `vmid`, `node` and `tags` stay, and the name is gone after about five minutes (9.2, observed).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.errors import AuthenticationError, HypervisorError, PermissionDeniedError, VmNotFoundError
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OWNER_TAG, UnreachableVm, VmRecord
from bootstrap.model.reading import Reading, each
from bootstrap.proxmox.reading import answers, configs

Read = TypeVar("Read")

OFFLINE = answers.OFFLINE

logger = logging.getLogger(__name__)


class NotAskedError(Exception):
    """A Proxmox node is unreachable; the text says why."""

    def __init__(self, error: HypervisorError) -> None:
        super().__init__(error.details.splitlines()[0] if error.details else error.brief)
        self.error = error


def ask(pve_node: PveNodeName, read: Callable[[], Read]) -> Read:
    """A reading of one Proxmox node; a warning in the log where it does not answer.

    Raises:
        NotAskedError: The node does not answer, or answers with an error.
        PermissionDeniedError: The token may not read it, which says nothing about the node.
        AuthenticationError: The endpoint itself refuses.
        VmNotFoundError: The node answers, and has no such VM.
    """
    try:
        return read()
    except (PermissionDeniedError, AuthenticationError, VmNotFoundError):
        raise
    except HypervisorError as error:
        unasked = NotAskedError(error)
        logger.warning("%s is unreachable: %s", pve_node, unasked)
        raise unasked from error


def online_nodes(api: Api) -> tuple[PveNodeName, ...]:
    """The Proxmox nodes that do not count as offline, by name."""
    rows = api.read("nodes", what="list the Proxmox nodes")
    return tuple(sorted(name for name, online in answers.rows(rows, answers.named_row) if online))


def from_online(api: Api, read: Callable[[PveNodeName], Iterable[Read]]) -> Iterator[Read]:
    """What is read from each Proxmox node that is online; unreachable ones are left out.

    Raises:
        HypervisorError: All of them are unreachable.
    """
    asked, last = False, None
    for pve_node in online_nodes(api):
        try:
            found = ask(pve_node, lambda pve_node=pve_node: list(read(pve_node)))  # type: ignore[misc]
        except NotAskedError as error:
            last = error.error
            continue
        asked = True
        yield from found
    if last is not None and not asked:
        raise last


def guests_of(
    resources: Iterable[Reading], unasked: Mapping[PveNodeName, str]
) -> tuple[tuple[VmRecord, ...], frozenset[Vmid]]:
    """The VMs and containers of unreachable Proxmox nodes, without a record; and all VMIDs there, templates' too.

    Args:
        resources: The rows of `/cluster/resources`.
        unasked: The Proxmox nodes, with why they are unreachable.
    """
    rows = [row for row in each(resources, lambda row: _guest(row, unasked), answers.note) if row is not None]
    return tuple(vm for vm, template in rows if not template), frozenset(vm.vmid for vm, _ in rows)


def _guest(row: Reading, unasked: Mapping[PveNodeName, str]) -> tuple[VmRecord, bool] | None:
    """A guest and whether it is a template; None for other things, and where its Proxmox node is reachable."""
    if row.at("node").text("") not in unasked or row.at("vmid").absent:
        return None
    return _record(row), row.at("template").flag()


def _record(row: Reading) -> VmRecord:
    return VmRecord(
        vmid=answers.vmid(row.at("vmid")),
        name=row.at("name").text(""),
        pve_node=answers.pve_node_name(row.at("node")),
        running=False,
        tags=frozenset(tag.lower() for tag in configs.tags(row.at("tags").text(""))),
        kind=MachineKind.LXC if row.at("type").value == "lxc" else MachineKind.VM,
        ha_managed=configs.ha_managed(row),
    )


def unreachable_vms(
    away: Iterable[VmRecord],
    unasked: Mapping[PveNodeName, str],
    *,
    cluster: ClusterName,
    vmids: VmidRange,
) -> tuple[UnreachableVm, ...]:
    """Guests that may be machines of this tool: by the tag, or by name and VMID (an interrupted clone has no tag)."""
    return tuple(
        UnreachableVm(
            vmid=vm.vmid,
            name=vm.name,
            pve_node=vm.pve_node,
            tags=vm.tags,
            kind=vm.kind,
            why=unasked[vm.pve_node],
        )
        for vm in sorted(away, key=lambda vm: vm.vmid)
        if OWNER_TAG in vm.tags or (vm.vmid in vmids and vm.name.startswith(f"{cluster}-"))
    )
