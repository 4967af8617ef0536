"""The `TemplateMaker` port on a real Proxmox VE (or the lab's)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import quote

from bootstrap.adapters import images
from bootstrap.adapters.iso import seed_iso
from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.reachable_nodes import from_online
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.adapters.proxmox.guests.record_proof import Proof
from bootstrap.adapters.proxmox.guests.registry import GuestAt, GuestRegistry
from bootstrap.errors import HypervisorError, PermissionDeniedError, UnreadableError, VmNotFoundError
from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.planning.members.foreign import skipped_line
from bootstrap.ports import Warn
from bootstrap.ports.templates import BuilderRequest, SeedRequest
from bootstrap.proxmox.reading import answers, configs
from bootstrap.proxmox.reading.listed import ListedGuest, listed_guest
from bootstrap.records.vms.template import TEMPLATE_TAG, BuildState, CloudImage, TemplateVm, read_template
from bootstrap.waiting import report_fact

_THREADS = 4
_STANDS_ON = re.compile(r"(?:^|[:/])base(?:vol)?-([0-9]{1,9})-[^/]*/")
"""A linked clone's volume: `local:9000/base-9000-disk-0.qcow2/201/vm-201-disk-0.qcow2`. LVM-thin's name no base: they
stand alone, and so does the template's removal."""
_OLD = re.compile(r"^(?:content|filename): ", re.MULTILINE)


