"""Reads and changes VM configs, with Proxmox's normalization of values."""
# ruff: noqa: ANN401 - fakepve has no types, and JSON has any shape

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from fakepve import PveError, TaskError

from bootstrap.lab.front.configs.options_table import AT_ONCE, INTEGERS, ROOT_ONLY, cpu_types, privilege_for
from bootstrap.lab.front.configs.seed import render_seed
from bootstrap.lab.front.configs.vmconfig import (
    DRIVE,
    SEED_SIZE,
    is_cdrom,
    kept_tags,
    mac_of,
    new_mac,
    options_of,
    real_device,
)
from bootstrap.lab.front.datacenter import sdn
from bootstrap.lab.front.datacenter.tagging import Tagging
from bootstrap.lab.front.gateway.call import Answer, Call, Handler, bad_parameters
from bootstrap.lab.front.gateway.context import Front
from bootstrap.lab.front.gateway.tasks import Log, start_task

MASK = "**********"
_CONTROL = ("delete", "revert", "digest", "force", "skiplock", "background_delay", "import-working-storage")
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")
_NEW_DISK = re.compile(r"([A-Za-z][\w.-]*):\d+(?:,|$)")
_HOTPLUGGED = re.compile(r"(?:scsi|virtio)\d{1,2}")
"""Disks that a running VM gets and loses at once, with its default `hotplug` (qm.conf)."""
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class Config:
    """`/nodes/{node}/qemu/{vmid}/config` and what belongs to it."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._tagging = Tagging(front)

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        one = "/nodes/{node}/qemu/{vmid}"
        return {
            ("GET", f"{one}/config"): self.read,
            ("PUT", f"{one}/config"): self.put,
            ("POST", f"{one}/config"): self.post,
            ("GET", f"{one}/pending"): self.pending,
            ("GET", f"{one}/cloudinit/dump"): self.dump,
        }

    async def read(self, call: Call) -> Answer:
        """The config with pending changes merged in; `current=1`: as the running VM has it."""
        vm = self.front.pve.find(call.pve_node, call.vmid)
        config = dict(vm.config)
        if not call.values.get("current"):
            for key, value in vm.pending.items():
                if value is None:
                    config.pop(key, None)
                else:
                    config[key] = value
        return Answer({**_shown(config), "digest": vm.digest()})

    async def pending(self, call: Call) -> Answer:
        """Each option with its value, its pending value and whether it is to be deleted."""
        vm = self.front.pve.find(call.pve_node, call.vmid)
        now, later = _shown(vm.config), _shown({k: v for k, v in vm.pending.items() if v is not None})
        rows = []
        for key in sorted(now.keys() | vm.pending.keys()):
            row: dict[str, Any] = {"key": key}
            if key in now:
                row["value"] = now[key]
            if key in later:
                row["pending"] = later[key]
            elif key in vm.pending:
                row["delete"] = 1
            rows.append(row)
        return Answer(rows)

    async def dump(self, call: Call) -> Answer:
        """One of the files of the cloud-init drive, as text."""
        vm = self.front.pve.find(call.pve_node, call.vmid)
        seed = render_seed(vm.vmid, {**vm.config, **{k: v for k, v in vm.pending.items() if v is not None}})
        texts = {"user": seed.user_data, "network": seed.network_config, "meta": seed.meta_data}
        return Answer(texts[call.values["type"]])

    async def put(self, call: Call) -> Answer:
        """Change the config before answering."""
        vm = self._check(call)
        async with self._lock(vm):
            self._apply(vm, call)
        return Answer()

    async def post(self, call: Call) -> Answer:
        """Change the config in a task; rights, locks and the digest are still the request's own errors."""
        vm = self._check(call)
        async with self._lock(vm):
            pass

        async def body(log: Log) -> None:
            sent = [f"-{key} {value}" for key, value in call.raw.items() if key not in ("digest", "cipassword")]
            log(f"update VM {vm.vmid}: {' '.join(sent)}")
            self._apply(vm, call)

        return Answer(await start_task(self.front, call, kind="qmconfig", vmid=vm.vmid, body=body, vm=vm))

    @asynccontextmanager
    async def _lock(self, vm: Any) -> AsyncIterator[None]:
        """The VM's config lock; Proxmox waits 10 s for it."""
        try:
            await self.front.pve.acquire(vm, "config")
        except TaskError as error:
            raise PveError(500, str(error)) from error
        try:
            yield
        finally:
            self.front.pve.release(vm, "config")

    def _check(self, call: Call) -> Any:
        pve = self.front.pve
        if call.values.get("skiplock"):
            raise bad_parameters(skiplock="Only root may use this option.")
        changes = _changes(call)
        names = [*changes, *_listed(call, "delete"), *_listed(call, "revert")]
        if not names:
            raise PveError(500, "no options specified")
        _check_names(call)
        for name in _listed(call, "delete"):
            if name in changes:
                raise bad_parameters(delete=f"you can't use '-{name}' and -delete {name}' at the same time")
        _check_values(changes, pve_version=self.front.options.pve_version)
        self._check_volumes(changes)
        for name in names:
            self._check_right(call, name)
        vm = pve.find(call.pve_node, call.vmid)
        if "tags" in names:
            self._tagging.require(call.user, call.vmid, old=vm.config.get("tags"), new=changes.get("tags"))
        self._check_devices(call, vm, changes)
        if self.front.faults.strike("config-changed", machine=vm.name, vmid=vm.vmid, pve_node=vm.node):
            vm.config["tags"] = ";".join(sorted({*_tags(str(vm.config.get("tags", ""))), "somebody-elses"}))
        _check_free(call, vm)
        return vm

    def _check_volumes(self, changes: Mapping[str, Any]) -> None:
        """Missing storages and an invalid hookscript are reported before missing privileges."""
        storages = self.front.pve.storages
        for name, value in changes.items():
            volume = str(value).split(",")[0].removeprefix("file=")
            storage, colon, path = volume.partition(":")
            if name == "hookscript" and path not in storages.get(storage, {}).get("volumes", {}):
                raise bad_parameters(hookscript=f"script '{volume}' does not exist\n")
            if DRIVE.fullmatch(name) and colon and "/" not in storage and storage not in storages:
                raise PveError(500, f"storage '{storage}' does not exist")

    def _check_devices(self, call: Call, vm: Any, changes: Mapping[str, Any]) -> None:
        """Only root may set, delete or replace devices of the host."""
        if call.user == "root@pam":
            return
        for name in (*changes, *_listed(call, "delete")):
            for value in (vm.config.get(name, ""), changes.get(name, "")):
                device = real_device(name, str(value))
                if device:
                    raise PveError(500, f"only root can set '{name}' config for {device}")

    def _check_right(self, call: Call, option: str) -> None:
        if option not in ROOT_ONLY:
            self._require_for(call, option)
        elif call.user != "root@pam":  # a token of root does not count as root here
            raise PveError(500, f"only root can set '{option}' config")

    def _require_for(self, call: Call, option: str) -> None:
        pve, path = self.front.pve, f"/vms/{call.vmid}"
        privilege = privilege_for(option) or "VM.Config.Options"
        if option == "startup":
            pve.require(call.user, "/", "Sys.Modify")
        value = str(call.values.get(option, ""))
        if privilege == "VM.Config.Network":
            sdn.require_use(self.front, call.user, {option: value})
        if DRIVE.fullmatch(option) and (new := _NEW_DISK.match(value)):
            pve.require(call.user, f"/storage/{new[1]}", "Datastore.AllocateSpace")
        privilege = self._privilege_for_cdrom(call, privilege, value)
        if privilege == "VM.Config.Cloudinit" and pve.allowed(call.user, path, "VM.Config.Network"):
            return
        pve.require(call.user, path, privilege)

    def _privilege_for_cdrom(self, call: Call, privilege: str, value: str) -> str:
        """The privileges for a drive; a CD-ROM or cloud-init drive needs one more."""
        if privilege == "VM.Config.Disk" and "cloudinit" in value:
            self.front.pve.require(call.user, f"/vms/{call.vmid}", "VM.Config.CDROM")
            return "VM.Config.Cloudinit"
        return "VM.Config.CDROM" if "media=cdrom" in value else privilege

    def _delete(self, vm: Any, name: str) -> None:
        vm.pending.pop(name, None)
        if name not in vm.config:
            return
        if vm.status == "running" and name not in AT_ONCE and not _HOTPLUGGED.fullmatch(name):
            vm.pending[name] = None
        else:
            self._put_aside(vm, name, "")
            del vm.config[name]

    def _apply(self, vm: Any, call: Call) -> None:
        running = vm.status == "running"
        for name in _listed(call, "revert"):
            vm.pending.pop(name, None)
        for name in _listed(call, "delete"):
            self._delete(vm, name)
        for name, value in _changes(call).items():
            kept = self._drive(vm, str(value)) if DRIVE.fullmatch(name) else self._kept(name, value)
            self._put_aside(vm, name, str(kept))
            if not running or name in AT_ONCE or (_HOTPLUGGED.fullmatch(name) and name not in vm.config):
                vm.config[name] = kept
                vm.pending.pop(name, None)
            elif str(vm.config.get(name)) == str(kept):
                vm.pending.pop(name, None)
            else:
                vm.pending[name] = kept
        vm.name = vm.config.get("name") or f"VM {vm.vmid}"

    def _kept(self, name: str, value: Any) -> Any:
        if name == "tags":
            return kept_tags(str(value), keep_case=bool(self.front.faults.named("tags-keep-case"))) or " "
        return _kept(name, value)

    def _put_aside(self, vm: Any, name: str, value: str) -> None:
        """A disk that is detached or replaced stays as `unusedN`; removing that frees its space."""
        volume = str(vm.config.get(name, "")).split(",")[0]
        storage, _, path = volume.partition(":")
        if re.fullmatch(r"unused\d+", name):
            self.front.pve.storages.get(storage, {}).get("volumes", {}).pop(path, None)
            return
        owner = self.front.pve.storages.get(storage, {}).get("volumes", {}).get(path, {}).get("vmid", vm.vmid)
        if owner != vm.vmid:
            return  # a volume of something else (PVE/QemuServer.pm: vmconfig_register_unused_drive)
        is_disk = DRIVE.fullmatch(name) and path and not is_cdrom(str(vm.config[name]))
        if is_disk and volume != value.split(",")[0] and volume not in vm.config.values():
            slot = next(number for number in range(256) if f"unused{number}" not in vm.config)
            vm.config[f"unused{slot}"] = volume

    def _drive(self, vm: Any, value: str) -> str:
        """A drive as Proxmox stores it: a requested cloud-init drive (`local:cloudinit`) gets a volume."""
        volume, _, rest = value.partition(",")
        storage, _, wanted = volume.partition(":")
        if storage not in self.front.pve.storages:
            return value
        if wanted.isdecimal():
            return self._new_disk(vm, storage, int(wanted), rest)
        if wanted != "cloudinit":
            return value
        own = f"{vm.vmid}/vm-{vm.vmid}-cloudinit.qcow2"
        self.front.pve.storages[storage]["volumes"][own] = {
            "content": "images", "format": "qcow2", "size": SEED_SIZE, "vmid": vm.vmid, "ctime": 0
        }  # fmt: skip
        options = [part for part in rest.split(",") if part and not part.startswith("media=")]
        return ",".join([f"{storage}:{own}", "media=cdrom", *options])

    def _new_disk(self, vm: Any, storage: str, gib: int, rest: str) -> str:
        """`local:32` makes a thin disk of 32 GiB, which uses no space until something is written."""
        volumes = self.front.pve.storages[storage]["volumes"]
        names = (f"{vm.vmid}/vm-{vm.vmid}-disk-{number}.qcow2" for number in range(len(volumes) + 1))
        # A linked clone's volume is called `9000/base-9000-disk-0.qcow2/7000/vm-7000-disk-0.qcow2`.
        own = next(name for name in names if not any(volume.endswith(name) for volume in volumes))
        volumes[own] = {"content": "images", "format": "qcow2", "size": gib * 1024**3, "vmid": vm.vmid, "ctime": 0}
        options = sorted(part for part in (*rest.split(","), f"size={gib}G") if part)
        return ",".join([f"{storage}:{own}", *options])


