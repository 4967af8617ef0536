"""One reading of a whole Proxmox cluster. Reads only.

From each Proxmox node's own lists and the configs, not from `/cluster/resources`, which lags by up to 12 s and
shows the old name of a re-used vmid. Two things it alone tells: of Proxmox nodes that cannot be asked which vmids and
names are taken (`sight`), and what Proxmox HA does, of VMs and of Proxmox nodes (`hastate`, read from HA itself without
a lag; `/cluster/ha` is closed to our token).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from bootstrap.adapters.proxmox import configs, containers, health, sight
from bootstrap.adapters.proxmox.api import Api
from bootstrap.adapters.proxmox.whereabouts import WORDS
from bootstrap.errors import HypervisorError, PermissionDeniedError, VmNotFoundError
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, StorageName, Vmid
from bootstrap.model.observed import (
    OWNER_TAG,
    PveNodeFacts,
    PveVersion,
    StorageFacts,
    TemplateFacts,
    VmRecord,
    Vnet,
)
from bootstrap.model.record import is_ours
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
    problem: HypervisorError | None = None

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
    """What one Proxmox node says of itself; rows as Proxmox VE gives them.

    `problem` is why it cannot be asked where it counts as online.
    """

    row: Row
    online: bool
    status: Row = field(default_factory=dict)
    storages: tuple[Row, ...] = ()
    networks: tuple[Row, ...] = ()
    guests: tuple[_Guest, ...] = ()
    problem: HypervisorError | None = None

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
        lost_quorum = health.lost_quorum(api)
    bare = _answering(bare, read)
    unasked = {reading.name: _why(reading) for reading in bare if not reading.online}
    auditing = {reading.name for reading in bare if reading.status}
    guests = tuple(
        _with_task(api, guest, sees_all=guest.pve_node in auditing) for guest in read if guest.pve_node not in unasked
    )
    resources = api.get("cluster/resources", what="list the cluster's resources")
    ha_of = {_id(row): str(row["hastate"]) for row in resources if row.get("hastate")}
    there = frozenset(guest.vmid for guest in guests)
    # One that HA has moved is listed by its new Proxmox node before `/cluster/resources` says so.
    guests_away, vmids_away = sight.guests_of(resources, unasked)
    away = tuple(vm for vm in guests_away if vm.vmid not in there)
    unseen = sight.unseen_vms(away, unasked, cluster=cluster, vmids=vmids)
    hidden = {vm.vmid for vm in unseen}
    rest = [vm for vm in away if vm.vmid not in hidden]
    here = tuple(guest for guest in guests if guest.config is not None)
    known = [_with_ha(guest.record, ha_of) for guest in here if not guest.template]
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-halts") as pool:
        records = list(pool.map(lambda vm: health.with_halt(api, vm) if is_ours(vm, cluster) else vm, known))
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
                (vm for vm in (*records, *rest) if _concerns(vm, cluster=cluster, vmids=vmids)),
                key=lambda vm: vm.vmid,
            )
        ),
        used_vmids=there | vmids_away,
        out_of_sight=unseen,
        lost_quorum=lost_quorum,
    )


def _answering(readings: Iterable[_NodeReading], guests: Iterable[_Guest]) -> list[_NodeReading]:
    """The readings; a Proxmox node that went away while its configs were read counts as one that cannot be asked.

    Raises:
        HypervisorError: No Proxmox node can be asked, though not all are offline: what one of them answered.
    """
    cut_off = {guest.pve_node: guest.problem for guest in guests if guest.problem is not None}
    found = [
        replace(reading, online=False, problem=cut_off[reading.name]) if reading.name in cut_off else reading
        for reading in readings
    ]
    problems = [reading.problem for reading in found if reading.problem is not None]
    if problems and not any(reading.online for reading in found):
        raise problems[0]
    return found


def _why(reading: _NodeReading) -> str:
    """Why a Proxmox node cannot be asked, in a few words."""
    return str(sight.NotAskedError(reading.problem)) if reading.problem is not None else sight.OFFLINE


def machines(api: Api) -> tuple[VmRecord, ...]:
    """The VMs and containers that carry our tag; see `Hypervisor.machines`."""
    rows = api.get("nodes", what="list the Proxmox nodes")
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-machines") as pool:
        bare = list(pool.map(lambda row: _read_guests(api, row), rows))
        listed = [guest for reading in bare for guest in reading.guests]
        tagged = [guest for guest in listed if _tagged(configs.tags(guest.row.get("tags"))) and not guest.template]
        read = list(pool.map(lambda guest: _with_config(api, guest), tagged))
    bare = _answering(bare, read)
    unasked = {reading.name: _why(reading) for reading in bare if not reading.online}
    records = [guest.record for guest in read if guest.config is not None and guest.pve_node not in unasked]
    there = {guest.vmid for guest in listed if guest.pve_node not in unasked}
    what = "list the guests of Proxmox nodes that cannot be asked"
    guests_away, _ = sight.guests_of(api.get("cluster/resources", what=what, type="vm") if unasked else [], unasked)
    away = [vm for vm in guests_away if _tagged(vm.tags) and vm.vmid not in there]
    return tuple(sorted((*records, *away), key=lambda vm: vm.vmid))


def _read_guests(api: Api, row: Row) -> _NodeReading:
    """One Proxmox node's guests, and nothing else of it."""
    name = PveNodeName(str(row["node"]))
    if row.get("status") == sight.OFFLINE:
        return _NodeReading(row=row, online=False)
    try:
        guests = sight.ask(lambda: tuple(guest for kind in _KINDS for guest in _list_guests(api, name, kind)))
    except sight.NotAskedError as unasked:
        logger.warning("%s cannot be asked: %s", name, unasked)
        return _NodeReading(row=row, online=False, problem=unasked.error)
    return _NodeReading(row=row, online=True, guests=guests)


