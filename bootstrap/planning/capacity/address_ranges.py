"""Hands fixed addresses out: who keeps which, which are free, and which somebody else was found at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import islice
from typing import TYPE_CHECKING

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec, StaticAddresses
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, RecordState
from bootstrap.model.observed import Observed

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


@dataclass(frozen=True, kw_only=True)
class _Book:
    """Who has which address.

    Attributes:
        kept: Of machines that exist (their records name them) and of those that come back as they were.
        used: All addresses that a VM has.
    """

    kept: dict[MachineName, IPv4Address]
    used: frozenset[IPv4Address]

    @classmethod
    def of(cls, view: ClusterView) -> _Book:
        kept = {record.machine: record.address for _, record in view.machines if record.address is not None}
        used = set(kept.values()) | {vm.address for vm in view.observed.vms if vm.address is not None}
        for name, address in view.unreachable.addresses.items():
            kept.setdefault(name, address)
            used.add(address)
        for known in view.spec.kept:
            if known.address is not None and known.address not in used:
                kept.setdefault(known.name, known.address)
                used.add(known.address)
        return cls(kept=kept, used=frozenset(used))

    def free(self, addresses: StaticAddresses, taken: frozenset[IPv4Address]) -> Iterator[IPv4Address]:
        """Addresses nobody has, the lowest first."""
        for number in range(int(addresses.first), int(addresses.last) + 1):
            address = IPv4Address(number)
            if address not in self.used and address not in taken and address != addresses.gateway:
                yield address


def with_addresses(
    machines: tuple[MachineSpec, ...], view: ClusterView, addresses: StaticAddresses
) -> tuple[MachineSpec, ...]:
    """The machines with their fixed addresses: those they have, else the lowest free ones.

    Raises:
        PreflightError: The range is used up.
    """
    book = _Book.of(view)
    free = book.free(addresses, view.observed.taken)
    held = _held(machines, view)
    result = []
    for machine in machines:
        address = book.kept.get(machine.name)
        if address is None and machine.name not in held:
            address = next(free, None)
        if address is None and machine.name not in held:
            raise _used_up(machine, len(machines), book, addresses, view.observed)
        result.append(replace(machine, address=address))
    return tuple(result)


def with_storage_addresses(
    machines: tuple[MachineSpec, ...], view: ClusterView, addresses: StaticAddresses
) -> tuple[MachineSpec, ...]:
    """The machines with their fixed addresses of the storage network; one made without such a network has none.

    Raises:
        PreflightError: The range is used up.
    """
    made = _on_storage(view)
    used = frozenset(vm.storage_address for vm in view.observed.vms if vm.storage_address is not None)
    free = _Book(kept={}, used=used).free(addresses, view.observed.taken)
    kept = {*made, *_held(machines, view)}
    result = []
    for machine in machines:
        address = made.get(machine.name) if machine.name in kept else next(free, None)
        if address is None and machine.name not in kept:
            raise PreflightError(
                f"the storage network's range {addresses.first}-{addresses.last} is exhausted: no address is left for "
                f"{machine.name}",
                details=f"{len(machines)} machines needed, {len(used)} addresses in use"
                + _others(addresses, view.observed),
                resolution="widen network.storage.addresses in the inventory, or use fewer machines",
            )
        result.append(replace(machine, storage_address=address))
    return tuple(result)


def _held(machines: Sequence[MachineSpec], view: ClusterView) -> set[MachineName]:
    """Machines that get no address: they are unreachable, or may be, and none is made in their place."""
    unreachable = view.unreachable
    hidden = {machine.name for machine in machines if unreachable.blind and machine.name not in view.vm_of}
    return hidden | set(unreachable.named)


def _used_up(
    machine: MachineSpec, wanted: int, book: _Book, addresses: StaticAddresses, observed: Observed
) -> PreflightError:
    details = f"{wanted} machines needed, {len(book.used)} addresses in use{_others(addresses, observed)}"
    return PreflightError(
        f"the address range {addresses.first}-{addresses.last} is exhausted: no address is left for {machine.name}",
        details=details,
        resolution="widen network.addresses in the inventory, or use fewer machines",
    )


def _others(addresses: StaticAddresses, observed: Observed) -> str:
    taken = _within(addresses, observed.taken)
    return f"\nalready in use by others: {_listed(taken)}" if taken else ""


def _on_storage(view: ClusterView) -> dict[MachineName, IPv4Address | None]:
    """The machines that have been made, with their address of the storage network; one made without it has none."""
    return {
        record.machine: vm.storage_address for vm, record in view.machines if record.state is not RecordState.CLONING
    }


def candidates(machines: Sequence[MachineSpec], view: ClusterView, *, spare: int) -> tuple[IPv4Address, ...]:
    """The addresses that machines without one would get, and `spare` further ones; none where all have theirs.

    Those of the storage network too; none of a loopback network, where this computer answers itself (the lab's
    simulated guests).

    Args:
        view: The cluster, as wanted and as seen.
        machines: All that are wanted.
        spare: How many more of each range, for those that somebody turns out to have.
    """
    found: list[IPv4Address] = []
    own, storage = view.spec.network.addresses, _storage_range(view.spec)
    if own is not None:
        book = _Book.of(view)
        lacking = sum(machine.name not in book.kept for machine in machines)
        found += islice(book.free(own, view.observed.taken), lacking + spare if lacking else 0)
    if storage is not None:
        used = frozenset(vm.storage_address for vm in view.observed.vms if vm.storage_address is not None)
        lacking = sum(machine.name not in _on_storage(view) for machine in machines)
        free = _Book(kept={}, used=used).free(storage, view.observed.taken)
        found += islice(free, lacking + spare if lacking else 0)
    return tuple(address for address in found if not address.is_loopback)


def has_ranges(spec: ClusterSpec) -> bool:
    """Whether machines have fixed addresses of any network."""
    return spec.network.addresses is not None or _storage_range(spec) is not None


def _storage_range(spec: ClusterSpec) -> StaticAddresses | None:
    return spec.network.storage.addresses if spec.network.storage is not None else None


def passed_over(machines: Sequence[MachineSpec], view: ClusterView) -> tuple[str, ...]:
    """A note on the addresses that new machines would have got, had nobody answered there."""
    storage = _storage_range(view.spec)
    ranges = (
        ("network.addresses", view.spec.network.addresses, [machine.address for machine in machines]),
        ("network.storage.addresses", storage, [machine.storage_address for machine in machines]),
    )
    notes = []
    for name, addresses, all_given in ranges:
        given = [address for address in all_given if address is not None]
        taken = _within(addresses, view.observed.taken) if addresses is not None and given else ()
        skipped = [address for address in taken if address < max(given)]
        if skipped:
            notes.append(f"other machines answer at {_listed(skipped)} of {name}: these addresses are skipped")
    return tuple(notes)


def _within(addresses: StaticAddresses, taken: Iterable[IPv4Address]) -> tuple[IPv4Address, ...]:
    return tuple(sorted(address for address in taken if addresses.first <= address <= addresses.last))


def _listed(addresses: Iterable[IPv4Address]) -> str:
    return ", ".join(map(str, sorted(addresses)))
