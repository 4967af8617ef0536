"""The time a clone takes, and the locks it holds meanwhile.

fakepve clones at once. Here its task is opened again and goes on as long as Proxmox's would: it holds the template's
lock shared and the new VM's alone, and for each volume the storage's lock (`PVE/API2/Qemu.pm`, clone_vm;
`PVE/Storage/Plugin.pm`, cluster_lock_storage).
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fakepve import TaskError

from bootstrap.lab.faults.active import Fault
from bootstrap.lab.front.context import Front
from bootstrap.lab.front.vmconfig import DRIVE

STORAGE_LOCK_S = 10.0
"""How long Proxmox waits for a storage's lock (`PVE/Tools.pm`, lock_file's default)."""
TEMPLATE_LOCK_S = 1.0
"""How long a clone waits for its template's (`PVE/API2/Qemu.pm`, clone_vm)."""
STORAGE_LOCK = "can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
_SHARED = "clones"


@dataclass(frozen=True, kw_only=True)
class CloneWork:
    """A clone that fakepve has made and whose time is yet to pass.

    Attributes:
        source: What is cloned.
        vm: The clone.
        record: Its task, in fakepve's form.
        full: Whether its disks are copies.
    """

    source: Any
    vm: Any
    record: dict[str, Any]
    full: bool


class Cloning:
    """All clones of a lab."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._storages: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._doors: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sharing: Counter[int] = Counter()
        self._going_on: set[asyncio.Task[None]] = set()

    async def go_on(self, work: CloneWork) -> None:
        """Open the task again and let it take its time; with a time scale of 0 it has ended on return."""
        vm, record = work.vm, work.record
        record["status"] = "running"
        for key in ("exitstatus", "endtime"):
            record.pop(key, None)
        record["log"].pop()  # TASK OK
        vm.lock = vm.config["lock"] = "clone"
        vm.lock_holder = record["upid"]
        going_on = asyncio.create_task(self._work(work), name=f"clone to {vm.vmid}")
        self._going_on.add(going_on)
        going_on.add_done_callback(self._going_on.discard)
        if not self.front.pve.time_scale:
            await going_on

    async def _work(self, work: CloneWork) -> None:
        vm, pve = work.vm, self.front.pve
        status = "OK"
        try:
            async with self._shared(work.source):
                await self._volumes(work)
        except TaskError as error:
            status = str(error)
            self._clean_up(vm)
        died = self._strike("clone-dies", vm)
        if died and status == "OK":
            status = "unexpected status"
            if died.left is None:
                died.undo = lambda: self._unlock(vm)
        elif status == "OK":
            if self.front.faults.strike(
                "task-warnings", machine=vm.name, vmid=vm.vmid, pve_node=vm.node, type="qmclone"
            ):
                work.record["warned"] = 1
            vm.lock = None
            vm.config.pop("lock", None)
            self._set_times(vm)
        pve.release(vm, work.record["upid"])
        end_task(work.record, status)
        backup = self._strike("backup-lock", vm) if status == "OK" else None
        if backup:
            await pve.backup(vm.vmid, secs=60)

    @staticmethod
    def _unlock(vm: Any) -> None:
        """What somebody does about it: `qm unlock`."""
        vm.lock = None
        vm.config.pop("lock", None)

    async def _volumes(self, work: CloneWork) -> None:
        vm, delays = work.vm, self.front.delays
        for key in sorted(key for key in vm.config if DRIVE.fullmatch(key)):
            value = str(vm.config[key])
            storage = value.partition(":")[0]
            if storage not in self.front.pve.storages:
                continue
            kind = "clone_drive" if "cloudinit" in value else "full_clone" if work.full else "clone"
            async with self._locked(vm.node, storage):
                await self.front.pve.pause(delays.lab_s(kind, vm.vmid))
                failure = self._strike("clone-fails", vm)
                if failure:
                    raise TaskError(f"clone failed: {failure.text('text')}")

    @asynccontextmanager
    async def _shared(self, source: Any) -> AsyncIterator[None]:
        """The template's lock, which clones share and all else waits for."""
        pve, vmid = self.front.pve, source.vmid
        async with self._doors[vmid]:
            if source.lock_holder != _SHARED:
                await pve.acquire(source, _SHARED, wait=TEMPLATE_LOCK_S)
            self._sharing[vmid] += 1
        try:
            yield
        finally:
            self._sharing[vmid] -= 1
            if not self._sharing[vmid]:
                pve.release(source, _SHARED)

    @asynccontextmanager
    async def _locked(self, pve_node: str, storage: str) -> AsyncIterator[None]:
        """The lock of a storage on a Proxmox node."""
        timeout_s = STORAGE_LOCK_S * self.front.pve.time_scale
        lock = self._storages[pve_node, storage]
        try:
            async with asyncio.timeout(timeout_s or None):
                while self.front.faults.strike("storage-lock-held", pve_node=pve_node, storage=storage):
                    if not timeout_s:
                        raise TimeoutError
                    await asyncio.sleep(min(0.1, timeout_s / 10))
                await lock.acquire()
        except TimeoutError as error:
            raise TaskError(f"clone failed: {STORAGE_LOCK.format(storage=storage)}") from error
        try:
            yield
        finally:
            lock.release()

    def _strike(self, word: str, vm: Any) -> Fault | None:
        return self.front.faults.strike(word, machine=vm.name, vmid=vm.vmid, pve_node=vm.node)

    def _clean_up(self, vm: Any) -> None:
        """Remove what a failed clone has made, as Proxmox does."""
        pve = self.front.pve
        if vm in pve.vms:
            pve.vms.remove(vm)
        for storage in pve.storages.values():
            volumes = storage.get("volumes", {})
            for name in [name for name, volume in volumes.items() if volume.get("vmid") == vm.vmid]:
                del volumes[name]
        for members in pve.pools.values():
            members.discard(vm.vmid)

    def _set_times(self, vm: Any) -> None:
        """How long the VM's power tasks will take."""
        delays = self.front.delays
        vm.start_secs = delays.lab_s("start", vm.vmid)
        vm.stop_secs = delays.lab_s("stop", vm.vmid)
        vm.shutdown_secs = delays.lab_s("shutdown", vm.vmid)


def end_task(record: dict[str, Any], status: str) -> None:
    """Close a task's record with an exit status."""
    record["status"], record["exitstatus"], record["endtime"] = "stopped", status, int(time.time())
    ending = "TASK OK" if status == "OK" else f"TASK ERROR: {status}"
    record["log"].append(ending)
