"""What stops a whole Proxmox cluster or a running VM: a lost quorum, halted CPUs."""

from __future__ import annotations

import logging
from dataclasses import replace

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.errors import AuthenticationError, HypervisorError, PermissionDeniedError, UnreadableError
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import LostQuorum, VmRecord
from bootstrap.model.reading import Reading, each
from bootstrap.proxmox.reading import answers, configs

logger = logging.getLogger(__name__)


def lost_quorum(api: Api) -> LostQuorum | None:
    """Whether the cluster has lost its quorum; None where it has one.

    A Proxmox node that is in no cluster has no row of that type (pve-manager: API2/Cluster.pm). Without Sys.Audit on /
    the list is refused, and the first write fails.
    """
    try:
        rows = api.read("cluster/status", what="read the state of the Proxmox cluster").items()
    except PermissionDeniedError as error:
        logger.info("%s", error)
        return None
    except UnreadableError as error:  # without a quorum the first write fails
        answers.note(error)
        return None
    lost = each(
        rows, lambda row: row.at("type").value == "cluster" and not row.at("quorate").flag(default=True), answers.note
    )
    if not any(lost):
        return None
    nodes = [row for row in each(rows, _node, answers.note) if row is not None]
    away = sorted(name for name, online in nodes if not online)
    return LostQuorum(total=len(nodes), away=tuple(away))


def _node(row: Reading) -> tuple[PveNodeName, bool] | None:
    """A Proxmox node's name and whether it is online; None for a row of something else."""
    if row.at("type").value != "node":
        return None
    return answers.pve_node_name(row.at("name")), row.at("online").flag()


def with_halt(api: Api, vm: VmRecord) -> VmRecord:
    """A running VM with whether it is paused, which the lists do not have (qemu-server: vmstatus without `full`)."""
    if not vm.running or vm.kind is not MachineKind.VM:
        return vm
    path = f"nodes/{vm.pve_node}/qemu/{vm.vmid}/status/current"
    try:
        halted = configs.halted(api.read(path, what=f"read the status of {vm.name} on {vm.pve_node}"))
    except AuthenticationError:
        raise
    except HypervisorError as error:
        logger.info("%s", error)
        return vm
    return replace(vm, halted=halted)
