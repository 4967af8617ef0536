"""Proxmox HA as a client sees it: starts, stops and moves the VMs it manages, a few seconds after each request.

Times are Proxmox's own: its manager runs every ten seconds, and moves the VMs of a Proxmox node two minutes after
that node has died (seen on Proxmox VE 9.2). The lab's time scale applies.
"""
# ruff: noqa: ANN401 - fakepve has no types

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from bootstrap.lab.faults.active import Fault, Faults
from bootstrap.lab.front.configs.vmconfig import DRIVE
from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.supervisor import Supervisor

ACTS_AFTER_S = 10.0
RECOVERS_AFTER_S = 120.0
POLL_S = 0.02

logger = logging.getLogger("bootstrap.lab.ha")


@dataclass
class _Resource:
    """The requested state of one VM.

    Attributes:
        wanted: `started`, `stopped` or `disabled`.
        graceful_s: Time for a clean shutdown before power-off.
        due: Monotonic time when HA acts; None: nothing to do.
        busy: Whether HA is acting.
    """

    wanted: str
    graceful_s: float = 0.0
    due: float | None = None
    busy: bool = False


class HaManager:
    """The HA manager of a lab. All methods belong to one event loop.

    Args:
        pve: The `FakePve`: a VM's `ha_state` is its state as an HA resource.
        supervisor: Starts and stops guests.
        faults: `ha-managed` and `pve-node-maintenance`.
    """

    def __init__(self, pve: Any, supervisor: Supervisor, faults: Faults) -> None:
        self._pve, self._supervisor, self._faults = pve, supervisor, faults
        self._resources: WeakKeyDictionary[Any, _Resource] = WeakKeyDictionary()
        self._offline_since: dict[str, float] = {}
        self._work: set[asyncio.Task[None]] = set()

    def manage(self, vm: Any, state: str) -> None:
        """Make a VM an HA resource, or change its requested state; `ignored` ends that."""
        if state == "ignored":
            self.forget(vm)
            return
        self.request(vm, state)

    def forget(self, vm: Any) -> None:
        """Remove the resource; the VM stays as it is."""
        self._resources.pop(vm, None)
        vm.ha_state = None

    def request(self, vm: Any, state: str, *, graceful_s: float = 0.0) -> None:
        """Set a VM's requested state; HA acts later."""
        running = vm.status == "running"
        self._resources[vm] = _Resource(wanted=state, graceful_s=graceful_s)
        if vm.ha_state != "error" or state == "disabled":
            vm.ha_state = "started" if state == "started" else "request_stop" if running else "stopped"

    def wanted(self, vm: Any) -> str:
        """The requested state of a managed VM."""
        resource = self._resources.get(vm)
        return resource.wanted if resource else "started"

    def managed(self) -> Iterator[Any]:
        """All VMs and containers that it manages."""
        return (vm for vm in (*self._pve.vms, *self._pve.cts) if vm.ha_managed)

    def node_state(self, pve_node: str) -> str | None:
        """A Proxmox node's `hastate`; None where HA is not in use."""
        if self._faults.fitting("pve-node-maintenance", pve_node=pve_node):
            return "maintenance"
        if not (any(self.managed()) or self._faults.named("pve-node-maintenance")):
            return None
        return "online" if self._is_online(pve_node) else "unknown"

    def follow(self) -> None:
        """Manage the running VMs that the fault `ha-managed` selects."""
        if not self._faults.named("ha-managed"):
            return
        for vm in (*self._pve.vms, *self._pve.cts):
            if vm.ha_managed or vm.template or vm.lock or vm.status != "running":
                continue
            fault = self._faults.fitting("ha-managed", machine=vm.name, vmid=vm.vmid, pve_node=vm.node)
            if fault is not None:
                self._adopt(vm, fault)

    def _adopt(self, vm: Any, fault: Fault) -> None:
        fault.hits += 1
        self.manage(vm, "started")
        before = fault.undo

        def undo() -> None:
            self.forget(vm)
            if before is not None:
                before()

        fault.undo = undo

    async def run(self) -> None:
        """Run the manager until cancelled."""
        while True:
            self.follow()
            self._recover()
            for vm in list(self.managed()):
                self._look(vm)
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Cancel running work."""
        for work in list(self._work):
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _look(self, vm: Any) -> None:
        resource = self._resources.setdefault(vm, _Resource(wanted="started"))
        as_wanted = (vm.status == "running") == (resource.wanted == "started")
        if resource.busy or vm.ha_state == "error" or not self._is_online(vm.node):
            return
        if as_wanted:
            resource.due = None
            vm.ha_state = "started" if resource.wanted == "started" else "stopped"
            return
        now = time.monotonic()
        if resource.due is None:
            resource.due = now + ACTS_AFTER_S * self._pve.time_scale
        if now >= resource.due:
            resource.busy, resource.due = True, None
            work = asyncio.create_task(self._act(vm, resource), name=f"ha {vm.vmid}")
            self._work.add(work)
            work.add_done_callback(self._work.discard)

    async def _act(self, vm: Any, resource: _Resource) -> None:
        try:
            if resource.wanted == "started":
                await self._start(vm)
            else:
                await self._supervisor.power_off(vm, graceful_s=resource.graceful_s)
        except GuestError as error:
            logger.warning("VM %s: %s", vm.vmid, error)
            vm.ha_state = "error"
        finally:
            resource.busy = False

    async def _start(self, vm: Any) -> None:
        if vm.start_error:
            raise GuestError(str(vm.start_error))
        await self._pve.pause(vm.start_secs)
        await self._supervisor.power_on(vm)

    def _recover(self) -> None:
        """Move the VMs of a Proxmox node that has been off for long enough; they lost power with it."""
        now = time.monotonic()
        for name in self._pve.nodes:
            if self._is_online(name):
                self._offline_since.pop(name, None)
                continue
            since = self._offline_since.setdefault(name, now)
            target = next((other for other in sorted(self._pve.nodes) if self._is_online(other)), None)
            if target is None or now < since + RECOVERS_AFTER_S * self._pve.time_scale:
                continue
            for vm in list(self.managed()):
                if vm.node == name and self.wanted(vm) == "started":
                    self._move(vm, target)

    def _move(self, vm: Any, target: str) -> None:
        logger.info("VM %s moves from %s to %s", vm.vmid, vm.node, target)
        vm.node = target
        vm.status = "stopped"  # the supervisor ends its guest, and the requested state starts it again
        if hasattr(vm, "qmpstatus"):
            vm.qmpstatus = "stopped"
        if not self._has_its_disks(vm):
            vm.ha_state = "error"

    def _has_its_disks(self, vm: Any) -> bool:
        """Whether its disks are on storage that other Proxmox nodes have too."""
        names = {str(value).partition(":")[0] for key, value in vm.config.items() if _is_disk(key, str(value))}
        return all(self._pve.storages.get(name, {}).get("shared") for name in names)

    def _is_online(self, pve_node: str) -> bool:
        return bool(self._pve.nodes.get(pve_node, {}).get("online", True))


def _is_disk(key: str, value: str) -> bool:
    return (DRIVE.fullmatch(key) is not None or key == "rootfs") and ":" in value