def _concerns(vm: VmRecord, *, cluster: ClusterName, vmids: VmidRange) -> bool:
    return vm.vmid in vmids or _tagged(vm.tags) or vm.record is not None or vm.name.startswith(f"{cluster}-")


def _tagged(tags: frozenset[str]) -> bool:
    return OWNER_TAG in {tag.lower() for tag in tags}


def _read_node(api: Api, row: Row) -> _NodeReading:
    reading = _read_guests(api, row)
    if not reading.online:
        return reading
    base, name = f"nodes/{reading.name}", reading.name
    try:
        return sight.ask(
            lambda: replace(
                reading,
                status=_if_allowed(lambda: api.get(f"{base}/status", what=f"read the status of {name}"), {}),
                storages=tuple(api.get(f"{base}/storage", what=f"list the storages of {name}")),
                networks=_networks(api, name),
            )
        )
    except sight.NotAskedError as unasked:
        logger.warning("%s cannot be asked: %s", name, unasked)
        return _NodeReading(row=row, online=False, problem=unasked.error)


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
    what = f"read the config of {guest.vmid} on {guest.pve_node}"
    try:
        config = sight.ask(lambda: _if_allowed(lambda: api.get(path, what=what), None))
    except VmNotFoundError as error:
        logger.info("%s", error)
        return guest
    except sight.NotAskedError as unasked:
        logger.warning("%s cannot be asked: %s", guest.pve_node, unasked)
        return replace(guest, problem=unasked.error)
    return replace(guest, config=config)


def _with_task(api: Api, guest: _Guest, *, sees_all: bool) -> _Guest:
    """An unfinished clone, and whether a task may still make it.

    A task that clones is on the clone's Proxmox node. Without Sys.Audit a token sees only tasks of its own.
    """
    if guest.kind != "qemu" or not configs.unfinished(guest.config or {}):
        return guest
    path, what = f"nodes/{guest.pve_node}/tasks", f"list the tasks of {guest.pve_node}"
    try:
        clones = sight.ask(lambda: api.get(path, what=what, source="active", typefilter="qmclone"))
    except sight.NotAskedError as unasked:
        logger.warning("%s cannot be asked: %s", guest.pve_node, unasked)
        return guest
    if clones:
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
        return PveNodeFacts(name=reading.name, online=False, problem=_why(reading) if reading.problem else "")
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
