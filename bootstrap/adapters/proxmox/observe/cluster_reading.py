"""One reading of a whole Proxmox cluster. Reads only.

From each Proxmox node's own lists and the configs, not from `/cluster/resources`, which lags by up to 12 s and
shows the old name of a re-used vmid. Only two things are read there: which vmids and names are taken on Proxmox nodes
that are unreachable (`reachable_nodes`), and the HA state of VMs and of Proxmox nodes (`hastate`, which comes from HA
itself without a lag; `/cluster/ha` is closed to the tool's token).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from bootstrap.adapters.proxmox.client.api import Api
from bootstrap.adapters.proxmox.client.reachable_nodes import NotAskedError, ask, guests_of, unreachable_vms
from bootstrap.adapters.proxmox.guests.record_proof import Proof
from bootstrap.adapters.proxmox.guests.registry import WORDS
from bootstrap.adapters.proxmox.observe import health
from bootstrap.adapters.proxmox.observe.node_facts import NodeReading, PassOver, node_facts, templates, why
from bootstrap.errors import PermissionDeniedError, UnreadableError, VmNotFoundError
from bootstrap.model.cluster import VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.observed import OWNER_TAG, PveNodeFacts, VmRecord
from bootstrap.model.reading import Reading, each
from bootstrap.ports import PveFacts
from bootstrap.proxmox.reading import answers, configs
from bootstrap.proxmox.reading.listed import ListedGuest, listed_guest
from bootstrap.records.vms.machine import is_ours

_THREADS = 4
"""Configs are read by Proxmox VE's API process; more at once would only slow down others."""

logger = logging.getLogger(__name__)

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")
NamedRow = tuple[PveNodeName, bool, Reading]


class _PassedOver:
    """What is ignored in one reading, each once; may be called from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lines: dict[str, None] = {}

    def __call__(self, error: UnreadableError) -> None:
        answers.note(error)
        with self._guard:
            self._lines.setdefault(f"{error.brief}: {error.details}")

    @property
    def lines(self) -> tuple[str, ...]:
        with self._guard:
            return tuple(self._lines)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the Proxmox nodes report.

    Attributes:
        pve_nodes: All of them.
        guests: The VMs and containers of those that answer.
        unasked: The unreachable ones, with the reason.
    """

    pve_nodes: tuple[NodeReading, ...]
    guests: tuple[ListedGuest, ...]
    unasked: Mapping[PveNodeName, str]

    @property
    def auditing(self) -> frozenset[PveNodeName]:
        """The Proxmox nodes whose status the token may read."""
        return frozenset(each.name for each in self.pve_nodes if each.own_status.value)

    def away(self, resources: Iterable[Reading]) -> tuple[tuple[VmRecord, ...], frozenset[Vmid]]:
        """The guests of unreachable nodes, by `/cluster/resources`; and all VMIDs there, templates' too.

        A guest that HA has moved is listed by its new Proxmox node before `/cluster/resources` says so.
        """
        there = {guest.vmid for guest in self.guests}
        vms, vmids = guests_of(resources, self.unasked)
        return tuple(vm for vm in vms if vm.vmid not in there), vmids


def _look(
    api: Api,
    read_node: Callable[[NamedRow], NodeReading],
    *,
    odd: PassOver,
    wanted: Callable[[ListedGuest], bool] = lambda _guest: True,
) -> _Look:
    """Read every Proxmox node, and the configs of guests that are `wanted`."""
    rows = tuple(answers.rows(api.read("nodes", what="list the Proxmox nodes"), _named, odd))
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-observe") as pool:
        bare = tuple(pool.map(read_node, rows))
        listed = tuple(guest for reading in bare for guest in reading.guests)
        guests = tuple(pool.map(lambda guest: _with_config(api, guest) if wanted(guest) else guest, listed))
    pve_nodes = _answering(bare, guests)
    unasked = {reading.name: why(reading) for reading in pve_nodes if not reading.online}
    answering = tuple(guest for guest in guests if guest.pve_node not in unasked)
    return _Look(pve_nodes=pve_nodes, guests=answering, unasked=unasked)