def _changes(call: Call) -> dict[str, Any]:
    return {key: call.values[key] for key in call.raw if key not in (*_CONTROL, "node", "vmid")}


def _listed(call: Call, name: str) -> list[str]:
    return [part for part in re.split(r"[\s,;]+", str(call.values.get(name, ""))) if part]


def _check_free(call: Call, vm: Any) -> None:
    digest = call.values.get("digest")
    if digest and digest != vm.digest():
        raise PveError(500, "checksum mismatch (file change by other user?)")
    if vm.lock:
        raise PveError(500, f"VM is locked ({vm.lock})")


def _check_names(call: Call) -> None:
    for parameter in ("delete", "revert"):
        for name in _listed(call, parameter):
            if privilege_for(name) is None and name not in ROOT_ONLY:
                raise bad_parameters(**{parameter: f"unknown option '{name}'"})


def _check_values(changes: Mapping[str, Any], *, pve_version: int) -> None:
    if "sshkeys" in changes:
        _check_ssh_keys(unquote(str(changes["sshkeys"])))
    for tag in _tags(str(changes.get("tags", ""))):
        if not _TAG.fullmatch(tag):
            raise bad_parameters(tags="invalid format - invalid characters in tag\n")
    cpu = options_of(str(changes.get("cpu", "")))
    model = cpu.get("cputype", cpu.get("", "host"))
    if model not in cpu_types(pve_version):
        custom = model.removeprefix("custom-")
        text = f"Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)"
        if custom != model:
            text = f"Custom cputype '{custom}' not found"
        raise bad_parameters(cpu=f"invalid format - {text}\n")


