"""Marker VMs, and who acts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.errors import HypervisorError, VmidTakenError
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.ports import Marker, Process
from bootstrap.records.vms.lock import LockRecord, marker_name, marker_tags, render_lock
from bootstrap.records.vms.seal import Bearer
from tests.fakes.keys import KEYS, FakeKeys
from tests.fakes.world.facts import PVE1
from tests.fakes.world.vm import FakeVm

if TYPE_CHECKING:
    from tests.fakes.world.world import World


@dataclass
class FakeMarkers:
    """Marker VMs among the world's VMs; a config's digest is its content's."""

    world: World

    def find(self, vmid: Vmid) -> Marker | None:
        self.world.on_look()
        with self.world.lock:
            vm = self.world.vms.get(vmid)
            return None if vm is None or vm.pve_node in self.world.unasked else self._marker(vm)

    def _marker(self, vm: FakeVm) -> Marker:
        return Marker(
            vmid=vm.vmid,
            pve_node=vm.pve_node,
            name=vm.name,
            description=vm.description,
            lock=vm.lock,
            smbios_uuid=vm.smbios_uuid,
            drives=vm.drives,
            digest=hashlib.sha1(f"{vm.name}\n{vm.tags}\n{vm.description}".encode()).hexdigest(),
        )

    def create(
        self,
        vmid: Vmid,
        *,
        pve_nodes: tuple[PveNodeName, ...],
        name: str,
        description: str,
        tags: tuple[str, ...],
        smbios_uuid: str,
        resource_pool: str | None,
    ) -> None:
        with self.world.lock:
            if vmid in self.world.vms:
                raise VmidTakenError(f"vmid {vmid} is taken")
            allowed = [facts.name for facts in self.world.pve_nodes if not pve_nodes or facts.name in pve_nodes]
            allowed = [name for name in allowed if name not in self.world.unasked]
            vm = FakeVm(vmid=vmid, name=name, pve_node=allowed[0], description=description, tags=";".join(tags))
            vm.smbios_uuid, vm.disk = smbios_uuid, None
            self.world.vms[vmid] = vm

    def rewrite(self, marker: Marker, *, name: str, description: str, tags: tuple[str, ...]) -> bool:
        with self.world.lock:
            vm = self.world.vms.get(marker.vmid)
            if vm is None or self._marker(vm).digest != marker.digest:
                return False
            vm.name, vm.description, vm.tags = name, description, ";".join(tags)
            return True

    def remove(self, marker: Marker) -> None:
        if self.world.markers_stay:
            raise HypervisorError(f"cannot remove the VM {marker.vmid}")
        with self.world.lock:
            self.world.vms.pop(marker.vmid, None)


@dataclass
class FakeProcesses:
    world: World
    who: str
    pid: int

    def this(self) -> Process:
        return Process(who=self.who, pid=self.pid, mark=f"{self.who.partition('@')[2]}/{self.pid}")

    def state(self, mark: str) -> bool | None:
        host = mark.partition("/")[0]
        return mark not in self.world.dead if host == self.who.partition("@")[2] else None

    def utc_text(self) -> str:
        return "2025-03-01 12:00:00 UTC"

    def unix_s(self) -> float:
        return 1740830400.0 + self.world.later_s


def marker_vm(record: LockRecord, *, vmid: int = 7999, tags: str | None = None, keys: FakeKeys = KEYS) -> FakeVm:
    """A marker as its holder leaves it."""
    vm = FakeVm(vmid=Vmid(vmid), name=marker_name(record.cluster), pve_node=PVE1, disk=None)
    vm.tags = ";".join(marker_tags(record.cluster)) if tags is None else tags
    vm.description = lock_text(vm, record, keys=keys)
    return vm


def lock_text(vm: FakeVm, record: LockRecord, *, keys: FakeKeys = KEYS) -> str:
    """The description of a marker that says a record."""
    bearer = Bearer(vmid=vm.vmid, name=vm.name, identity=vm.smbios_uuid)
    return render_lock(record, key=keys.need(record.cluster), bearer=bearer)
