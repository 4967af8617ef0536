"""Creates, clones, resizes and deletes VMs through fakepve, and corrects differences from Proxmox."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from fakepve import PveError, TaskError

from bootstrap.lab.faults.active import Fault
from bootstrap.lab.faults.requests import no_quorum_write
from bootstrap.lab.front.configs.vmconfig import (
    DRIVE,
    SEED_SIZE,
    format_size,
    kept_tags,
    options_of,
    real_device,
    size_bytes,
)
from bootstrap.lab.front.datacenter import sdn
from bootstrap.lab.front.datacenter.tagging import Tagging
from bootstrap.lab.front.gateway.call import Answer, Call, Handler, bad_parameters, no_such_config
from bootstrap.lab.front.gateway.context import Front
from bootstrap.lab.front.gateway.tasks import Log, failing_task, start_task
from bootstrap.lab.front.vms.cloning import Cloning, image_there
from bootstrap.lab.front.vms.images import Images
from bootstrap.lab.front.vms.power import NO_CONFIG_ON_NODE

ONE = "/nodes/{node}/qemu/{vmid}"


class Machines:
    """`/nodes/{node}/qemu`: create, clone, resize, delete."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._cloning = Cloning(front)
        self._images = Images(front)
        self._tagging = Tagging(front)
        self._after: set[asyncio.Task[None]] = set()

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers or fixes."""
        return {
            ("POST", "/nodes/{node}/qemu"): self.create,
            ("POST", f"{ONE}/clone"): self.clone,
            ("PUT", f"{ONE}/resize"): self.resize,
            ("DELETE", ONE): self.delete,
            **self._images.handlers(),
        }

    async def create(self, call: Call) -> Answer:
        """Create a VM; values get their types.

        Since version 9 permissions are checked before the VM is in its pool, so that a token with rights on the pool
        may not set these options.
        """
        if "tags" in call.raw and self.front.options.pve_version >= 9:
            try:
                self._tagging.require(call.user, call.vmid, old="", new=call.values["tags"])
            except PveError as error:  # found by the worker
                message = f"unable to create VM {call.vmid} - {error.status} {error.message}"
                return await failing_task(self.front, call, kind="qmcreate", message=message)
        try:
            values = self._images.imported(call, {key: call.values[key] for key in call.raw if key in call.values})
        except TaskError as error:
            return await failing_task(self.front, call, kind="qmcreate", message=str(error))
        if self.front.pve.vm(call.vmid) is None:
            self.front.supervisor.sources.pop(call.vmid, None)
        answer = await self.front.passer.call(call.request, values=values)
        vm = await self._made(answer, call.vmid)
        if vm is not None:
            if "tags" in values:
                vm.config["tags"] = self._created_tags(str(values["tags"]))
            vm.config.setdefault("boot", " ")
            self._change_room(self._volumes(vm))
        return answer

    def _created_tags(self, given: str) -> str:
        """Tags of a create request: normalized since version 9, before that stored unchanged."""
        if self.front.options.pve_version < 9:
            return given
        return kept_tags(given, keep_case=bool(self.front.faults.named("tags-keep-case")))

    async def clone(self, call: Call) -> Answer:
        """Clone a VM. The clone gets its own cloud-init drive, and the task Proxmox's log."""
        pve, newid = self.front.pve, int(call.values["newid"])
        source = pve.vm(call.vmid)
        if source is None or source.node != call.pve_node:
            raise PveError(500, NO_CONFIG_ON_NODE.format(vmid=call.vmid, node=call.pve_node))
        self._require_allocate(call, newid)
        if not source.template and call.values.get("full") == 0:
            _refuse_linked_clone(source)
        self._refuse_other_node(source, call.values.get("target"))
        sdn.require_use(self.front, call.user, source.config)
        refuse_real_devices(call, source.config)
        if not pve.quorate:
            message = no_quorum_write(str(call.values.get("target", call.pve_node)), newid)
            return await failing_task(self.front, call, kind="qmclone", message=message)
        if self._interfere(call, source, newid):
            raise PveError(500, no_such_config(call.pve_node, call.vmid))
        failure = self._found_in_the_task(source, newid)
        if failure:
            return await failing_task(self.front, call, kind="qmclone", message=failure)
        return await self._cloned(call, source, newid)

    def _require_allocate(self, call: Call, newid: int) -> None:
        """Refuse a new VMID without VM.Allocate on it or on the given resource pool."""
        pve, pool = self.front.pve, call.values.get("pool")
        if pool is not None and pool not in pve.pools:
            raise PveError(403, f"Permission check failed (pool '{pool}' does not exist)")
        if not (
            pve.allowed(call.user, f"/vms/{newid}", "VM.Allocate")
            or (pool and pve.allowed(call.user, f"/pool/{pool}", "VM.Allocate"))
        ):
            raise PveError(403, "Permission check failed")

    async def _cloned(self, call: Call, source: Any, newid: int) -> Answer:
        """Clone with fakepve, and let its task last as long as a real one."""
        full = bool(call.values.get("full", not source.template))
        if self.front.pve.vm(newid) is None:  # before the clone exists, since the supervisor may see it at once
            self.front.supervisor.sources[newid] = (source.vmid, full)
        answer = await self.front.passer.call(call.request)
        vm = await self._made(answer, newid)
        if vm is not None:
            self._change_room([volume for volume in self._volumes(vm) if volume["vmid"] == newid])
            record = self.front.pve.tasks[answer.data]
            self._mend_clone(vm, record["log"])
            await self._cloning.go_on(source, vm, record, full=full)
        return answer

    def _found_in_the_task(self, source: Any, newid: int) -> str:
        """Errors that only the worker finds: a VMID used on another Proxmox node or by a container, a leftover volume.

        The request only checks for a config of a VM on its own node. /etc/pve has each VMID once, so the worker fails
        when it writes the config.
        """
        pve = self.front.pve
        there = pve.guest(newid)
        if there is not None and (there is not pve.vm(newid) or there.node != source.node):
            path = f"/etc/pve/nodes/{source.node}/qemu-server/{newid}.conf"
            return f"close (rename) atomic file '{path}' failed: File exists"
        return "" if there is not None else image_there(pve, source, newid)

    def _interfere(self, call: Call, source: Any, newid: int) -> bool:
        """Act as another client between the look and the clone, where a fault says so.

        Returns:
            Whether the template is gone; a fault that strikes once puts it back at any moment.
        """
        pve, faults = self.front.pve, self.front.faults
        name = str(call.values.get("name", ""))
        taken = faults.strike("vmid-taken", machine=name, vmid=newid, pve_node=call.pve_node)
        if taken and not pve.vm(newid):
            pve.add_vm(newid, f"somebody-elses-{newid}", node=taken.text("on") or call.pve_node)
        left = faults.strike("orphan-volume", machine=name, vmid=newid, pve_node=call.pve_node)
        if left:
            self._leave_volume(left, source, newid)
        gone = faults.strike("template-gone", machine=name, vmid=newid, pve_node=call.pve_node)
        if gone and source in pve.vms:
            pve.vms.remove(source)
            gone.undo = lambda: pve.vms.append(source)
            return True
        return False

    def _leave_volume(self, fault: Fault, source: Any, newid: int) -> None:
        """Add the cloud-init volume of a destroyed VM; it is removed with the fault."""
        for key, value in source.config.items():
            storage, _, name = str(value).split(",")[0].partition(":")
            if DRIVE.fullmatch(key) and "cloudinit" in name:
                volumes = self.front.pve.storages[storage]["volumes"]
                own = name.replace(str(source.vmid), str(newid))
                volumes[own] = {**volumes[name], "vmid": newid}
                if fault.left is None:
                    fault.undo = partial(volumes.pop, own, None)

    async def resize(self, call: Call) -> Answer:
        """Grow a disk, in a task that reports all errors but malformed parameters."""
        pve = self.front.pve
        vm = pve.vm(call.vmid)
        if vm is None or vm.node != call.pve_node:
            message = no_such_config(call.pve_node, call.vmid)
            return await failing_task(self.front, call, kind="resize", message=message)

        async def body(log: Log) -> None:
            digest = call.values.get("digest")
            if digest and digest != vm.digest():
                raise TaskError("checksum mismatch (file change by other user?)")
            if vm.lock:
                raise TaskError(f"VM is locked ({vm.lock})")
            self._grow(vm, call)
            if vm.status != "running":
                log("Image resized.")

        return Answer(await start_task(self.front, call, kind="resize", vmid=vm.vmid, body=body, vm=vm))

    async def delete(self, call: Call) -> Answer:
        """Delete a VM; a template whose disk has linked clones stays, and the task says so."""
        pve = self.front.pve
        vm = pve.find(call.pve_node, call.vmid)
        if call.values.get("skiplock"):
            raise bad_parameters(skiplock="Only root may use this option.")
        held = _base_in_use(pve, vm)
        if held and vm.lock_holder is None and str(vm.config.get("protection", 0)) != "1":
            message = f"base volume '{held}' is still in use by linked cloned"
            return await failing_task(self.front, call, kind="qmdestroy", message=message)
        volumes, foreign = self._volumes(vm), self._foreign_volumes(vm)
        answer = await self.front.passer.call(call.request)
        # Not awaited: the task may wait 10 s for the VM's lock, and its UPID is the answer.
        after = asyncio.create_task(self._after_deletion(answer.data, vm, volumes, foreign))
        self._after.add(after)
        after.add_done_callback(self._after.discard)
        return answer

    async def _after_deletion(
        self, upid: str, vm: Any, volumes: list[dict[str, Any]], foreign: list[tuple[str, str, dict[str, Any]]]
    ) -> None:
        """After the deletion of a VM, correct what fakepve removes too much: free space, and volumes of others.

        Proxmox VE removes only volumes that the VM owns (PVE/QemuServer.pm: destroy_vm).
        """
        await self._ended(upid)
        if vm not in self.front.pve.vms:
            self._change_room(volumes, taken=True)
            for storage, name, entry in foreign:
                self.front.pve.storages[storage]["volumes"][name] = entry

    def _foreign_volumes(self, vm: Any) -> list[tuple[str, str, dict[str, Any]]]:
        """The volumes that the VM holds and does not own, each with its storage and its name there."""
        found = []
        for key, value in vm.config.items():
            sid, _, name = str(value).split(",")[0].partition(":")
            entry = self.front.pve.storages.get(sid, {}).get("volumes", {}).get(name)
            if DRIVE.fullmatch(key) and entry is not None and entry.get("vmid") not in (None, vm.vmid):
                found.append((sid, name, entry))
        return found

    async def _ended(self, upid: str) -> Mapping[str, Any]:
        """A task, once it has ended."""
        task: Mapping[str, Any] = self.front.pve.tasks[upid]
        while task["status"] == "running":
            await asyncio.sleep(0.01)
        return task

    async def _made(self, answer: Answer, vmid: int) -> Any:
        """The VM a task made, once the task has ended; None where it failed."""
        task = await self._ended(answer.data)
        return self.front.pve.vm(vmid) if task["exitstatus"] == "OK" else None

    def _volumes(self, vm: Any) -> list[dict[str, Any]]:
        """Entries of the VM's volumes in the storages, each with its storage's id."""
        found = []
        for key, value in vm.config.items():
            sid, _, name = str(value).split(",")[0].partition(":")
            entry = self.front.pve.storages.get(sid, {}).get("volumes", {}).get(name)
            if DRIVE.fullmatch(key) and entry is not None:
                found.append({**entry, "storage": sid})
        return found

    def _change_room(self, volumes: list[dict[str, Any]], *, taken: bool = False) -> None:
        """Correct a storage's free space: fakepve counts an image's full size, qcow2 only what is written."""
        for volume in volumes:
            size = int(volume["size"])
            self.front.pve.storages[volume["storage"]]["avail"] += -size if taken else size

    def _refuse_other_node(self, source: Any, target: str | None) -> None:
        """Refuse to clone a VM with local disks to another Proxmox node (`PVE/API2/Qemu.pm`)."""
        pve = self.front.pve
        if target in (None, "localhost", source.node) or target not in pve.nodes:
            return
        if any(not pve.storages[volume["storage"]].get("shared") for volume in self._volumes(source)):
            raise PveError(500, f"can't clone VM to node '{target}' (VM uses local storage)")

    def _mend_clone(self, vm: Any, log: list[str]) -> None:
        """Give the clone its own cloud-init volume; fakepve keeps the template's."""
        if "description" in vm.config:
            vm.config["description"] = str(vm.config["description"]).rstrip("\n")
        for key, value in list(vm.config.items()):
            volume, _, rest = str(value).partition(",")
            sid, _, name = volume.partition(":")
            if not DRIVE.fullmatch(key):
                continue
            if "cloudinit" in volume and sid in self.front.pve.storages:
                vm.config[key] = self._own_seed(vm.vmid, sid, form=name.rsplit(".", 1)[-1], options=rest)
            elif "/base-" in volume or name.count("/") > 1:
                base = "/".join(name.split("/")[:2])
                log.insert(-1, f"create linked clone of drive {key} ({sid}:{base})")
        log[:] = [line for line in log if not line.startswith("creating a clone of VM")]

    def _own_seed(self, vmid: int, storage: str, *, form: str, options: str) -> str:
        """Make a VM's own cloud-init volume; returns its drive."""
        own = f"{vmid}/vm-{vmid}-cloudinit.{form}"
        self.front.pve.storages[storage]["volumes"][own] = {
            "content": "images", "format": form, "size": SEED_SIZE, "vmid": vmid, "ctime": 0
        }  # fmt: skip
        kept = {**options_of(options), "size": "4M"}
        return ",".join([f"{storage}:{own}", *(f"{key}={value}" for key, value in sorted(kept.items()))])

    def _grow(self, vm: Any, call: Call) -> None:
        pve, key = self.front.pve, call.values["disk"]
        value = vm.config.get(key)
        if value is None:
            raise TaskError(f"disk '{key}' does not exist")
        if "media=cdrom" in value:
            raise TaskError("you can't resize a cdrom")
        volume, _, rest = value.partition(",")
        sid, _, name = volume.partition(":")
        if not pve.allowed(call.user, f"/storage/{sid}", "Datastore.AllocateSpace"):
            raise TaskError(f"403 Permission check failed (/storage/{sid}, Datastore.AllocateSpace)")
        old = size_bytes(options_of(rest).get("size", "0"))
        new = _wanted(str(call.values["size"]), old)
        if new < old:
            raise TaskError("shrinking disks is not supported")
        if vm.template:
            path = f"/var/lib/vz/images/{name}"
            raise TaskError(f"command '/usr/bin/qemu-img resize -f qcow2 {path} {new}' failed: exit code 1")
        vm.config[key] = f"{volume}," + re.sub(r"size=[^,]*", f"size={format_size(new)}", rest)
        if name in pve.storages[sid]["volumes"]:
            pve.storages[sid]["volumes"][name]["size"] = new