def _check_ssh_keys(text: str) -> None:
    keys = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not all(line.startswith(_KEY_TYPES) and len(line.split()) >= 2 for line in keys):
        raise PveError(500, "SSH public key validation error")


def _tags(text: str) -> list[str]:
    return [tag for tag in re.split(r"[;,\s]+", text) if tag]


def _kept(name: str, value: Any) -> Any:
    """The value as Proxmox writes it into the config file and reads it back."""
    if name == "description":
        return str(value).rstrip("\n")
    if name.startswith("net") and not mac_of(str(value)):
        return _with_mac(str(value))
    return value if name in INTEGERS else str(value)


def _with_mac(net: str) -> str:
    """A network device with a generated address, the model first: `virtio=BC:24:11:..,bridge=vmbr0`."""
    options = options_of(net)
    mac = options.pop("macaddr", None) or new_mac()
    model = options.pop("model", None) or options.pop("", "virtio")
    return ",".join([f"{model}={mac}", *(f"{key}={item}" for key, item in sorted(options.items()))])


def _shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as the API reports it: integers and strings as in Proxmox, the password masked."""
    shown: dict[str, Any] = {}
    for key, value in config.items():
        if key == "cipassword":
            shown[key] = MASK
        else:
            shown[key] = int(value) if key in INTEGERS else str(value)
    return shown