class _Upload(io.BytesIO):
    """Bytes with a file name, which proxmoxer sends as a file."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


class ProxmoxTemplates:
    """Implements `bootstrap.ports.templates.TemplateMaker`; safe to use from many threads."""

    def __init__(self, api: Api, tasks: Tasks, guests: GuestRegistry, *, proof: Proof) -> None:
        self._api = api
        self._tasks = tasks
        self._guests = guests
        self._proof = proof

    def find_image(self, text: str, *, arch: str, checksum: str) -> CloudImage:
        """See `TemplateMaker.find_image`."""
        return images.find_image(text, arch=arch, checksum=checksum)

    def templates(self) -> tuple[TemplateVm, ...]:
        """See `TemplateMaker.templates`. Reads every VM's config, to find linked clones of templates."""
        listed = list(from_online(self._api, self._list))
        with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-templates") as pool:
            read = list(pool.map(self._with_config, listed))
        users = _users(read)
        found = [found for vm in read if (found := _template(vm, users, proof=self._proof)) is not None]
        for problem in found:
            if isinstance(problem, str):
                report_fact(problem)
        return tuple(sorted((one for one in found if isinstance(one, TemplateVm)), key=lambda one: one.vmid))

    def volumes(self, pve_node: PveNodeName, storage: StorageName, *, content: str) -> frozenset[str]:
        """See `TemplateMaker.volumes`."""
        path = f"nodes/{pve_node}/storage/{storage}/content"
        listing = self._api.read(path, what=f"list {storage} on {pve_node}", content=content)
        return frozenset(answers.rows(listing, lambda row: row.at("volid").text()))

    def download(self, image: CloudImage, *, pve_node: PveNodeName, storage: StorageName, warn: Warn) -> None:
        """See `TemplateMaker.download`. A file with the right checksum is not fetched again."""
        what = f"fetch {image.url} into {storage} on {pve_node}"
        parameters: dict[str, str | int] = {"url": image.url, "filename": image.file_name, "content": "import"}
        if image.checksum:
            parameters |= {"checksum": image.checksum, "checksum-algorithm": image.algorithm}
        try:
            path = f"nodes/{pve_node}/storage/{storage}/download-url"
            self._tasks.repeat("post", path, what=what, parameters=parameters, warn=warn)
        except HypervisorError as error:
            if _OLD.search(error.details):
                error.resolution = (
                    "this Proxmox VE does not take images as import content yet (8.4 does): bring the image onto a "
                    f"storage another way, as {image.file_name}, and name it: --image STORAGE:import/NAME.qcow2; or "
                    "update Proxmox VE"
                )
            raise

    def upload_seed(self, seed: SeedRequest, *, pve_node: PveNodeName, storage: StorageName, warn: Warn) -> None:
        """See `TemplateMaker.upload_seed`."""
        what = f"upload {seed.file_name} to {storage} on {pve_node}"
        path = f"nodes/{pve_node}/storage/{storage}/upload"
        data = seed_iso(seed)

        def send() -> None:
            parameters = cast("Mapping[str, str | int]", {"content": "iso", "filename": _Upload(data, seed.file_name)})
            self._tasks.run("post", path, what=what, parameters=parameters, warn=warn)

        self._api.retry(send)

    def create(self, request: BuilderRequest, *, warn: Warn) -> None:
        """See `TemplateMaker.create`. In a resource pool the tags are set after, as for marker VMs."""
        parameters: dict[str, str | int] = {
            **request.settings,
            "vmid": request.vmid,
            "name": request.name,
            "description": request.description,
            "scsi0": f"{request.storage}:0,import-from={request.image},discard=on",
            request.cd_drive: f"{request.seed},media=cdrom",
            "boot": "order=scsi0",
            "smbios1": f"uuid={request.smbios_uuid}",
        }
        tagging = {"tags": ";".join(request.tags)}
        parameters |= tagging if request.resource_pool is None else {"pool": request.resource_pool}
        what = f"make VM {request.vmid} ({request.name}) on {request.pve_node} of {request.image}"
        self._tasks.repeat("post", f"nodes/{request.pve_node}/qemu", what=what, parameters=parameters, warn=warn)
        if request.resource_pool is not None:
            self.tag(request.vmid, pve_node=request.pve_node, tags=request.tags)

    def tag(self, vmid: Vmid, *, pve_node: PveNodeName, tags: tuple[str, ...]) -> None:
        """See `TemplateMaker.tag`."""
        builder = self._guests.at(vmid, pve_node)
        self._api.put(f"{builder.path}/config", what=f"tag {builder}", parameters={"tags": ";".join(tags)})

    def describe(self, vmid: Vmid, *, pve_node: PveNodeName, description: str) -> None:
        """See `TemplateMaker.describe`."""

        def act(vm: GuestAt) -> None:
            what = f"write the description of {vm}"
            self._api.put(f"{vm.path}/config", what=what, parameters={"description": description})

        self._guests.follow(vmid, pve_node, act)

    def seal(self, vmid: Vmid, *, pve_node: PveNodeName, drive: str, storage: StorageName, description: str) -> None:
        """See `TemplateMaker.seal`. The ISO is only a reference, so nothing of it remains in the config."""

        def act(vm: GuestAt) -> None:
            what, path = f"give {vm} a cloud-init drive", f"{vm.path}/config"
            parameters = {drive: f"{storage}:cloudinit", "description": description}
            self._api.put(path, what=what, parameters=parameters)
            config = configs.scalars(self._api.read(path, what=f"read back {vm}"))
            if configs.cloud_init_drive(config) != drive:
                raise HypervisorError(f"cannot {what}", details=f"{drive} is {config.get(drive)}")

        self._guests.follow(vmid, pve_node, act)

    def convert(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `TemplateMaker.convert`."""

        def act(vm: GuestAt) -> None:
            what = f"make a template of {vm}"
            try:
                self._tasks.repeat("post", f"{vm.path}/template", what=what, parameters={}, warn=warn)
            except HypervisorError as error:
                if "convert a template to a template" not in error.details:
                    raise
            config = self._api.read(f"{vm.path}/config", what=f"read back {vm}")
            if not config.at("template").flag():
                raise HypervisorError(f"cannot {what}", details="the task ended well, but it is no template")

        self._guests.follow(vmid, pve_node, act)

    def remove_volume(self, volume: str, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `TemplateMaker.remove_volume`."""
        storage = volume.partition(":")[0]
        path = f"nodes/{pve_node}/storage/{storage}/content/{quote(volume, safe='')}"
        self._tasks.repeat("delete", path, what=f"remove {volume} on {pve_node}", parameters={}, warn=warn)

    def _list(self, pve_node: PveNodeName) -> Iterable[ListedGuest]:
        try:
            listing = self._api.read(f"nodes/{pve_node}/qemu", what=f"list the VMs of {pve_node}")
        except PermissionDeniedError:
            return ()
        return answers.rows(listing, lambda row: listed_guest(row, kind="qemu", pve_node=pve_node))

    def _with_config(self, vm: ListedGuest) -> _Listed:
        """A VM with its config.

        A VM that the token may not see, or that is gone, has no known disk on a template's.
        """
        path, what = f"nodes/{vm.pve_node}/qemu/{vm.vmid}/config", f"read the config of {vm.vmid} on {vm.pve_node}"
        try:
            config = self._api.read(path, what=what)
            return _Listed(vm=vm, config=configs.scalars(config))
        except (PermissionDeniedError, VmNotFoundError):
            return _Listed(vm=vm, config={})
        except UnreadableError as error:
            return _Listed(vm=vm, config={}, problem=error.details)


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """A VM with its config, which is empty where it cannot be read; `problem` says why it is invalid."""

    vm: ListedGuest
    config: configs.Config
    problem: str = ""

    @property
    def name(self) -> str:
        return str(self.config.get("name") or answers.blank(self.vm.row.at("name")))

    def skipped_line(self, problem: str) -> str:
        return skipped_line(replace(self.vm.record, problem=problem))


def _users(read: Iterable[_Listed]) -> dict[int, list[str]]:
    """Templates' VMIDs, each with its linked clones."""
    found: dict[int, list[str]] = {}
    for each in sorted(read, key=lambda each: each.vm.vmid):
        volumes = [configs.volume(drive) for drive in configs.drives(each.config).values()]
        for base in {int(on[1]) for on in map(_STANDS_ON.search, volumes) if on}:
            found.setdefault(base, []).append(f"{each.vm.vmid} ({each.name or '-'})")
    return found


def _template(listed: _Listed, users: Mapping[int, Iterable[str]], *, proof: Proof) -> TemplateVm | str | None:
    """The template, or the builder, that a VM is; None for others, also for those that lost the tag.

    For one that cannot be read, the line that says so.

    In a resource pool a builder has no tag before it is in the pool; it has not been started then.
    """
    vmid, config = listed.vm.vmid, listed.config
    if listed.problem:
        return listed.skipped_line(listed.problem)
    running = listed.vm.row.at("status").value == "running"
    description = configs.setting(config, "description")
    try:
        record = read_template(description)
    except UnreadableError as error:
        return listed.skipped_line(f"its record cannot be read: {error.details}")
    if record is None or record.vmid != vmid:
        return None
    template, name = bool(config.get("template")), configs.setting(config, "name")
    fresh = record.state is BuildState.BUILDING and not (running or template)
    if not fresh and TEMPLATE_TAG not in configs.tags(config.get("tags")):
        return None
    return TemplateVm(
        vmid=vmid,
        name=name,
        pve_node=listed.vm.pve_node,
        template=template,
        running=running,
        record=record,
        users=tuple(users.get(vmid, ())),
        smbios_uuid=configs.smbios_uuid(config),
        description=description,
        doubt=proof.doubt_about_template(vmid, name, description, config),
    )