def observe(api: Api, *, proof: Proof, cluster: ClusterName, vmids: VmidRange) -> PveFacts:
    """Read everything planning needs; see `Hypervisor.observe`."""
    odd, version = _PassedOver(), api.version()
    look = _look(api, lambda row: _read_node(api, row, odd), odd=odd)
    lost_quorum = health.lost_quorum(api)
    guests = tuple(_with_task(api, guest, sees_all=guest.pve_node in look.auditing) for guest in look.guests)
    resources = api.read("cluster/resources", what="list the cluster's resources").items()
    ha_of = dict(each(resources, _ha_state, odd))
    away, vmids_away = look.away(resources)
    unseen = unreachable_vms(away, look.unasked, cluster=cluster, vmids=vmids)
    records = _records(api, guests, proof=proof, resources=resources, ha_of=ha_of, cluster=cluster)
    vms = (vm for vm in (*records, *away) if _concerns(vm, cluster=cluster, vmids=vmids))
    hidden = frozenset(vm.vmid for vm in unseen)
    return PveFacts(
        version=version,
        pve_nodes=_facts_of(look, guests, ha_of, odd),
        templates=templates(look.pve_nodes, guests, answers.note, proof=proof),
        vms=tuple(sorted((vm for vm in vms if vm.vmid not in hidden), key=lambda vm: vm.vmid)),
        used_vmids=vmids_away.union(guest.vmid for guest in guests),
        unreachable=unseen,
        lost_quorum=lost_quorum,
        passed_over=odd.lines,
    )


def _records(
    api: Api,
    guests: Iterable[ListedGuest],
    *,
    proof: Proof,
    resources: Iterable[Reading],
    ha_of: Mapping[str, str],
    cluster: ClusterName,
) -> list[VmRecord]:
    """The VMs and containers with a config, with the doubts about their records and whether they are halted."""
    bare = tuple(_with_ha(guest.record, ha_of) for guest in guests if guest.config is not None and not guest.template)
    known = [proof.of(vm) for vm in proof.with_pools(bare, resources)]
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="pve-halts") as pool:
        return list(pool.map(lambda vm: health.with_halt(api, vm) if is_ours(vm, cluster) else vm, known))


def _facts_of(
    look: _Look, guests: Iterable[ListedGuest], ha_of: Mapping[str, str], odd: PassOver
) -> tuple[PveNodeFacts, ...]:
    """The facts of all Proxmox nodes, by name."""
    facts = (
        node_facts(reading, guests, maintenance=ha_of.get(f"node/{reading.name}") == "maintenance", odd=odd)
        for reading in look.pve_nodes
    )
    return tuple(sorted(facts, key=lambda facts: facts.name))


def _named(row: Reading) -> NamedRow:
    """A Proxmox node's row, with its name and whether it does not count as offline."""
    return (*answers.named_row(row), row)


def _answering(readings: Iterable[NodeReading], guests: Iterable[ListedGuest]) -> tuple[NodeReading, ...]:
    """The readings; a Proxmox node that went away while its configs were read counts as unreachable.

    Raises:
        HypervisorError: No Proxmox node is reachable, though not all are offline: the error of one of them.
    """
    cut_off = {guest.pve_node: guest.problem for guest in guests if guest.problem is not None}
    found = tuple(
        replace(reading, online=False, problem=cut_off[reading.name]) if reading.name in cut_off else reading
        for reading in readings
    )
    problems = [reading.problem for reading in found if reading.problem is not None]
    if problems and not any(reading.online for reading in found):
        raise problems[0]
    return found


def machines(api: Api) -> tuple[VmRecord, ...]:
    """The VMs and containers with the tool's tag; see `Hypervisor.machines`."""
    look = _look(
        api,
        lambda row: _read_guests(api, row, answers.note),
        odd=answers.note,
        wanted=lambda guest: _tagged(guest.tags) and not guest.template,
    )
    records = [guest.record for guest in look.guests if guest.config is not None]
    what = "list the guests of unreachable Proxmox nodes"
    resources = api.read("cluster/resources", what=what, type="vm").items() if look.unasked else ()
    away = [vm for vm in look.away(resources)[0] if _tagged(vm.tags)]
    return tuple(sorted((*records, *away), key=lambda vm: vm.vmid))


