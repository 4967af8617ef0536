"""One reading of a whole Proxmox cluster. Reads only.

From each Proxmox node's own lists and the configs, not from `/cluster/resources`, which lags by up to 12 s and
shows the old name of a re-used vmid. Two things it alone tells: of Proxmox nodes that are offline which vmids and names
are taken, and what Proxmox HA does, of VMs and of Proxmox nodes (`hastate`, which is read from HA itself and does not
lag; `/cluster/ha` is closed to our token).
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from bootstrap.adapters.proxmox import configs, containers
from bootstrap.adapters.proxmox.api import Api
from bootstrap.adapters.proxmox.whereabouts import WORDS
from bootstrap.errors import PermissionDeniedError, VmNotFoundError
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, StorageName, Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import OWNER_TAG, PveNodeFacts, PveVersion, StorageFacts, TemplateFacts, VmRecord, Vnet
from bootstrap.ports import PveFacts

_THREADS = 4
"""Configs are read by Proxmox VE's front process; more at once would only take it from others."""
_BRIDGES = frozenset({"bridge", "OVSBridge", "vnet"})
_KINDS = ("qemu", "lxc")
_MAINTENANCE = "maintenance"
_MIB = 1024**2
_GIB = 1024**3

logger = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Guest:
    """A VM or container: its row in the list and its config (None where it vanished meanwhile)."""

    kind: str
    pve_node: PveNodeName
    row: Row
    config: Row | None
    clone_runs: bool | None = None

    @property
    def vmid(self) -> Vmid:
        return Vmid(int(self.row["vmid"]))

    @property
    def template(self) -> bool:
        return bool(self.row.get("template") or (self.config or {}).get("template"))

    @property
    def record(self) -> VmRecord:
        """It as a value."""
        read = configs.vm_record if self.kind == "qemu" else containers.container_record
        return replace(read(self.config or {}, row=self.row, pve_node=self.pve_node), clone_runs=self.clone_runs)

    @property
    def committed(self) -> bool:
        """Whether its memory counts: it runs, or will after the Proxmox node's next boot."""
        return not self.template and (self.row.get("status") == "running" or bool((self.config or {}).get("onboot")))


@dataclass(frozen=True, kw_only=True)
class _NodeReading:
    """What one Proxmox node says of itself; rows as Proxmox VE gives them."""

    row: Row
    online: bool
    status: Row
    storages: tuple[Row, ...]
    networks: tuple[Row, ...]
    guests: tuple[_Guest, ...]

    @property
    def name(self) -> PveNodeName:
        return PveNodeName(str(self.row["node"]))


def read_version(api: Api) -> PveVersion:
    """Proxmox VE's version."""
    text = str(api.get("version", what="read the version").get("version", ""))
    numbers = [int(number) for number in re.findall(r"\d+", text)[:2]] + [0, 0]
    return PveVersion(major=numbers[0], minor=numbers[1], text=text)


