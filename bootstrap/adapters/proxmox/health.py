"""What keeps a Proxmox cluster or a running VM from doing anything: no quorum, CPUs that stand still."""

from __future__ import annotations

import logging
from dataclasses import replace

from bootstrap.adapters.proxmox import configs, sight
from bootstrap.adapters.proxmox.api import Api
from bootstrap.errors import PermissionDeniedError, VmNotFoundError
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import LostQuorum, VmRecord

logger = logging.getLogger(__name__)


def lost_quorum(api: Api) -> LostQuorum | None:
    """That the cluster has no quorum.

    A Proxmox node that is in no cluster has no row of that type (pve-manager: API2/Cluster.pm). Without Sys.Audit on /
    the list is refused, and the first write tells.
    """
    try:
        rows = api.get("cluster/status", what="read the state of the Proxmox cluster")
    except PermissionDeniedError as error:
        logger.info("%s", error)
        return None
    if not any(row.get("type") == "cluster" and not int(row.get("quorate", 1)) for row in rows):
        return None
    nodes = [row for row in rows if row.get("type") == "node"]
    away = sorted(PveNodeName(str(row["name"])) for row in nodes if not int(row.get("online") or 0))
    return LostQuorum(total=len(nodes), away=tuple(away))


def with_halt(api: Api, vm: VmRecord) -> VmRecord:
    """A VM that runs with whether it is paused, which the lists do not tell (qemu-server: vmstatus without `full`)."""
    if not vm.running or vm.kind is not MachineKind.VM:
        return vm
    path = f"nodes/{vm.pve_node}/qemu/{vm.vmid}/status/current"
    try:
        status = sight.ask(lambda: api.get(path, what=f"read the status of {vm.name} on {vm.pve_node}"))
    except (PermissionDeniedError, VmNotFoundError, sight.NotAskedError) as error:
        logger.info("%s", error)
        return vm
    return replace(vm, halted=configs.halted(status))
