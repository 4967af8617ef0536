"""What one Proxmox node reports about itself, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from bootstrap.adapters.proxmox.client.reachable_nodes import OFFLINE, NotAskedError
from bootstrap.adapters.proxmox.guests.record_proof import Proof
from bootstrap.errors import HypervisorError, UnreadableError
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import PveNodeFacts, StorageFacts, TemplateFacts, Vnet
from bootstrap.model.reading import Reading, each
from bootstrap.proxmox.reading import answers, configs
from bootstrap.proxmox.reading.listed import ListedGuest

_BRIDGES = frozenset({"bridge", "OVSBridge", "vnet"})
_MOST_MTU = 65520
_MIB = 1024**2
_GIB = 1024**3

PassOver = Callable[[UnreadableError], None]


@dataclass(frozen=True, kw_only=True)
class NodeReading:
    """What one Proxmox node reports about itself; rows as Proxmox VE sends them.

    `problem` is why it does not answer although it counts as online; `status` is None where the token may not read it.
    """

    name: PveNodeName
    row: Reading
    online: bool
    status: Reading | None = None
    storages: tuple[Reading, ...] = ()
    networks: tuple[Reading, ...] = ()
    guests: tuple[ListedGuest, ...] = ()
    problem: HypervisorError | None = None

    @property
    def own_status(self) -> Reading:
        """Its status; an empty one where the token may not read it."""
        return replace(self.row, value=None) if self.status is None else self.status


def why(reading: NodeReading) -> str:
    """Why a Proxmox node is unreachable, in a few words."""
    return str(NotAskedError(reading.problem)) if reading.problem is not None else OFFLINE


def node_facts(
    reading: NodeReading, guests: Iterable[ListedGuest], *, maintenance: bool, odd: PassOver
) -> PveNodeFacts:
    """A Proxmox node's facts; one with invalid numbers counts as unreachable."""
    if not reading.online:
        return PveNodeFacts(
            name=reading.name, online=False, problem=why(reading) if reading.problem else "", maintenance=maintenance
        )
    try:
        return _online_facts(reading, guests, maintenance=maintenance, odd=odd)
    except UnreadableError as error:
        odd(error)
        return PveNodeFacts(name=reading.name, online=False, problem=error.details, maintenance=maintenance)


def _online_facts(
    reading: NodeReading, guests: Iterable[ListedGuest], *, maintenance: bool, odd: PassOver
) -> PveNodeFacts:
    status = reading.own_status
    cpu, memory = status.at("cpuinfo"), status.at("memory")
    committed = [guest.committed(odd) for guest in guests if guest.pve_node == reading.name]
    networks = tuple(filter(None, each(reading.networks, _network, odd)))
    return PveNodeFacts(
        name=reading.name,
        online=True,
        cores=_first_number(reading.row.at("maxcpu"), cpu.at("cpus"), most=answers.MOST_CORES),
        memory_mib=_first_number(reading.row.at("maxmem"), memory.at("total"), most=answers.MOST_BYTES) // _MIB,
        cpu_model=cpu.at("model").text(""),
        cpu_flags=frozenset(cpu.at("flags").text("").split()),
        architecture=status.at("current-kernel").at("machine").text("") or "x86_64",
        bridges=frozenset(network.name for network in networks),
        vnets=tuple(sorted(filter(None, (network.vnet for network in networks)), key=lambda vnet: vnet.name)),
        mtus=tuple(sorted((network.name, network.mtu) for network in networks if network.mtu)),
        storages=tuple(sorted(each(reading.storages, _storage, odd), key=lambda storage: storage.name)),
        committed_cores=sum(cores for cores, _ in committed),
        committed_memory_mib=sum(memory for _, memory in committed) // _MIB,
        maintenance=maintenance,
    )


def _first_number(*places: Reading, most: int) -> int:
    """The first number that is there and not 0; else 0."""
    return next(filter(None, (number.integer(0, most, default=0) for number in places)), 0)


class _Network(NamedTuple):
    """A bridge's name, with the vnet that it is, and its MTU (0 where none is stated)."""

    name: str
    vnet: Vnet | None
    mtu: int


def _network(row: Reading) -> _Network | None:
    """A bridge; None for other networks."""
    kind = row.at("type").text("")
    if kind not in _BRIDGES:
        return None
    name = row.at("iface").text(most=256)
    vnet = Vnet(name=name, vlan_aware=row.at("vlanaware").flag()) if kind == "vnet" else None
    # /etc/network/interfaces has `mtu`, and `ovs_mtu` for Open vSwitch (PVE::INotify).
    stated = [row.at(key).integer(0, _MOST_MTU, default=0) for key in ("mtu", "ovs_mtu")]
    return _Network(name, vnet, max(stated))


def _storage(row: Reading) -> StorageFacts:
    return StorageFacts(
        name=answers.storage_name(row.at("storage")),
        kind=row.at("type").text(""),
        shared=row.at("shared").flag(),
        active=row.at("active").flag() and row.at("enabled").flag(default=True),
        content=frozenset(part for part in row.at("content").text("").split(",") if part),
        free_gib=row.at("avail").integer(0, answers.MOST_BYTES, default=0) // _GIB,
    )


def templates(
    readings: Iterable[NodeReading], vms: Iterable[ListedGuest], odd: PassOver, *, proof: Proof
) -> tuple[TemplateFacts, ...]:
    """The facts of the templates among guests; an invalid one is ignored."""
    kinds: dict[PveNodeName, dict[str, str]] = {}
    for reading in readings:
        storages = each(reading.storages, _storage, answers.note)
        kinds[reading.name] = {storage.name: storage.kind for storage in storages}
    found: list[TemplateFacts] = []
    for vm in vms:
        if vm.kind != "qemu" or not vm.template or vm.config is None:
            continue
        try:
            facts = configs.template_facts(
                vm.config, row=vm.row, pve_node=vm.pve_node, kinds=kinds.get(vm.pve_node, {})
            )
        except UnreadableError as error:
            odd(error)
            continue
        found.append(proof.of_template(facts, configs.scalars(vm.config)))
    return tuple(sorted(found, key=lambda template: template.vmid))
