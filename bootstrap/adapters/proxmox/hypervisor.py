"""The `Hypervisor` port on a real Proxmox VE (or the lab's): proxmoxer over HTTPS."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.adapters.proxmox.guests.cloning import Cloning
from bootstrap.adapters.proxmox.guests.locations import WORDS, Whereabouts
from bootstrap.adapters.proxmox.guests.markers import ProxmoxMarkers
from bootstrap.adapters.proxmox.guests.power import Guest, Power
from bootstrap.adapters.proxmox.guests.record_proof import Proof
from bootstrap.adapters.proxmox.guests.templates import ProxmoxTemplates
from bootstrap.adapters.proxmox.observe import cluster_reading, container_host_keys, named_things, privileges
from bootstrap.errors import (
    AgentNotRunningError,
    HypervisorError,
    InterruptedRunError,
    PermissionDeniedError,
    TransientError,
    VmidTakenError,
    VmNotFoundError,
)
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, MachineName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OsTemplate, PveVersion, VmRecord
from bootstrap.model.rights import MissingPrivileges, RightsNeeded
from bootstrap.ports import CloneRequest, ContainerRequest, GuestInterface, PveFacts, Warn
from bootstrap.proxmox import sent_settings as vm_settings
from bootstrap.proxmox.reading import answers, configs, containers, guest_agent
from bootstrap.proxmox.rights import grants

_OVERRULE_SINCE = (8, 3)
"""Since then `stop` can end a `shutdown` that is under way, instead of waiting for its lock in vain."""

_CHANGED = "something else is changing the VM; run the command again"
_SHRINKING = "shrinking disks is not supported"

T = TypeVar("T")


class ProxmoxHypervisor:
    """Implements `bootstrap.ports.Hypervisor`; safe to use from many threads.

    Transient failures are retried here, nowhere else: reads, and requests that were not carried out (a lock that was
    not had in time counts, even if a task says so). A task that ran and failed is not. A VM that is not where it was
    seen is looked for in the whole Proxmox cluster, and acted on where it is (`Whereabouts`).

    Attributes:
        markers: Marker VMs, over the same connections.
        templates: Images and templates, over the same connections.
    """

    def __init__(
        self,
        api: Api,
        tasks: Tasks,
        *,
        cloning: Cloning,
        whereabouts: Whereabouts,
        power: Power,
        proof: Proof,
        stop: threading.Event,
    ) -> None:
        self._api = api
        self._tasks = tasks
        self._cloning = cloning
        self._whereabouts = whereabouts
        self._power = power
        self._proof = proof
        self._stop = stop
        self.markers = ProxmoxMarkers(api, tasks)
        self.templates = ProxmoxTemplates(api, tasks, whereabouts, proof=proof)
        self._guard = threading.Lock()
        self._version: PveVersion | None = None
        self._names: dict[Vmid, str] = {}
        self._containers: set[Vmid] = set()
        self._managed: set[Vmid] = set()
        # An unanswered call holds one of the Proxmox node's three API workers for 3 s.
        self._agent_calls: defaultdict[PveNodeName, threading.Lock] = defaultdict(threading.Lock)

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        """See `Hypervisor.observe`. Of `/cluster/resources` only what no Proxmox node's own list has is used."""
        facts = cluster_reading.observe(
            self._api, version=self._read_version(), proof=self._proof, cluster=cluster, vmids=vmids
        )
        with self._guard:
            self._names.update({template.vmid: template.name for template in facts.templates})
        for vm in facts.vms:
            self._learn_vm(vm)
        return facts

    def machines(self) -> tuple[VmRecord, ...]:
        """See `Hypervisor.machines`. Proxmox VE's own lists tell the tags, so that strangers' configs are not read."""
        found = tuple(self._proof.of_one(vm) for vm in cluster_reading.machines(self._api))
        for vm in found:
            self._learn(vm.vmid, vm.name, vm.kind)
        return found

    def ostemplates(self) -> tuple[OsTemplate, ...]:
        """See `Hypervisor.ostemplates`. Needs Datastore.Audit or Datastore.AllocateSpace on their storage."""
        return named_things.list_ostemplates(self._api)

    def cpu_types(self, pve_node: PveNodeName) -> frozenset[str]:
        """See `Hypervisor.cpu_types`."""
        return named_things.cpu_types(self._api, pve_node)

    def has_resource_pool(self, name: str) -> bool:
        """See `Hypervisor.has_resource_pool`."""
        return named_things.has_resource_pool(self._api, name)

    def package_versions(self, pve_node: PveNodeName) -> Mapping[str, str]:
        """See `Hypervisor.package_versions`."""
        return named_things.package_versions(self._api, pve_node)

    def missing_privileges(self, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
        """See `Hypervisor.missing_privileges`. A token may always ask for its own rights."""
        shown = {each.partition("/")[0] for each in grants.bridges_of(rights)}
        zones = named_things.vnet_zones(self._api) if not rights.vnets.isdisjoint(shown) else {}
        return privileges.missing(self._api, rights, version=self._read_version(), zones=zones)

    def held_privileges(self) -> tuple[str, ...]:
        """See `Hypervisor.held_privileges`. A token may always ask for its own rights."""
        return privileges.held(self._api)

    def read_vm(self, vmid: Vmid, *, pve_node: PveNodeName) -> VmRecord:
        """See `Hypervisor.read_vm`."""
        kind = self._kind(vmid)
        read = configs.vm_record if kind is MachineKind.VM else containers.container_record

        def act(where: PveNodeName) -> VmRecord:
            what, base = f"read {self._label(vmid, where)}", self._path(vmid, where)
            config = self._api.read(f"{base}/config", what=what)
            status = self._api.read(f"{base}/status/current", what=what)
            row = {**{key: told.value for key, told in status.entries()}, "vmid": vmid}
            return read(config, row=replace(status, value=row), pve_node=where)

        record = self._proof.of_one(self._follow(vmid, pve_node, act))
        self._learn_vm(record)
        return record

    def is_free(self, vmid: Vmid) -> bool:
        """See `Hypervisor.is_free`."""
        try:
            self._cloning.ask_for(vmid, what=f"ask whether vmid {vmid} is free")
        except VmidTakenError:
            return False
        return True

    def clone(self, request: CloneRequest, *, warn: Warn) -> None:
        """See `Hypervisor.clone`."""
        self._whereabouts.forget(request.vmid)
        self._learn(request.vmid, request.name, MachineKind.VM)
        what = f"clone template {request.template} to {self._label(request.vmid, request.pve_node)}"
        self._cloning.clone(request, what=what, warn=warn)

    def create_container(self, request: ContainerRequest, *, warn: Warn) -> None:
        """See `Hypervisor.create_container`."""
        self._whereabouts.forget(request.vmid)
        self._learn(request.vmid, request.name, MachineKind.LXC)
        label = self._label(request.vmid, request.pve_node)
        self._cloning.create(request, what=f"create {label} of {request.settings.get('ostemplate')}", warn=warn)

    def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
        """See `Hypervisor.configure`. What was written is read back.

        A setting that makes a disk is sent only where the disk is not there yet, with the digest of that config: no
        request whose answer was lost, or that is still under way, makes a second one.

        Raises:
            HypervisorError: Proxmox VE accepted the settings but did not keep them.
        """
        encoded = vm_settings.encode(settings)
        disks = vm_settings.new_disks(settings)

        def act(where: PveNodeName) -> None:
            label, path = self._label(vmid, where), f"{self._path(vmid, where)}/config"
            what = f"configure {label}"
            if disks:
                self._api.retry(lambda: self._put_with_disks(encoded, disks, path, label))
            else:
                self._api.retry(lambda: self._api.send("put", path, what=what, parameters=encoded))
            config = self._api.read(path, what=f"read back the config of {label}")
            wrong = vm_settings.not_kept(settings, configs.scalars(config))
            if wrong:
                raise HypervisorError(
                    f"cannot {what}: Proxmox VE did not keep {', '.join(wrong)}",
                    details="\n".join(
                        f"{key}: asked for {settings.get(key)}, found {found}" for key, found in wrong.items()
                    ),
                    resolution=_CHANGED,
                )

        self._follow(vmid, pve_node, act)

    def _put_with_disks(self, settings: Mapping[str, str | int], disks: frozenset[str], path: str, label: str) -> None:
        """One attempt to send settings some of which make disks.

        Raises:
            TransientError: The config has changed since it was read: nothing was done.
        """
        config = self._api.read(path, what=f"read the disks of {label}")
        there = {key for key, _ in config.entries()}
        parameters = {key: value for key, value in settings.items() if key not in disks & there}
        if not parameters:
            return
        try:
            digest = config.at("digest").text()
            self._api.send("put", path, what=f"configure {label}", parameters={**parameters, "digest": digest})
        except HypervisorError as error:
            if "checksum mismatch" not in error.details:
                raise
            raise TransientError(error.brief, details=error.details, resolution=_CHANGED) from error

    def grow_disk(self, vmid: Vmid, *, pve_node: PveNodeName, disk: str, size_gib: int, warn: Warn) -> None:
        """See `Hypervisor.grow_disk`. The size is absolute, so a repeated request does no harm."""
        parameters = {"disk": disk, "size": f"{size_gib}G"}

        def act(where: PveNodeName) -> None:
            what = f"grow {disk} of {self._label(vmid, where)} to {size_gib} GiB"
            path = f"{self._path(vmid, where)}/resize"
            try:
                self._api.retry(
                    lambda: self._tasks.run("put", path, what=what, pve_node=where, parameters=parameters, warn=warn)
                )
            except HypervisorError as error:
                # It is larger already: no look before, since who calls this has just seen that it is smaller.
                if _SHRINKING not in error.details:
                    raise
            grown_gib = self._disk_gib(vmid, where, disk)
            if grown_gib < size_gib:
                raise HypervisorError(f"cannot {what}", details=f"the task ended well, but {disk} has {grown_gib} GiB")

        self._follow(vmid, pve_node, act)

    def start(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.start`."""
        self._power.start(self._guest(vmid, pve_node), warn=warn)

    def resume(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.resume`."""
        self._power.resume(self._guest(vmid, pve_node), warn=warn)

    def shutdown(self, vmid: Vmid, *, pve_node: PveNodeName, timeout_s: int, warn: Warn) -> None:
        """See `Hypervisor.shutdown`."""
        self._power.shutdown(self._guest(vmid, pve_node), timeout_s=timeout_s, warn=warn)

    def stop(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.stop`. A shutdown that is under way is overruled, where this Proxmox VE can."""
        version = self._read_version()
        can_overrule = (version.major, version.minor) >= _OVERRULE_SINCE
        with self._guard:
            managed = vmid in self._managed
        self._power.stop(self._guest(vmid, pve_node), overrule=can_overrule and not managed, warn=warn)

    def destroy(self, vmid: Vmid, *, pve_node: PveNodeName, warn: Warn) -> None:
        """See `Hypervisor.destroy`. Disks that the VM's config does not name are left alone."""
        self._power.destroy(self._guest(vmid, pve_node), warn=warn)

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        """See `Hypervisor.guest_interfaces`."""
        if self._kind(vmid) is MachineKind.LXC:
            return self._follow(vmid, pve_node, lambda where: self._container_interfaces(vmid, where))

        def act(where: PveNodeName) -> tuple[GuestInterface, ...]:
            what = f"read the addresses of {self._label(vmid, where)} from its guest agent"
            answer = self._ask_agent("network-get-interfaces", vmid, where, what, {})
            return guest_agent.parse_interfaces(answer, what=what)

        return self._follow(vmid, pve_node, act)

    def read_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str) -> str:
        """See `Hypervisor.read_guest_file`."""

        def act(where: PveNodeName) -> str:
            what = f"read {path} of {self._label(vmid, where)} through its guest agent"
            return guest_agent.parse_file(self._ask_agent("file-read", vmid, where, what, {"file": path}), what=what)

        return self._follow(vmid, pve_node, act)

    def write_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str, content: str) -> None:
        """See `Hypervisor.write_guest_file`. Written twice it is the same, so a lost answer is asked for again."""

        def act(where: PveNodeName) -> None:
            what = f"write {path} of {self._label(vmid, where)} through its guest agent"
            self._ask_agent("file-write", vmid, where, what, {"file": path, "content": content}, method="post")

        self._follow(vmid, pve_node, act)

    def container_host_key(self, vmid: Vmid, *, pve_node: PveNodeName) -> str | None:
        """See `Hypervisor.container_host_key`."""
        return self._follow(
            vmid, pve_node, lambda where: container_host_keys.told_when_made(self._api, vmid, pve_node=where)
        )

    def _container_interfaces(self, vmid: Vmid, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        """No guest agent is in between, and nothing waits: Proxmox VE looks into the container itself.

        It looks at the Proxmox node's own processes alone: of one that moved it says what it says of one that is off.
        """
        what = f"read the addresses of {self._label(vmid, pve_node)}"
        try:
            rows = self._api.read(f"{self._path(vmid, pve_node)}/interfaces", what=what)
        except (PermissionDeniedError, VmNotFoundError):
            raise
        except HypervisorError as error:
            if self.read_vm(vmid, pve_node=pve_node).running:
                raise AgentNotRunningError(f"cannot {what}", details=error.details) from error
            rows = answers.answer(None, what=what)
        found = containers.parse_interfaces(rows)
        if found is None:
            where = self.read_vm(vmid, pve_node=pve_node).pve_node
            if where != pve_node:
                return self._container_interfaces(vmid, where)
            raise AgentNotRunningError(f"cannot {what}", details=f"CT {vmid} is not running")
        return found

    def close(self) -> None:
        """Close the connections to Proxmox VE. The owner calls it; it is no part of the port."""
        self._api.close()

    def _ask_agent(
        self,
        command: str,
        vmid: Vmid,
        pve_node: PveNodeName,
        what: str,
        parameters: Mapping[str, str],
        method: str = "get",
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        with self._guard:
            lock = self._agent_calls[pve_node]
        path = f"{self._path(vmid, pve_node)}/agent/{command}"

        def attempt() -> Any:  # noqa: ANN401 - JSON of any shape
            with lock:
                if self._stop.is_set():
                    raise InterruptedRunError(f"interrupted before the call to {what}")
                return self._api.send(method, path, what=what, parameters=parameters)

        return self._api.retry(attempt)

    def _disk_gib(self, vmid: Vmid, pve_node: PveNodeName, disk: str) -> int:
        label = self._label(vmid, pve_node)
        config = self._api.read(f"{self._path(vmid, pve_node)}/config", what=f"read the disks of {label}")
        found = config.at(disk).text("")
        if not found:
            raise HypervisorError(f"{label} has no disk {disk}")
        return configs.whole_gib(found)

    def _read_version(self) -> PveVersion:
        if self._version is None:
            self._version = cluster_reading.read_version(self._api)
        return self._version

    def _label(self, vmid: Vmid, pve_node: PveNodeName) -> str:
        """How errors name a VM or container: `VM 7001 (demo-cp-1) on pve1`, `CT 7002 (demo-light-1) on pve1`."""
        with self._guard:
            name = self._names.get(vmid)
            word = "CT" if vmid in self._containers else "VM"
        return f"{word} {vmid} ({name}) on {pve_node}" if name else f"{word} {vmid} on {pve_node}"

    def _follow(self, vmid: Vmid, pve_node: PveNodeName, act: Callable[[PveNodeName], T]) -> T:
        """Act on a VM where it is now."""
        return self._whereabouts.follow(vmid, pve_node, act, kind=self._kind(vmid))

    def _guest(self, vmid: Vmid, pve_node: PveNodeName) -> Guest:
        return Guest(vmid=vmid, kind=self._kind(vmid), pve_node=pve_node, name=lambda where: self._label(vmid, where))

    def _learn_vm(self, vm: VmRecord) -> None:
        self._learn(vm.vmid, vm.name, vm.kind)
        self._whereabouts.learn(vm)
        with self._guard:
            if vm.ha_managed:
                self._managed.add(vm.vmid)
            else:
                self._managed.discard(vm.vmid)

    def _learn(self, vmid: Vmid, name: MachineName | str, kind: MachineKind) -> None:
        with self._guard:
            self._names[vmid] = name
            if kind is MachineKind.LXC:
                self._containers.add(vmid)
            else:
                self._containers.discard(vmid)

    def _kind(self, vmid: Vmid) -> MachineKind:
        """What a vmid is, as far as is known: one that nobody has told of is asked for as a VM, and not found."""
        with self._guard:
            return MachineKind.LXC if vmid in self._containers else MachineKind.VM

    def _path(self, vmid: Vmid, pve_node: PveNodeName) -> str:
        return f"nodes/{pve_node}/{WORDS[self._kind(vmid)]}/{vmid}"
