"""The time that a clone takes, and the locks that it holds.

fakepve clones at once. Here its task is reopened and lasts as long as on Proxmox: it holds the template's
lock shared and the new VM's alone, and for each volume the storage's lock (`PVE/API2/Qemu.pm`, clone_vm;
`PVE/Storage/Plugin.pm`, cluster_lock_storage). The new VM's config is a placeholder without name and record until the
first volume is there, and it is on the template's Proxmox node until the last one is.
"""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fakepve import TaskError

from bootstrap.lab.faults.active import Fault
from bootstrap.lab.front.configs.vmconfig import DRIVE
from bootstrap.lab.front.gateway.context import Front

STORAGE_LOCK_S = 10.0
"""How long Proxmox waits for a storage's lock (`PVE/Tools.pm`, lock_file's default)."""
TEMPLATE_LOCK_S = 1.0
"""How long a clone waits for its template's (`PVE/API2/Qemu.pm`, clone_vm)."""
STORAGE_LOCK = "can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
_SHARED = "clones"
_PLACEHOLDER = {"description": " qmclone temporary file", "lock": "clone"}
"""What clone_vm writes first, a comment and the lock; `PVE/QemuServer.pm`, parse_vm_config, reads comments as the
description."""
IMAGE_THERE: Mapping[str, str] = {
    "lvm": 'lvcreate \'pve/{name}\' error:   Logical Volume "{name}" already exists in volume group "pve"',
    "lvmthin": 'lvcreate \'pve/{name}\' error:   Logical Volume "{name}" already exists in volume group "pve"',
    "zfspool": "zfs error: cannot create 'rpool/data/{name}': dataset already exists",
    "rbd": "rbd create '{name}' error: rbd: create error: (17) File exists",
}
"""The error of each type of storage for an existing volume; for files `_FILE_THERE`."""
_FILE_THERE = "disk image '/var/lib/vz/images/{vmid}/{name}' already exists"


@dataclass(frozen=True, kw_only=True)
class CloneWork:
    """A clone that fakepve has made and that is not finished yet.

    Attributes:
        source: What is cloned.
        vm: The clone.
        record: Its task, in fakepve's form.
        full: Whether its disks are copies.
        name: The clone's name, which its config does not have yet.
        pve_node: Its final Proxmox node.
        config: Its final config.
    """

    source: Any
    vm: Any
    record: dict[str, Any]
    full: bool
    name: str
    pve_node: str
    config: dict[str, Any]