def refuse_real_devices(call: Call, config: Mapping[str, Any]) -> None:
    """Refuse passed-through devices of the host to all but root (`PVE/API2/Qemu.pm`, check_usb_perm)."""
    if call.user == "root@pam":
        return
    for key, value in sorted(config.items()):
        device = real_device(key, str(value))
        if device:
            raise PveError(500, f"only root can set '{key}' config for {device}")


def _refuse_linked_clone(source: Any) -> None:
    """Refuse a linked clone of a VM that is no template; fakepve would accept a linked clone as source."""
    for key, value in sorted(source.config.items()):
        volume = str(value).split(",")[0]
        if DRIVE.fullmatch(key) and ":" in volume and "media=cdrom" not in value:
            raise PveError(500, f"Linked clone feature is not supported for '{volume}' ({key})")


def _wanted(text: str, old: int) -> int:
    size = size_bytes(text.lstrip("+"))
    return old + size if text.startswith("+") else size


def _base_in_use(pve: Any, vm: Any) -> str | None:
    """The base volume of a template that another VM's disk uses, or None."""
    if not vm.template:
        return None
    bases = [str(value).split(",")[0] for key, value in vm.config.items() if DRIVE.fullmatch(key)]
    others = [str(value) for other in pve.vms if other is not vm for value in other.config.values()]
    return next((base for base in bases if any(value.startswith(f"{base}/") for value in others)), None)