def observe(api: Api, *, version: PveVersion, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
    """Read everything planning needs; see `Hypervisor.observe`."""
    rows = api.get("nodes", what="list the Proxmox nodes")
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-observe") as pool:
        bare = list(pool.map(lambda row: _read_node(api, row), rows))
        listed = [guest for reading in bare for guest in reading.guests]
        read = tuple(pool.map(lambda guest: _with_config(api, guest), listed))
    auditing = {reading.name for reading in bare if reading.status}
    guests = tuple(_with_task(api, guest, sees_all=guest.pve_node in auditing) for guest in read)
    resources = api.get("cluster/resources", what="list the cluster's resources")
    ha_of = {_id(row): str(row["hastate"]) for row in resources if row.get("hastate")}
    away = tuple(_away(resources, {reading.name for reading in bare if not reading.online}))
    here = tuple(guest for guest in guests if guest.config is not None)
    records = [_with_ha(guest.record, ha_of) for guest in here if not guest.template]
    return PveFacts(
        version=version,
        pve_nodes=tuple(
            sorted(
                (
                    replace(_facts(reading, guests), maintenance=ha_of.get(f"node/{reading.name}") == _MAINTENANCE)
                    for reading in bare
                ),
                key=lambda facts: facts.name,
            )
        ),
        templates=_templates(bare, (guest for guest in here if guest.kind == "qemu")),
        vms=tuple(
            sorted(
                (vm for vm in (*records, *away) if _concerns(vm, cluster=cluster, vmids=vmids)),
                key=lambda vm: vm.vmid,
            )
        ),
        used_vmids=frozenset({guest.vmid for guest in guests} | {vm.vmid for vm in away}),
    )


def machines(api: Api) -> tuple[VmRecord, ...]:
    """The VMs and containers that carry our tag; see `Hypervisor.machines`."""
    rows = api.get("nodes", what="list the Proxmox nodes")
    offline = {PveNodeName(str(row["node"])) for row in rows if row.get("status") == "offline"}
    online = [name for row in rows if (name := PveNodeName(str(row["node"]))) not in offline]
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-machines") as pool:
        listed = [
            guest
            for guests in pool.map(lambda each: list(_list_guests(api, *each)), itertools.product(online, _KINDS))
            for guest in guests
        ]
        tagged = [guest for guest in listed if _tagged(configs.tags(guest.row.get("tags"))) and not guest.template]
        read = list(pool.map(lambda guest: _with_config(api, guest), tagged))
    records = [guest.record for guest in read if guest.config is not None]
    what = "list the guests of offline Proxmox nodes"
    resources = api.get("cluster/resources", what=what, type="vm") if offline else []
    away = [vm for vm in _away(resources, offline) if _tagged(vm.tags)]
    return tuple(sorted((*records, *away), key=lambda vm: vm.vmid))


def _concerns(vm: VmRecord, *, cluster: ClusterName, vmids: VmidRange) -> bool:
    return vm.vmid in vmids or _tagged(vm.tags) or vm.record is not None or vm.name.startswith(f"{cluster}-")


def _tagged(tags: frozenset[str]) -> bool:
    return OWNER_TAG in {tag.lower() for tag in tags}


def _read_node(api: Api, row: Row) -> _NodeReading:
    name = PveNodeName(str(row["node"]))
    if row.get("status") == "offline":
        return _NodeReading(row=row, online=False, status={}, storages=(), networks=(), guests=())
    base = f"nodes/{name}"
    return _NodeReading(
        row=row,
        online=True,
        status=_if_allowed(lambda: api.get(f"{base}/status", what=f"read the status of {name}"), {}),
        storages=tuple(api.get(f"{base}/storage", what=f"list the storages of {name}")),
        networks=_networks(api, name),
        guests=tuple(guest for kind in _KINDS for guest in _list_guests(api, name, kind)),
    )


def _networks(api: Api, name: PveNodeName) -> tuple[Row, ...]:
    """Bridges and SDN vnets: without `any_bridge` Proxmox VE leaves the vnets out (PVE::API2::Network, index)."""
    what = f"list the networks of {name}"
    return tuple(_if_allowed(lambda: api.get(f"nodes/{name}/network", what=what, type="any_bridge"), []))


def _list_guests(api: Api, name: PveNodeName, kind: str) -> Iterable[_Guest]:
    for row in _if_allowed(lambda: api.get(f"nodes/{name}/{kind}", what=f"list the guests of {name}"), []):
        yield _Guest(kind=kind, pve_node=name, row=row, config=None)


def _if_allowed(read: Callable[[], Any], otherwise: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """A reading, or its substitute where the token may not; what lacks is `missing_privileges`'s to tell."""
    try:
        return read()
    except PermissionDeniedError as error:
        logger.info("%s", error)
        return otherwise


def _with_config(api: Api, guest: _Guest) -> _Guest:
    path = f"nodes/{guest.pve_node}/{guest.kind}/{guest.vmid}/config"
    try:
        config = _if_allowed(lambda: api.get(path, what=f"read the config of {guest.vmid} on {guest.pve_node}"), None)
    except VmNotFoundError as error:
        logger.info("%s", error)
        config = None
    return _Guest(kind=guest.kind, pve_node=guest.pve_node, row=guest.row, config=config)


def _with_task(api: Api, guest: _Guest, *, sees_all: bool) -> _Guest:
    """An unfinished clone, and whether a task may still make it.

    A task that clones is on the clone's Proxmox node. Without Sys.Audit a token sees only tasks of its own.
    """
    if guest.kind != "qemu" or not configs.unfinished(guest.config or {}):
        return guest
    path, what = f"nodes/{guest.pve_node}/tasks", f"list the tasks of {guest.pve_node}"
    if api.get(path, what=what, source="active", typefilter="qmclone"):
        return replace(guest, clone_runs=True)
    if not sees_all:
        return guest
    # The task may have ended since the config was read: whose it is shows in it then.
    return replace(_with_config(api, guest), clone_runs=False)


def _id(row: Row) -> str:
    """As in `qemu/7001` and `node/pve1`."""
    return str(row.get("id") or "")


def _with_ha(vm: VmRecord, ha_of: Mapping[str, str]) -> VmRecord:
    state = ha_of.get(f"{WORDS[vm.kind]}/{vm.vmid}")
    return replace(vm, ha_managed=configs.ha_managed({"hastate": state}))


def _away(resources: Iterable[Row], offline: set[PveNodeName]) -> Iterable[VmRecord]:
    """VMs of offline Proxmox nodes, without a record: nothing may be done to them, but they are there."""
    for row in resources:
        if row.get("node") in offline and row.get("vmid"):
            yield VmRecord(
                vmid=Vmid(int(row["vmid"])),
                name=str(row.get("name") or ""),
                pve_node=PveNodeName(str(row["node"])),
                running=False,
                tags=configs.tags(row.get("tags")),
                kind=MachineKind.LXC if row.get("type") == "lxc" else MachineKind.VM,
                ha_managed=configs.ha_managed(row),
            )


def _templates(readings: Iterable[_NodeReading], vms: Iterable[_Guest]) -> tuple[TemplateFacts, ...]:
    kinds = {
        (reading.name, str(row["storage"])): str(row.get("type", ""))
        for reading in readings
        for row in reading.storages
    }
    found = (
        configs.template_facts(
            vm.config or {},
            row=vm.row,
            pve_node=vm.pve_node,
            kinds={storage: kind for (name, storage), kind in kinds.items() if name == vm.pve_node},
        )
        for vm in vms
        if vm.template
    )
    return tuple(sorted(found, key=lambda template: template.vmid))


def _facts(reading: _NodeReading, guests: Iterable[_Guest]) -> PveNodeFacts:
    if not reading.online:
        return PveNodeFacts(name=reading.name, online=False)
    cpu = reading.status.get("cpuinfo") or {}
    memory = reading.status.get("memory") or {}
    kernel = reading.status.get("current-kernel") or {}
    committed = [guest for guest in guests if guest.pve_node == reading.name and guest.committed]
    return PveNodeFacts(
        name=reading.name,
        online=True,
        cores=int(reading.row.get("maxcpu") or cpu.get("cpus") or 0),
        memory_mib=int(reading.row.get("maxmem") or memory.get("total") or 0) // _MIB,
        cpu_model=str(cpu.get("model") or ""),
        cpu_flags=frozenset(str(cpu.get("flags") or "").split()),
        architecture=str(kernel.get("machine") or "x86_64"),
        bridges=frozenset(str(row["iface"]) for row in reading.networks if row.get("type") in _BRIDGES),
        vnets=tuple(
            Vnet(name=str(row["iface"]), vlan_aware=bool(int(row.get("vlanaware") or 0)))
            for row in sorted(reading.networks, key=lambda row: str(row["iface"]))
            if row.get("type") == "vnet"
        ),
        storages=tuple(sorted((_storage(row) for row in reading.storages), key=lambda storage: storage.name)),
        committed_cores=sum(int(guest.row.get("cpus") or 0) for guest in committed),
        committed_memory_mib=sum(int(guest.row.get("maxmem") or 0) for guest in committed) // _MIB,
    )


def _storage(row: Row) -> StorageFacts:
    return StorageFacts(
        name=StorageName(str(row["storage"])),
        kind=str(row.get("type") or ""),
        shared=bool(row.get("shared")),
        active=bool(row.get("active")) and bool(row.get("enabled", 1)),
        content=frozenset(part for part in str(row.get("content") or "").split(",") if part),
        free_gib=int(row.get("avail") or 0) // _GIB,
    )
