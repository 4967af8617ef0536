"""The `Hypervisor` port on a real Proxmox VE (or the lab's): proxmoxer over HTTPS."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.tasks import Tasks
from bootstrap.adapters.proxmox.guests.cloning import Cloning
from bootstrap.adapters.proxmox.guests.markers import ProxmoxMarkers
from bootstrap.adapters.proxmox.guests.power import HA_WAIT_S, GuestPower
from bootstrap.adapters.proxmox.guests.record_proof import Proof
from bootstrap.adapters.proxmox.guests.registry import GuestAt, GuestRegistry
from bootstrap.adapters.proxmox.guests.templates import ProxmoxTemplates
from bootstrap.adapters.proxmox.observe import cluster_reading, privileges
from bootstrap.adapters.proxmox.observe.container_host_keys import from_creation_log
from bootstrap.adapters.proxmox.observe.named_things import NamedThings
from bootstrap.errors import (
    AgentNotRunningError,
    HypervisorError,
    InterruptedRunError,
    PermissionDeniedError,
    TransientError,
    VmNotFoundError,
)
from bootstrap.model.access.rights import MissingPrivileges, RightsNeeded
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
from bootstrap.ports import CloneRequest, ContainerRequest, GuestInterface, PveFacts, RecordKeys, Warn
from bootstrap.proxmox import sent_settings as vm_settings
from bootstrap.proxmox.reading import answers, configs, containers, guest_agent

_CHANGED = "something else is changing the VM; run the command again"


class ProxmoxHypervisor(GuestPower, NamedThings):
    """Implements `bootstrap.ports.Hypervisor`; safe to use from many threads.

    Only this adapter retries transient failures: reads, and requests that were not carried out (also where a task says
    that it got no lock in time). A task that ran and failed is not repeated. A VM that is not where it was seen is
    looked for in the whole Proxmox cluster, and acted on where it is (`GuestRegistry`).

    Args:
        api: The Proxmox VE API.
        keys: Check the records that VMs carry.
        pools: The resource pool that a cluster's machines have to be in, where there is one.
        task_timeout_s: How long one Proxmox task may take.
        ha_wait_s: How long Proxmox HA may take to start or stop a VM that it manages.

    Attributes:
        markers: Marker VMs, over the same connections.
        templates: Images and templates, over the same connections.
    """

    def __init__(
        self,
        api: Api,
        *,
        keys: RecordKeys,
        pools: Mapping[ClusterName, str],
        task_timeout_s: float,
        ha_wait_s: float = HA_WAIT_S,
    ) -> None:
        tasks, guests = Tasks(api, timeout_s=task_timeout_s), GuestRegistry(api)
        super().__init__(api, tasks, guests, ha_wait_s=ha_wait_s)
        self._cloning = Cloning(api, tasks)
        self._proof = Proof(api, keys=keys, pools=pools, cloning=self._cloning)
        self.markers = ProxmoxMarkers(api, tasks)
        self.templates = ProxmoxTemplates(api, tasks, guests, proof=self._proof)
        self._guard = threading.Lock()
        # An unanswered call holds one of the Proxmox node's three API workers for 3 s.
        self._agent_calls: defaultdict[PveNodeName, threading.Lock] = defaultdict(threading.Lock)

    def observe(self, *, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
        """See `Hypervisor.observe`. Of `/cluster/resources` only what no Proxmox node's own list has is used."""
        facts = cluster_reading.observe(self._api, proof=self._proof, cluster=cluster, vmids=vmids)
        for template in facts.templates:
            self._guests.learn_name(template.vmid, template.name)
        for vm in facts.vms:
            self._guests.learn(vm)
        return facts

    def machines(self) -> tuple[VmRecord, ...]:
        """See `Hypervisor.machines`. Proxmox VE's own lists have the tags, so other guests' configs are not read."""
        found = tuple(self._proof.of_one(vm) for vm in cluster_reading.machines(self._api))
        for vm in found:
            self._guests.learn_name(vm.vmid, vm.name, vm.kind)
        return found

    def missing_privileges(self, rights: RightsNeeded) -> tuple[MissingPrivileges, ...]:
        """See `Hypervisor.missing_privileges`. A token may always ask for its own rights."""
        return privileges.missing(self._api, rights)

    def held_privileges(self) -> tuple[str, ...]:
        """See `Hypervisor.held_privileges`. A token may always ask for its own rights."""
        return privileges.held(self._api)

    def read_vm(self, vmid: Vmid, *, pve_node: PveNodeName) -> VmRecord:
        """See `Hypervisor.read_vm`."""
        is_vm = self._guests.kind(vmid) is MachineKind.VM
        read = configs.vm_record if is_vm else containers.container_record

        def act(guest: GuestAt) -> VmRecord:
            config = self._api.read(f"{guest.path}/config", what=f"read {guest}")
            status = self._api.read(f"{guest.path}/status/current", what=f"read {guest}")
            row = {**{key: value.value for key, value in status.entries()}, "vmid": vmid}
            return read(config, row=replace(status, value=row), pve_node=guest.pve_node)

        record = self._proof.of_one(self._guests.follow(vmid, pve_node, act))
        self._guests.learn(record)
        return record

    def is_free(self, vmid: Vmid) -> bool:
        """See `Hypervisor.is_free`."""
        return self._guests.is_free(vmid)

    def clone(self, request: CloneRequest, *, warn: Warn) -> None:
        """See `Hypervisor.clone`."""
        guest = self._about_to_make(request, MachineKind.VM)
        self._cloning.clone(request, what=f"clone template {request.template} to {guest}", warn=warn)

    def create_container(self, request: ContainerRequest, *, warn: Warn) -> None:
        """See `Hypervisor.create_container`."""
        guest = self._about_to_make(request, MachineKind.LXC)
        self._cloning.create(request, what=f"create {guest} of {request.settings.get('ostemplate')}", warn=warn)

    def _about_to_make(self, request: CloneRequest | ContainerRequest, kind: MachineKind) -> GuestAt:
        self._guests.forget(request.vmid)
        self._guests.learn_name(request.vmid, request.name, kind)
        return self._guests.at(request.vmid, request.pve_node)

    def configure(self, vmid: Vmid, *, pve_node: PveNodeName, settings: Mapping[str, str | int]) -> None:
        """See `Hypervisor.configure`. What was written is read back.

        A setting that makes a disk is sent only where the disk is not there yet, with the digest of that config: no
        request whose answer was lost, or that is still under way, makes a second one.

        Raises:
            HypervisorError: Proxmox VE accepted the settings but did not keep them.
        """
        encoded = vm_settings.encode(settings)
        disks = vm_settings.new_disks(settings)

        def act(guest: GuestAt) -> None:
            path, what = f"{guest.path}/config", f"configure {guest}"
            if disks:
                self._api.retry(lambda: self._put_with_disks(encoded, disks, guest))
            else:
                self._api.put(path, what=what, parameters=encoded)
            config = self._api.read(path, what=f"read back the config of {guest}")
            wrong = vm_settings.not_kept(settings, configs.scalars(config))
            if wrong:
                raise HypervisorError(
                    f"cannot {what}: Proxmox VE did not keep {', '.join(wrong)}",
                    details="\n".join(
                        f"{key}: asked for {settings.get(key)}, found {found}" for key, found in wrong.items()
                    ),
                    resolution=_CHANGED,
                )

        self._guests.follow(vmid, pve_node, act)

    def _put_with_disks(self, settings: Mapping[str, str | int], disks: frozenset[str], guest: GuestAt) -> None:
        """One attempt to send settings some of which make disks.

        Raises:
            TransientError: The config has changed since it was read: nothing was done.
        """
        path = f"{guest.path}/config"
        config = self._api.read(path, what=f"read the disks of {guest}")
        there = {key for key, _ in config.entries()}
        parameters = {key: value for key, value in settings.items() if key not in disks & there}
        if not parameters:
            return
        try:
            digest = config.at("digest").text()
            self._api.send("put", path, what=f"configure {guest}", parameters={**parameters, "digest": digest})
        except HypervisorError as error:
            if "checksum mismatch" not in error.details:
                raise
            raise TransientError(error.brief, details=error.details, resolution=_CHANGED) from error

    def grow_disk(self, vmid: Vmid, *, pve_node: PveNodeName, disk: str, size_gib: int, warn: Warn) -> None:
        """See `Hypervisor.grow_disk`. The size is absolute, so a repeated request does no harm."""
        parameters = {"disk": disk, "size": f"{size_gib}G"}

        def act(guest: GuestAt) -> None:
            what = f"grow {disk} of {guest} to {size_gib} GiB"
            try:
                self._tasks.repeat("put", f"{guest.path}/resize", what=what, parameters=parameters, warn=warn)
            except HypervisorError as error:
                # It is larger already. No look before: the caller has just seen that it is smaller.
                if "shrinking disks is not supported" not in error.details:
                    raise
            grown_gib = self._disk_gib(guest, disk)
            if grown_gib < size_gib:
                raise HypervisorError(f"cannot {what}", details=f"the task ended well, but {disk} has {grown_gib} GiB")

        self._guests.follow(vmid, pve_node, act)

    def guest_interfaces(self, vmid: Vmid, *, pve_node: PveNodeName) -> tuple[GuestInterface, ...]:
        """See `Hypervisor.guest_interfaces`."""
        if self._guests.kind(vmid) is MachineKind.LXC:
            return self._guests.follow(vmid, pve_node, self._container_interfaces)

        def act(guest: GuestAt) -> tuple[GuestInterface, ...]:
            what = f"read the addresses of {guest} from its guest agent"
            return guest_agent.parse_interfaces(self._ask_agent("network-get-interfaces", guest, what, {}), what=what)

        return self._guests.follow(vmid, pve_node, act)

    def read_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str) -> str:
        """See `Hypervisor.read_guest_file`."""

        def act(guest: GuestAt) -> str:
            what = f"read {path} of {guest} through its guest agent"
            return guest_agent.parse_file(self._ask_agent("file-read", guest, what, {"file": path}), what=what)

        return self._guests.follow(vmid, pve_node, act)

    def write_guest_file(self, vmid: Vmid, *, pve_node: PveNodeName, path: str, content: str) -> None:
        """See `Hypervisor.write_guest_file`. Written twice it is the same, so a lost answer is asked for again."""

        def act(guest: GuestAt) -> None:
            what = f"write {path} of {guest} through its guest agent"
            self._ask_agent("file-write", guest, what, {"file": path, "content": content}, method="post")

        self._guests.follow(vmid, pve_node, act)

    def container_host_key(self, vmid: Vmid, *, pve_node: PveNodeName) -> str | None:
        """See `Hypervisor.container_host_key`."""
        return self._guests.follow(vmid, pve_node, lambda guest: from_creation_log(self._api, guest))

    def _container_interfaces(self, guest: GuestAt) -> tuple[GuestInterface, ...]:
        """Proxmox VE looks into the container itself: no guest agent is asked, and nothing waits.

        It looks at the Proxmox node's own processes only: for one that moved, the answer is as for one that is off.
        """
        what = f"read the addresses of {guest}"
        try:
            rows = self._api.read(f"{guest.path}/interfaces", what=what)
        except (PermissionDeniedError, VmNotFoundError):
            raise
        except HypervisorError as error:
            if self.read_vm(guest.vmid, pve_node=guest.pve_node).running:
                raise AgentNotRunningError(f"cannot {what}", details=error.details) from error
            rows = answers.answer(None, what=what)
        found = containers.parse_interfaces(rows)
        if found is None:
            where = self.read_vm(guest.vmid, pve_node=guest.pve_node).pve_node
            if where != guest.pve_node:
                return self._container_interfaces(self._guests.at(guest.vmid, where))
            raise AgentNotRunningError(f"cannot {what}", details=f"CT {guest.vmid} is not running")
        return found

    def close(self) -> None:
        """Close the connections to Proxmox VE. The owner calls it; it is no part of the port."""
        self._api.close()

    def _ask_agent(
        self, command: str, guest: GuestAt, what: str, parameters: Mapping[str, str], method: str = "get"
    ) -> Any:  # noqa: ANN401 - JSON of any shape
        with self._guard:
            lock = self._agent_calls[guest.pve_node]

        def attempt() -> Any:  # noqa: ANN401 - JSON of any shape
            with lock:
                if self._api.stop.is_set():
                    raise InterruptedRunError(f"interrupted before the call to {what}")
                return self._api.send(method, f"{guest.path}/agent/{command}", what=what, parameters=parameters)

        return self._api.retry(attempt)

    def _disk_gib(self, guest: GuestAt, disk: str) -> int:
        config = self._api.read(f"{guest.path}/config", what=f"read the disks of {guest}")
        found = config.at(disk).text("")
        if not found:
            raise HypervisorError(f"{guest} has no disk {disk}")
        return configs.whole_gib(found)