def _read_guests(api: Api, named: NamedRow, odd: PassOver) -> NodeReading:
    """One Proxmox node's guests, and nothing else of it."""
    name, online, row = named
    if not online:
        return NodeReading(name=name, row=row, online=False)
    try:
        guests = ask(name, lambda: tuple(_list_guests(api, name, odd)))
    except NotAskedError as unasked:
        return NodeReading(name=name, row=row, online=False, problem=unasked.error)
    return NodeReading(name=name, row=row, online=True, guests=guests)


def _concerns(vm: VmRecord, *, cluster: ClusterName, vmids: VmidRange) -> bool:
    return vm.vmid in vmids or _tagged(vm.tags) or vm.record is not None or vm.name.startswith(f"{cluster}-")


def _tagged(tags: frozenset[str]) -> bool:
    return OWNER_TAG in {tag.lower() for tag in tags}


def _read_node(api: Api, row: NamedRow, odd: PassOver) -> NodeReading:
    reading = _read_guests(api, row, odd)
    if not reading.online:
        return reading
    base, name = f"nodes/{reading.name}", reading.name
    try:
        return ask(
            name,
            lambda: replace(
                reading,
                status=_if_allowed(lambda: api.read(f"{base}/status", what=f"read the status of {name}"), None),
                storages=api.read(f"{base}/storage", what=f"list the storages of {name}").items(),
                networks=_networks(api, name),
            ),
        )
    except NotAskedError as unasked:
        return NodeReading(name=name, row=reading.row, online=False, problem=unasked.error)


def _networks(api: Api, name: PveNodeName) -> tuple[Reading, ...]:
    """Bridges and SDN vnets: without `any_bridge` Proxmox VE leaves the vnets out (PVE::API2::Network, index)."""
    what = f"list the networks of {name}"
    return _if_allowed(lambda: api.read(f"nodes/{name}/network", what=what, type="any_bridge").items(), ())


def _list_guests(api: Api, name: PveNodeName, odd: PassOver) -> Iterator[ListedGuest]:
    for kind in WORDS.values():
        read = partial(api.read, f"nodes/{name}/{kind}", what=f"list the guests of {name}")
        listing = _if_allowed(read, None)
        if listing is not None:
            yield from answers.rows(listing, partial(listed_guest, kind=kind, pve_node=name), odd)


def _if_allowed(read: Callable[[], T], otherwise: Otherwise) -> T | Otherwise:
    """A reading, or its substitute where the token may not read it; `missing_privileges` reports what it lacks."""
    try:
        return read()
    except PermissionDeniedError as error:
        logger.info("%s", error)
        return otherwise


def _with_config(api: Api, guest: ListedGuest) -> ListedGuest:
    path = f"nodes/{guest.pve_node}/{guest.kind}/{guest.vmid}/config"
    what = f"read the config of {guest.vmid} on {guest.pve_node}"
    try:
        config = ask(guest.pve_node, lambda: _if_allowed(lambda: api.read(path, what=what), None))
    except VmNotFoundError as error:
        logger.info("%s", error)
        return guest
    except NotAskedError as unasked:
        return replace(guest, problem=unasked.error)
    return replace(guest, config=config)


def _with_task(api: Api, guest: ListedGuest, *, sees_all: bool) -> ListedGuest:
    """An unfinished clone, and whether a task may still be creating it.

    The clone's task runs on the clone's Proxmox node. Without Sys.Audit a token sees only its own tasks.
    """
    if not guest.unfinished:
        return guest
    path, what = f"nodes/{guest.pve_node}/tasks", f"list the tasks of {guest.pve_node}"
    try:
        clones = ask(guest.pve_node, lambda: api.read(path, what=what, source="active", typefilter="qmclone").items())
    except NotAskedError:
        return guest
    if clones:
        return replace(guest, clone_runs=True)
    if not sees_all:
        return guest
    # The task may have ended since the config was read, which has the record then.
    return replace(_with_config(api, guest), clone_runs=False)


def _ha_state(row: Reading) -> tuple[str, str]:
    """The HA state of a resource such as `qemu/7001` or `node/pve1`."""
    return row.at("id").text(""), row.at("hastate").text("")


def _with_ha(vm: VmRecord, ha_of: Mapping[str, str]) -> VmRecord:
    return replace(vm, ha_managed=configs.has_ha_state(ha_of.get(f"{WORDS[vm.kind]}/{vm.vmid}", "")))
