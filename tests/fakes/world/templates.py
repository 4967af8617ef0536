"""Images, ISOs and templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.errors import PermissionDeniedError, VmidTakenError
from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.ports import BuilderRequest, SeedRequest, Warn
from bootstrap.records.vms.seal import Bearer
from bootstrap.records.vms.template import CloudImage, TemplateVm, doubt_about_template, parse_template
from tests.fakes.keys import FakeKeys
from tests.fakes.world.vm import FakeVm

if TYPE_CHECKING:
    from tests.fakes.world.world import World


def template_doubt(vm: FakeVm, keys: FakeKeys) -> str:
    bearer = Bearer(vmid=vm.vmid, name=vm.name, identity=vm.smbios_uuid)
    return doubt_about_template(vm.description, bearer=bearer, keys=keys.templates())


@dataclass
class FakeTemplates:
    """A template is a VM of the world that is in `converted`; `users` says whose disks stand on which."""

    world: World

    def find_image(self, text: str, *, arch: str, checksum: str) -> CloudImage:
        if self.world.no_checksums:
            return CloudImage(name=text, url=f"https://images.test/{text}-{arch}.qcow2")
        return CloudImage(name=text, url=f"https://images.test/{text}-{arch}.qcow2", checksum=self.world.image_checksum)

    def templates(self) -> tuple[TemplateVm, ...]:
        world = self.world
        with world.lock:
            found = [(vm, parse_template(vm.description, vmid=vm.vmid)) for vm in world.vms.values()]
            doubts = {vm.vmid: template_doubt(vm, world.keys) for vm, record in found if record is not None}
        return tuple(
            TemplateVm(
                vmid=vm.vmid,
                name=vm.name,
                pve_node=vm.pve_node,
                template=vm.vmid in world.converted,
                running=vm.running,
                record=record,
                users=world.users.get(vm.vmid, ()),
                smbios_uuid=vm.smbios_uuid,
                description=vm.description,
                doubt=doubts[vm.vmid],
            )
            for vm, record in found
            if record is not None
        )

    def volumes(self, pve_node: PveNodeName, storage: StorageName, *, content: str) -> frozenset[str]:
        with self.world.lock:
            return frozenset(
                volume
                for node, volume in self.world.volumes
                if node == pve_node and volume.startswith(f"{storage}:{content}/")
            )

    def download(self, image: CloudImage, *, pve_node: PveNodeName, storage: StorageName, warn: Warn) -> None:
        volume = (pve_node, f"{storage}:import/{image.file_name}")
        if volume in self.world.volumes:
            # Proxmox VE compares it with the checksum, and fetches it again where it differs (PVE::Tools).
            self.world.log(f"check {image.name} on {pve_node}")
            if volume in self.world.tampered:
                self.world.tampered.discard(volume)
                self.world.log(f"download {image.name} on {pve_node}")
            return
        self.world.log(f"download {image.name} on {pve_node}")
        self._put(pve_node, f"{storage}:import/{image.file_name}")

    def upload_seed(self, seed: SeedRequest, *, pve_node: PveNodeName, storage: StorageName, warn: Warn) -> None:
        self.world.log(f"upload {seed.file_name}")
        self._put(pve_node, f"{storage}:iso/{seed.file_name}")

    def _put(self, pve_node: PveNodeName, volume: str) -> None:
        with self.world.lock:
            self.world.volumes.add((pve_node, volume))
            self.world.tampered.discard((pve_node, volume))
        self.world.on_call(f"put {volume}")

    def create(self, request: BuilderRequest, *, warn: Warn) -> None:
        world = self.world
        with world.lock:
            if request.vmid in world.vms.keys() | world.hidden:
                raise VmidTakenError(f"vmid {request.vmid} is taken")
            assert {(request.pve_node, request.image), (request.pve_node, request.seed)} <= world.volumes
            vm = FakeVm(vmid=request.vmid, name=request.name, pve_node=request.pve_node)
            vm.description, vm.tags = request.description, ";".join(request.tags)
            vm.smbios_uuid = request.smbios_uuid
            vm.settings = {**request.settings, request.cd_drive: request.seed}
            world.vms[request.vmid] = vm
        world.log(f"create {request.name}")

    def tag(self, vmid: Vmid, *, pve_node: PveNodeName, tags: tuple[str, ...]) -> None:
        self.world.vms[vmid].tags = ";".join(tags)
        self.world.log(f"tag {self.world.vms[vmid].name}")

    def describe(self, vmid: Vmid, *, pve_node: PveNodeName, description: str) -> None:
        self.world.vms[vmid].description = description
        record = parse_template(description, vmid=vmid)
        self.world.log(f"describe {record.state.value if record else ''}")

    def seal(self, vmid: Vmid, *, pve_node: PveNodeName, drive: str, storage: StorageName, description: str) -> None:
        vm = self.world.vms[vmid]
        vm.description = description
        vm.settings[drive] = f"{storage}:cloudinit"
        self.world.log(f"seal {vm.name}")

    def convert(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self.world.vms[vmid]
        assert not vm.running
        self.world.converted.add(vmid)
        self.world.log(f"convert {vm.name}")

    def remove_volume(self, volume: str, *, pve_node: PveNodeName, warn: Warn) -> None:
        if self.world.keeps_volumes:
            raise PermissionDeniedError(f"may not remove {volume}", resolution="grant it")
        with self.world.lock:
            self.world.volumes.discard((pve_node, volume))
        self.world.log(f"remove {volume}")
