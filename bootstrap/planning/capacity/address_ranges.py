"""Hands out fixed addresses: which machines keep theirs, which are free, and at which another host answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import islice

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, StaticAddresses
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, RecordState
from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class _Range:
    """A range of fixed addresses, of the machines' network or of their storage network, and who has which.

    Attributes:
        kept: Of machines that exist, that are unreachable, or that a rebuild makes again. A machine that was
            made without a storage network keeps none.
        used: All addresses that a VM has.
        taken: The ones at which another host answers.
    """

    addresses: StaticAddresses
    storage: bool
    kept: Mapping[MachineName, IPv4Address | None]
    used: frozenset[IPv4Address]
    taken: frozenset[IPv4Address]

    @property
    def key(self) -> str:
        """Its key in the inventory."""
        return "network.storage.addresses" if self.storage else "network.addresses"

    def free(self) -> Iterator[IPv4Address]:
        """Addresses that are not in use, the lowest first."""
        for number in range(int(self.addresses.first), int(self.addresses.last) + 1):
            address = IPv4Address(number)
            if address not in self.used and address not in self.taken and address != self.addresses.gateway:
                yield address

    def taken_within(self) -> tuple[IPv4Address, ...]:
        """The addresses of the range at which another host answers."""
        return tuple(sorted(each for each in self.taken if self.addresses.first <= each <= self.addresses.last))

    def of(self, machine: MachineSpec) -> IPv4Address | None:
        """A machine's address in this network."""
        return machine.storage_address if self.storage else machine.address

    def given_to(self, machine: MachineSpec, address: IPv4Address | None) -> MachineSpec:
        """The machine with its address in this network."""
        return replace(machine, storage_address=address) if self.storage else replace(machine, address=address)

    def used_up(self, machine: MachineSpec, wanted: int) -> PreflightError:
        """The error where no address is left for a machine."""
        what = "the storage network's range" if self.storage else "the address range"
        taken = self.taken_within()
        others = f"\nalready in use by others: {_listed(taken)}" if taken else ""
        return PreflightError(
            f"{what} {self.addresses.first}-{self.addresses.last} is exhausted: no address is left for {machine.name}",
            details=f"{wanted} machines needed, {len(self.used)} addresses in use{others}",
            resolution=f"widen {self.key} in the inventory, or use fewer machines",
        )


def _ranges(view: ClusterView) -> Iterator[_Range]:
    """The ranges that the inventory has: of the machines' network, then of their storage network."""
    if view.spec.network.addresses is not None:
        kept, used = _on_network(view)
        yield _Range(
            addresses=view.spec.network.addresses, storage=False, kept=kept, used=used, taken=view.observed.taken
        )
    storage = _storage_range(view.spec)
    if storage is not None:
        made = {
            record.machine: vm.storage_address
            for vm, record in view.machines
            if record.state is not RecordState.CLONING
        }
        used = frozenset(vm.storage_address for vm in view.observed.vms if vm.storage_address is not None)
        yield _Range(addresses=storage, storage=True, kept=made, used=used, taken=view.observed.taken)


def _on_network(view: ClusterView) -> tuple[Mapping[MachineName, IPv4Address], frozenset[IPv4Address]]:
    """Who keeps which address of the machines' network, and all that are in use there."""
    kept = {record.machine: record.address for _, record in view.machines if record.address is not None}
    used = set(kept.values()) | {vm.address for vm in view.observed.vms if vm.address is not None}
    for name, address in view.unreachable.addresses.items():
        kept.setdefault(name, address)
        used.add(address)
    for known in view.spec.kept:
        if known.address is not None and known.address not in used:
            kept.setdefault(known.name, known.address)
            used.add(known.address)
    return kept, frozenset(used)


def with_addresses(machines: tuple[MachineSpec, ...], view: ClusterView) -> tuple[MachineSpec, ...]:
    """The machines with their fixed addresses, where the inventory has ranges: those they have, else the lowest free.

    Raises:
        PreflightError: A range is used up.
    """
    held = _held(machines, view)
    for each in reversed(tuple(_ranges(view))):
        free = each.free()
        result = []
        for machine in machines:
            keeps = machine.name in each.kept or machine.name in held
            address = each.kept.get(machine.name) if keeps else next(free, None)
            if address is None and not keeps:
                raise each.used_up(machine, len(machines))
            result.append(each.given_to(machine, address))
        machines = tuple(result)
    return machines


def _held(machines: Sequence[MachineSpec], view: ClusterView) -> set[MachineName]:
    """Machines that get no address: they are unreachable, or may be, and none is made in their place."""
    unreachable = view.unreachable
    hidden = {machine.name for machine in machines if unreachable.blind and machine.name not in view.vm_of}
    return hidden | set(unreachable.named)


def candidates(machines: Sequence[MachineSpec], view: ClusterView, *, spare: int) -> tuple[IPv4Address, ...]:
    """The addresses that machines without one would get, and `spare` further ones of each range; else none.

    None of a loopback network, where this computer answers itself (the lab's simulated guests).
    """
    found: list[IPv4Address] = []
    for each in _ranges(view):
        lacking = sum(machine.name not in each.kept for machine in machines)
        found += islice(each.free(), lacking + spare if lacking else 0)
    return tuple(address for address in found if not address.is_loopback)


def has_ranges(spec: ClusterSpec) -> bool:
    """Whether machines have fixed addresses of any network."""
    return spec.network.addresses is not None or _storage_range(spec) is not None


def _storage_range(spec: ClusterSpec) -> StaticAddresses | None:
    return spec.network.storage.addresses if spec.network.storage is not None else None


def skipped_address_notes(machines: Sequence[MachineSpec], view: ClusterView) -> tuple[str, ...]:
    """A note on the addresses that new machines do not get since another host answers there."""
    notes = []
    for each in _ranges(view):
        given = [address for address in map(each.of, machines) if address is not None]
        skipped = [address for address in each.taken_within() if given and address < max(given)]
        if skipped:
            notes.append(f"other machines answer at {_listed(skipped)} of {each.key}: these addresses are skipped")
    return tuple(notes)


def _listed(addresses: Iterable[IPv4Address]) -> str:
    return ", ".join(map(str, sorted(addresses)))