class Cloning:
    """All clones of a lab."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._storages: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._doors: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sharing: Counter[int] = Counter()
        self._going_on: set[asyncio.Task[None]] = set()

    async def go_on(self, source: Any, vm: Any, record: dict[str, Any], *, full: bool) -> None:
        """Reopen the task and let it take its time; with a time scale of 0 it has ended on return."""
        work = CloneWork(
            source=source,
            vm=vm,
            record=record,
            full=full,
            name=str(vm.name),
            pve_node=str(vm.node),
            config=dict(vm.config),
        )
        record["status"] = "running"
        for key in ("exitstatus", "endtime"):
            record.pop(key, None)
        record["log"].pop()  # TASK OK
        _show(work, _PLACEHOLDER)
        vm.node, vm.lock, vm.lock_holder = source.node, "clone", record["upid"]
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
            self._finish(work)
        except TaskError as error:
            status = str(error)
            self._clean_up(vm)
        except _KilledError as killed:
            status = "unexpected status"
            if killed.fault.left is None:
                killed.fault.undo = partial(self._clean_up if killed.early else self._unlock, vm)
        pve.release(vm, work.record["upid"])
        end_task(work.record, status)
        backup = self._strike("backup-lock", work) if status == "OK" else None
        if backup:
            await pve.backup(vm.vmid, secs=60)

    def _finish(self, work: CloneWork) -> None:
        """End a successful clone."""
        vm = work.vm
        warned = self.front.faults.strike(
            "task-warnings", machine=work.name, vmid=vm.vmid, pve_node=vm.node, type="qmclone"
        )
        if warned:
            work.record["warned"] = 1
        _show(work, work.config)
        vm.lock = None
        vm.config.pop("lock", None)
        vm.node = work.pve_node
        self._set_times(vm)

    @staticmethod
    def _unlock(vm: Any) -> None:
        """Another client's `qm unlock` of a complete clone."""
        vm.lock = None
        vm.config.pop("lock", None)

    async def _volumes(self, work: CloneWork) -> None:
        keys = self._drives(work)
        done: list[str] = []
        killed = self._strike("clone-dies", work)
        for key in keys:
            if killed and len(done) == killed.number("written"):
                raise _KilledError(killed, early=True)
            await self._volume(work, key)
            done.append(key)
            # After each volume Proxmox writes the whole config, with the drives so far.
            left = {key: value for key, value in work.config.items() if key not in keys or key in done}
            _show(work, {**left, "lock": "clone"})
        if killed:
            raise _KilledError(killed, early=False)

    def _drives(self, work: CloneWork) -> list[str]:
        return [key for key in sorted(work.config) if DRIVE.fullmatch(key) and self._storage(work, key)]

    async def _volume(self, work: CloneWork, key: str) -> None:
        kind = "clone_drive" if "cloudinit" in str(work.config[key]) else "full_clone" if work.full else "clone"
        async with self._locked(work.source.node, self._storage(work, key)):
            await self.front.pve.pause(self.front.delays.lab_s(kind, work.vm.vmid))
            failure = self._strike("clone-fails", work)
            if failure:
                raise TaskError(f"clone failed: {failure.text('text')}")

    def _storage(self, work: CloneWork, key: str) -> str:
        """The storage of a drive; empty for a storage that the lab does not have."""
        storage = str(work.config[key]).partition(":")[0]
        return storage if storage in self.front.pve.storages else ""

    @asynccontextmanager
    async def _shared(self, source: Any) -> AsyncIterator[None]:
        """The template's lock: shared by clones, exclusive for everything else."""
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

    def _strike(self, word: str, work: CloneWork) -> Fault | None:
        return self.front.faults.strike(word, machine=work.name, vmid=work.vm.vmid, pve_node=work.source.node)

    def _clean_up(self, vm: Any) -> None:
        """Remove a failed clone's VM and volumes, as Proxmox does."""
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
        """Set the durations of the VM's power tasks."""
        delays = self.front.delays
        vm.start_secs = delays.lab_s("start", vm.vmid)
        vm.stop_secs = delays.lab_s("stop", vm.vmid)
        vm.shutdown_secs = delays.lab_s("shutdown", vm.vmid)


class _KilledError(Exception):
    """The clone's worker was killed; `early`: before the last volume, so that the clone is unusable."""

    def __init__(self, fault: Fault, *, early: bool) -> None:
        super().__init__("killed")
        self.fault, self.early = fault, early


def _show(work: CloneWork, config: Mapping[str, Any]) -> None:
    """Make this the clone's visible config."""
    work.vm.config = dict(config)
    work.vm.name = str(config.get("name") or f"VM {work.vm.vmid}")


def image_there(pve: Any, source: Any, vmid: int) -> str:
    """Why a clone to this VMID fails in its task: a volume left by an earlier VM. Empty where there is none.

    Disks get free names. The name of the cloud-init drive is fixed, so an existing volume of that name fails the clone.
    """
    for key, value in source.config.items():
        storage, _, old = str(value).split(",")[0].partition(":")
        volumes = pve.storages.get(storage, {}).get("volumes", {})
        if not DRIVE.fullmatch(key) or "cloudinit" not in old:
            continue
        path = old.replace(str(source.vmid), str(vmid))
        if path in volumes:
            name = path.rpartition("/")[2]
            text = IMAGE_THERE.get(str(pve.storages[storage].get("type")))
            if text is not None:  # volumes that are no files have no extension
                name = name.partition(".")[0]
            text = text or _FILE_THERE
            return f"clone failed: {text.format(name=name, vmid=vmid)}"
    return ""


def end_task(record: dict[str, Any], status: str) -> None:
    """End a task with this exit status."""
    record["status"], record["exitstatus"], record["endtime"] = "stopped", status, int(time.time())
    ending = "TASK OK" if status == "OK" else f"TASK ERROR: {status}"
    record["log"].append(ending)
