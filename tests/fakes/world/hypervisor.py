"""Proxmox VE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from bootstrap.errors import (
    AgentNotConfiguredError,
    AgentNotRunningError,
    HypervisorError,
    PermissionDeniedError,
    TransientError,
    VmidTakenError,
    VmNotFoundError,
    VmOutOfSightError,
)
from bootstrap.execution.guests.host_keys import HOST_KEY_FILE, fingerprint
from bootstrap.model.access.rights import MissingPrivileges, RightsNeeded
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OWNER_TAG, GuestInterface, OsTemplate, PveNodeFacts, UnreachableVm, VmRecord
from bootstrap.ports import GUEST_FILE_MAX, CloneRequest, ContainerRequest, PveFacts, Warn
from bootstrap.records.vms.proof import Evidence, doubt_about
from tests.fakes.world.vm import AUTHORIZED_KEYS, FakeVm

if TYPE_CHECKING:
    from tests.fakes.world.world import World


@dataclass
class FakeHypervisor:
    world: World

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        world = self.world
        if world.observe_error is not None:
            raise world.observe_error
        with world.lock:
            found = [self._seen(vm) for vm in world.vms.values() if vm.vmid not in world.converted]
            records = [vm for vm in found if vm.pve_node not in world.unasked]
            running = [vm for vm in records if vm.running or vm.onboot]
        nodes = [
            replace(
                facts,
                committed_cores=facts.committed_cores + sum(vm.cores for vm in running if vm.pve_node == facts.name),
                committed_memory_mib=facts.committed_memory_mib
                + sum(vm.memory_mib for vm in running if vm.pve_node == facts.name),
            )
            if facts.name not in world.unasked
            else PveNodeFacts(name=facts.name, online=False, problem=world.unasked[facts.name])
            for facts in world.pve_nodes
        ]
        return PveFacts(
            version=world.version,
            pve_nodes=tuple(nodes),
            templates=tuple(
                template
                for template in (*world.templates, *world.made_templates())
                if template.pve_node not in world.unasked
            ),
            vms=tuple(
                vm
                for vm in records
                if vm.vmid in vmids
                or vm.record is not None
                or OWNER_TAG in vm.tags
                or vm.name.startswith(f"{cluster}-")
            ),
            lost_quorum=world.lost_quorum,
            used_vmids=frozenset(world.vms) | {template.vmid for template in world.templates},
            unreachable=tuple(
                UnreachableVm(
                    vmid=vm.vmid,
                    name="" if world.nameless else vm.name,
                    pve_node=vm.pve_node,
                    tags=vm.tags,
                    kind=vm.kind,
                    why=world.unasked[vm.pve_node] or "offline",
                )
                for vm in found
                if vm.pve_node in world.unasked and OWNER_TAG in vm.tags
            ),
        )

    def machines(self) -> tuple[VmRecord, ...]:
        with self.world.lock:
            records = [self._seen(vm) for vm in self.world.vms.values()]
        return tuple(self._as_seen(vm) for vm in records if OWNER_TAG in vm.tags)

    def _seen(self, vm: FakeVm) -> VmRecord:
        """A VM, its record checked."""
        evidence = Evidence(
            key=self.world.keys.find,
            lock_keys=self.world.keys.locks,
            is_our_clone=lambda _vm: vm.our_clone and not vm.boots,
            resource_pool=self.world.pools.get,
        )
        record = vm.record()
        return replace(record, doubt=doubt_about(record, evidence))

    def _as_seen(self, vm: VmRecord) -> VmRecord:
        """On a Proxmox node that cannot be asked nothing but vmid, tags and perhaps the name is known."""
        if vm.pve_node not in self.world.unasked:
            return vm
        name = "" if self.world.nameless else vm.name
        return VmRecord(vmid=vm.vmid, name=name, pve_node=vm.pve_node, running=False, tags=vm.tags, kind=vm.kind)

    def ostemplates(self) -> tuple[OsTemplate, ...]:
        return self.world.ostemplates

    def cpu_types(self, pve_node: PveNodeName) -> frozenset[str]:
        return self.world.cpu_types

    def has_resource_pool(self, name: str) -> bool:
        return name in self.world.resource_pools

    def package_versions(self, pve_node: PveNodeName) -> Mapping[str, str]:
        return self.world.packages.get(pve_node, {})

    def missing_privileges(self, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
        return self.world.missing + (self.world.missing_to_build if rights.builds else ())

    def held_privileges(self) -> tuple[str, ...]:
        return self.world.held

    def is_free(self, vmid: Vmid) -> bool:
        world = self.world
        return vmid not in world.vms.keys() | world.hidden | {template.vmid for template in world.templates}

    def read_vm(self, vmid: Vmid, *, pve_node: PveNodeName) -> VmRecord:
        with self.world.lock:
            return self._seen(self._vm(vmid, pve_node))

    def _vm(self, vmid: Vmid, pve_node: PveNodeName) -> FakeVm:
        """The VM where it is now, as the port has it."""
        if pve_node in self.world.unasked:
            raise TransientError(f"cannot read VM {vmid} on {pve_node}", details="595 No route to host")
        vm = self.world.vms.get(vmid)
        if vm is None:
            raise VmNotFoundError(f"there is no VM {vmid} on {pve_node}")
        if vm.pve_node in self.world.unreachable:
            raise VmOutOfSightError(
                f"VM {vmid} was on {pve_node}, and {vm.pve_node} cannot be reached: it may have moved there",
                resolution=f"bring {vm.pve_node} back, then run the command again",
            )
        return vm

    def clone(self, request: CloneRequest, *, warn: Warn) -> None:
        world = self.world
        world.log(f"clone {request.name}")
        with world.lock:
            if request.vmid in world.taken_while_cloning:
                world.vms.setdefault(
                    request.vmid, FakeVm(vmid=request.vmid, name="somebody-elses", pve_node=request.pve_node)
                )
            if request.vmid in world.vms.keys() | world.hidden:
                raise VmidTakenError(f"vmid {request.vmid} is taken")
            if request.name in world.fail_clone:
                raise HypervisorError(f"{request.name}: clone failed", details="clone failed: no space left")
            vm = FakeVm(
                vmid=request.vmid,
                name=request.name,
                pve_node=request.pve_node,
                description=request.description,
                moved=world.moves,
                resource_pool=request.resource_pool,
                our_clone=True,
            )
            source = world.vms.get(request.template)
            home = next(
                (one for one in (*world.templates, *world.made_templates()) if one.vmid == request.template), None
            )
            assert home is not None
            assert home.pve_node == request.template_pve_node
            vm.tags = ";".join(sorted(home.tags))
            vm.settings.update({key: value for key, value in home.settings if key not in ("description", "tags")})
            facts = next(each for each in world.pve_nodes if each.name == request.template_pve_node)
            shared = {storage.name for storage in facts.storages if storage.shared}
            if request.template_pve_node != request.pve_node and not home.storages <= shared:
                raise HypervisorError(f"can't clone VM to node '{request.pve_node}' (VM uses local storage)")
            vm.k3s_sha256 = source.k3s_sha256 if source else world.baked
            world.vms[request.vmid] = vm
        world.on_call(f"cloned {request.name}")

    def create_container(self, request: ContainerRequest, *, warn: Warn) -> None:
        world = self.world
        world.log(f"create {request.name}")
        with world.lock:
            if request.vmid in world.vms:
                raise VmidTakenError(f"vmid {request.vmid} is taken")
            vm = FakeVm(
                vmid=request.vmid, name=request.name, pve_node=request.pve_node, description=request.description
            )
            if request.resource_pool is not None and "tags" in request.settings:
                raise PermissionDeniedError(f"{request.name}: Permission check failed ({request.vmid}, tags)")
            vm.kind, vm.resource_pool = MachineKind.LXC, request.resource_pool
            vm.settings.update(request.settings)
            vm.tags = str(request.settings.get("tags", ""))
            vm.disk_gib = int(str(request.settings["rootfs"]).rpartition(":")[2])
            world.vms[request.vmid] = vm
            world.made_with[request.vmid] = world.host_key(vm)
        world.on_call(f"created {request.name}")

    def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
        with self.world.lock:
            vm = self._vm(vmid, pve_node)
        self.world.log(f"configure {vm.name}")
        with self.world.lock:
            for key in str(settings.get("delete", "")).split(","):
                vm.settings.pop(key, None)
            vm.settings.update({key: value for key, value in settings.items() if key != "delete"})
            vm.description = str(settings.get("description", vm.description))
            vm.tags = str(settings.get("tags", vm.tags))
            if {"name", "hostname"} & settings.keys():
                vm.shown = str(settings.get("name", settings.get("hostname")))

    def grow_disk(self, vmid: Vmid, *, pve_node: PveNodeName, disk: str, size_gib: int, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"grow {vm.name}")
        vm.disk_gib = max(vm.disk_gib, size_gib)

    def start(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"start {vm.name}")
        self._wait_for_ha(vm)
        vm.running = True
        vm.boots += 1
        if vm.unit:
            self.world.began(vm)

    def resume(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"resume {vm.name}")
        if vm.resumes:
            vm.halted = ""

    def shutdown(self, vmid: Vmid, *, pve_node: PveNodeName, timeout_s: int, warn: Warn) -> None:
        self.stop(vmid, pve_node=pve_node, warn=warn)

    def stop(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"stop {vm.name}")
        self._wait_for_ha(vm)
        if vm.name in self.world.ha_starts_again:
            raise HypervisorError(f"cannot stop VM {vmid}: Proxmox HA was set to start it again")
        vm.running = False

    def _wait_for_ha(self, vm: FakeVm) -> None:
        if vm.ha_managed:
            self.world.clock.sleep(15.0)

    def destroy(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        vm = self._vm(vmid, pve_node)
        self.world.log(f"destroy {vm.name}")
        if vm.running:
            raise HypervisorError(f"VM {vmid} is running - destroy failed")
        if str(vm.settings.get("protection", 0)) == "1":
            raise HypervisorError(f"can't remove VM {vmid} - protection mode enabled")
        with self.world.lock:
            del self.world.vms[vmid]

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        vm = self._vm(vmid, pve_node)
        if vm.name in self.world.no_agent:
            raise AgentNotConfiguredError(f"{vm.name}: No QEMU guest agent configured")
        if not vm.running or vm.name in self.world.silent:
            self.world.clock.sleep(3.0)
            raise AgentNotRunningError(f"{vm.name}: no answer", details="QEMU guest agent is not running")
        loopback = GuestInterface(name="lo", mac="00:00:00:00:00:00", addresses=(IPv4Address("127.0.0.1"),))
        pods = GuestInterface(name="cni0", mac="0A:00:00:00:00:01", addresses=(IPv4Address("10.42.0.1"),))
        shared = (*vm.further, *((self.world.vip,) if vm.holds_vip and self.world.vip is not None else ()))
        own, lone = (*shared, vm.address), frozenset(shared)
        eth0 = GuestInterface(name="eth0", mac=vm.mac, addresses=own, lone=lone, addresses6=vm.addresses6)
        return (loopback, pods, eth0)

    def container_host_key(self, vmid: Vmid, *, pve_node: PveNodeName) -> str | None:
        told = self.world.made_with.get(vmid) if self.world.tells_made_keys else None
        return None if told is None else fingerprint(told).split()[1]

    def read_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str) -> str:
        vm = self._vm(vmid, pve_node)
        if path == HOST_KEY_FILE:
            return f"{self.world.host_key(vm)} root@guest\n"
        self._ask_agent_of(vm)
        return vm.guest_files.get(path) or _no_file(path)

    def write_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str, content: str) -> None:
        vm = self._vm(vmid, pve_node)
        if self.world.may_not_write_files:
            raise PermissionDeniedError(
                f"cannot write {path} of VM {vmid}", details=f"lacks VM.GuestAgent.FileWrite on /vms/{vmid}"
            )
        self._ask_agent_of(vm)
        assert content.isascii()
        assert len(content) <= GUEST_FILE_MAX
        self.world.log(f"write {path} {vm.name}")
        vm.guest_files[path] = content
        cut = self.world.cuts_writes.pop(vm.name, None)
        if cut is not None:
            vm.guest_files[path] = content[:cut]
            raise AgentNotRunningError(f"cannot write {path}", details="QEMU guest agent is not running")
        if path == AUTHORIZED_KEYS and not self.world.key_in_vain:
            self.world.refuses_key.discard(vm.name)

    def _ask_agent_of(self, vm: FakeVm) -> None:
        if not vm.running or vm.name in self.world.silent:
            raise AgentNotRunningError(f"{vm.name}: no answer", details="QEMU guest agent is not running")


def _no_file(path: str) -> str:
    text = f"Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory"
    raise AgentNotRunningError(f"cannot read {path}", details=text)
