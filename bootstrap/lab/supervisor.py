"""Keeps guests in step with the front: each running VM or container there has a running guest here.

Power requests of the API come through `power_on` and `power_off`, so that a task ends when its guest is
really on or off. Whatever else changes a VM (a delete, a rollback, a test that sets a state, a guest that
powers itself off) is found by polling every `POLL_S`.
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import functools
import logging
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from fakepve.lxc import FakeCt

from bootstrap.lab.front.configs.vmconfig import Made, container_spec, guest_spec
from bootstrap.lab.guests.base import GuestDriver, GuestError, GuestSpec, LayeredDriver, NoCloudSeed

POLL_S = 0.05
RETRY_S = 5.0

logger = logging.getLogger("bootstrap.lab.supervisor")


@dataclass
class _Guest:
    """The supervisor's state of one guest.

    Attributes:
        vm: The front's VM or container it belongs to; another object with the same vmid is another VM.
        has_disk: Whether the driver has cloned it.
        on: Whether the supervisor has powered it on.
        lock: Held while the driver works on this vmid, so that its steps come one after another.
        retry_at: Monotonic time before which a failed step is not tried again.
    """

    vm: Any
    has_disk: bool = False
    on: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    retry_at: float = 0.0


class Supervisor:
    """Guests of a driver behind the VMs of a fakepve. All methods belong to one event loop.

    Args:
        pve: The front's `FakePve`; only its public `vms` and `cts` are used.
        driver: The guest backend; None: VMs have no guests, and power is a flag of the front.

    Attributes:
        isos: NoCloud seeds on uploaded ISOs, by volume: what a VM with one in a drive boots with.
        sources: The template that a clone was made of, and whether it is a full one, by the clone's vmid.
        made: Values made with a container, and those of its request that fakepve does not keep.
    """

    def __init__(self, pve: Any, driver: GuestDriver | None) -> None:
        self.pve = pve
        self.driver = driver
        self.isos: dict[str, NoCloudSeed] = {}
        self.sources: dict[int, tuple[int, bool]] = {}
        self.made: WeakKeyDictionary[Any, Made] = WeakKeyDictionary()
        self._guests: dict[int, _Guest] = {}
        self._steps: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Supervise the guests until cancelled; a driver's failure is logged."""
        while True:
            self.look()
            await asyncio.sleep(POLL_S)

    def look(self) -> None:
        """Start a step for every guest that is out of step and not being worked on."""
        if self.driver is None:
            return
        # A template that was a guest keeps its disk: clones stand on it.
        there = (*self.pve.vms, *self.pve.cts)
        machines = {vm.vmid: vm for vm in there if not vm.template or vm.vmid in self._guests}
        for vmid in machines.keys() | self._guests.keys():
            guest = self._guests.get(vmid)
            if guest and (guest.lock.locked() or time.monotonic() < guest.retry_at):
                continue
            if self._out_of_line(guest, machines.get(vmid)):
                step = asyncio.create_task(self._bring_in_line(vmid), name=f"guest {vmid}")
                self._steps.add(step)
                step.add_done_callback(functools.partial(self._step_ended, vmid))

    async def power_on(self, vm: Any) -> None:
        """Start the VM's guest and mark the VM running.

        Raises:
            GuestError: The driver could not; the VM stays stopped.
        """
        if self.driver is None:
            _mark_running(vm)
            return
        guest = await self._own(vm)
        async with guest.lock:
            await self._start(guest)

    async def power_off(self, vm: Any, *, graceful_s: float) -> None:
        """Stop the VM's guest (asking it for `graceful_s` seconds first) and mark the VM stopped."""
        guest = self._guests.get(vm.vmid)
        if self.driver is None or guest is None or guest.vm is not vm:
            _mark_stopped(vm)
            return
        async with guest.lock:
            await self._guarded(self.driver.stop(vm.vmid, graceful_s=graceful_s))
            guest.on = False
            _mark_stopped(vm)

    async def close(self) -> None:
        """Cancel running steps and wait for them; the caller closes the driver."""
        for step in list(self._steps):
            step.cancel()
        await asyncio.gather(*self._steps, return_exceptions=True)

    def _out_of_line(self, guest: _Guest | None, vm: Any) -> bool:
        if guest is None or vm is not guest.vm:
            return vm is None or vm.lock not in ("create", "clone")
        if not guest.has_disk or guest.on != (vm.status == "running"):
            return True
        return guest.on and self.driver is not None and not self.driver.running(vm.vmid)

    async def _own(self, vm: Any) -> _Guest:
        """The entry of this VM; an entry of a deleted VM with the same VMID is removed first."""
        guest = self._guests.get(vm.vmid)
        if guest is not None and guest.vm is not vm:
            async with guest.lock:
                await self._forget(vm.vmid, guest)
        return self._guests.setdefault(vm.vmid, _Guest(vm))

    async def _bring_in_line(self, vmid: int) -> None:
        vm = self.pve.guest(vmid)
        if vm is None:
            guest = self._guests.get(vmid)
            if guest is not None:
                async with guest.lock:
                    await self._forget(vmid, guest)
            return
        guest = await self._own(vm)
        async with guest.lock:
            await self._follow(guest)

    async def _follow(self, guest: _Guest) -> None:
        vm, driver = guest.vm, self.driver
        if driver is None:
            return
        if not guest.has_disk:
            await self._make_disk(guest, driver)
        if vm.status == "running" and not guest.on:
            try:
                await self._start(guest)
            except GuestError:
                _mark_stopped(vm)
                raise
        elif vm.status != "running" and guest.on:
            await self._guarded(driver.stop(vm.vmid, graceful_s=0.0))
            guest.on = False
        elif guest.on and not driver.running(vm.vmid):
            logger.info("guest of VM %s powered itself off", vm.vmid)
            guest.on = False
            _mark_stopped(vm)

    async def _start(self, guest: _Guest) -> None:
        vm, driver = guest.vm, self.driver
        if driver is None:
            return
        if not guest.has_disk:
            await self._make_disk(guest, driver)
        if guest.on and driver.running(vm.vmid):
            return
        _apply_pending(vm)
        await self._guarded(driver.start(self._spec(vm)))
        guest.on = True
        _mark_running(vm)

    def _spec(self, vm: Any) -> GuestSpec:
        if not isinstance(vm, FakeCt):
            return guest_spec(vm.vmid, vm.name, vm.config, isos=self.isos)
        return container_spec(vm.vmid, vm.config, made=self.made.setdefault(vm, Made(machine_uuid=str(uuid.uuid4()))))

    async def _make_disk(self, guest: _Guest, driver: GuestDriver) -> None:
        """Clone the guest: from the template's own guest where that was one, else from the lab's system."""
        vmid = guest.vm.vmid
        base, full = self.sources.get(vmid, (0, False))
        if base in self._guests and isinstance(driver, LayeredDriver):
            await self._guarded(driver.clone_from(vmid, base=base, full=full))
        else:
            await self._guarded(driver.clone(vmid))
        guest.has_disk = True

    async def _forget(self, vmid: int, guest: _Guest) -> None:
        if self.driver is not None:
            await self._guarded(self.driver.destroy(vmid))
        if self._guests.get(vmid) is guest:
            del self._guests[vmid]

    async def _guarded(self, step: Coroutine[Any, Any, None]) -> None:
        """Run one call of the driver; converts its errors to GuestError."""
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        error = task.exception()
        if error is not None and not isinstance(error, GuestError):
            logger.error("the driver failed", exc_info=error)
            raise GuestError(f"{type(error).__name__}: {error}") from error
        if error is not None:
            raise error

    def _step_ended(self, vmid: int, step: asyncio.Task[None]) -> None:
        self._steps.discard(step)
        if step.cancelled() or step.exception() is None:
            return
        logger.error("VM %s: %s", vmid, step.exception())
        guest = self._guests.get(vmid)
        if guest is not None:
            guest.retry_at = time.monotonic() + RETRY_S


def _apply_pending(vm: Any) -> None:
    """Apply the changes made while it ran, at its next start."""
    if not isinstance(vm, FakeCt):
        vm.apply_pending()
        return
    for key, value in vm.pending.items():
        if value is None:
            vm.config.pop(key, None)
        else:
            vm.config[key] = value
    vm.pending.clear()


def _mark_running(vm: Any) -> None:
    _apply_pending(vm)
    vm.status = vm.qmpstatus = "running"
    vm.started_at = time.time()


def _mark_stopped(vm: Any) -> None:
    vm.status = vm.qmpstatus = "stopped"
    vm.started_at = None
