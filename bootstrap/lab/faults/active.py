"""The faults in force. The parts of the lab ask here whether one strikes them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from bootstrap.lab.faults.kinds import KINDS, SELECTORS, FaultKind, Value


class FaultError(Exception):
    """The fault does not exist, or does not take a parameter; the text names it."""


@dataclass(kw_only=True)
class Fault:
    """One fault in force.

    Attributes:
        id: Its number, for its removal.
        kind: What it is.
        values: Its own parameters, with defaults filled in.
        machine, vmid, pve_node: What it strikes; None: all.
        left: How often it still strikes; None: no limit.
        skip: How often it is skipped first.
        until: Monotonic time when it ends; None: never.
        hits: How often it has struck.
        undo: Called when it ends.
    """

    id: int
    kind: FaultKind
    values: Mapping[str, Value]
    machine: str | None = None
    vmid: int | None = None
    pve_node: str | None = None
    left: int | None = None
    skip: int = 0
    until: float | None = None
    hits: int = 0
    undo: Callable[[], None] | None = None

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.values[name])

    def text(self, name: str) -> str:
        """A parameter that is a text."""
        return str(self.values[name])

    def in_force(self) -> bool:
        """Whether neither its time nor its number of strikes is used up."""
        return self.left != 0 and (self.until is None or time.monotonic() < self.until)

    def to_dict(self) -> dict[str, Any]:
        """The fault as JSON values, as the endpoint shows it."""
        shown: dict[str, Any] = {"id": self.id, "fault": self.kind.word, **self.values, "hits": self.hits}
        chosen = {"machine": self.machine, "vmid": self.vmid, "pve_node": self.pve_node, "left": self.left}
        return shown | {key: value for key, value in chosen.items() if value is not None}


class Faults:
    """The faults of one lab. Safe to use from all threads.

    Args:
        guests: The lab's guest backend. Only simulated guests can have faults inside.
    """

    def __init__(self, guests: str = "simulated") -> None:
        self._guests = guests
        self._faults: dict[int, Fault] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, word: str, **given: object) -> Fault:
        """Put a fault in force.

        Args:
            word: One of `KINDS`.
            given: Parameters of its own and those of `SELECTORS`.

        Raises:
            FaultError: There is no such fault, or it does not take a parameter.
        """
        kind = KINDS.get(word)
        if kind is None:
            raise FaultError(f"unknown fault {word!r}; known: {', '.join(KINDS)}")
        if kind.where != "proxmox" and self._guests in ("container", "qemu"):
            raise FaultError(f"{word} works with simulated guests only; this lab has {self._guests} guests")
        unknown = given.keys() - kind.values.keys() - SELECTORS.keys()
        if unknown:
            known = ", ".join((*kind.values, *SELECTORS))
            raise FaultError(f"{word} has no parameter {', '.join(sorted(unknown))}; it takes {known}")
        try:
            chosen = {name: convert(given[name]) for name, convert in _SELECTED.items() if name in given}
            own = {name: _like(value, given.get(name, value)) for name, value in kind.values.items()}
        except (TypeError, ValueError) as error:
            raise FaultError(f"{word}: {error}") from error
        for_s = chosen.pop("for_s", None)
        fault = Fault(
            id=next(self._ids),
            kind=kind,
            values=own,
            until=None if for_s is None else time.monotonic() + for_s,
            left=chosen.pop("times", None),
            skip=chosen.pop("after", 0),
            **chosen,
        )
        with self._lock:
            self._faults[fault.id] = fault
        return fault

    def remove(self, fault_id: int | None = None) -> tuple[Fault, ...]:
        """End one fault, or all; returns the faults that were in force."""
        with self._lock:
            ids = list(self._faults) if fault_id is None else [fault_id]
            gone = tuple(self._faults.pop(one) for one in ids if one in self._faults)
        _undo(gone)
        return gone

    def all(self) -> tuple[Fault, ...]:
        """All faults in force, oldest first."""
        with self._lock:
            over = [fault for fault in self._faults.values() if not fault.in_force()]
            for fault in over:
                del self._faults[fault.id]
            left = tuple(self._faults.values())
        _undo(over)
        return left

    def named(self, word: str) -> tuple[Fault, ...]:
        """The faults of one kind in force, without counting a strike."""
        if not self._faults:
            return ()
        return tuple(fault for fault in self.all() if fault.kind.word == word)

    def fitting(self, word: str, *, machine: str = "", vmid: int | None = None, pve_node: str = "") -> Fault | None:
        """The first matching fault of a kind, without counting a strike; the arguments are `strike`'s."""
        return next(
            (
                fault
                for fault in self.named(word)
                if _fits(fault, machine=machine, vmid=vmid, pve_node=pve_node, values={})
            ),
            None,
        )

    def strike(
        self, word: str, *, machine: str = "", vmid: int | None = None, pve_node: str = "", **values: str
    ) -> Fault | None:
        """The first matching fault of a kind; counts a strike. None: no fault.

        Args:
            word: The kind.
            machine: Name of the machine.
            vmid: Its VMID.
            pve_node: Name of the Proxmox node.
            values: Values that the fault's own parameters must have, unless they are empty; `path` need only end
                with the fault's.
        """
        if not self._faults:  # the common case, and asked for at every request
            return None
        for fault in self.named(word):
            if not _fits(fault, machine=machine, vmid=vmid, pve_node=pve_node, values=values):
                continue
            with self._lock:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                if fault.left is not None:
                    fault.left -= 1
            return fault
        return None


def _undo(faults: Iterable[Fault]) -> None:
    for fault in faults:
        if fault.undo is not None:
            fault.undo()


def _like(default: Value, given: Any) -> Value:  # noqa: ANN401 - JSON; whatever converts is fine
    """A parameter in the type of its default."""
    return type(default)(given)


_SELECTED: Mapping[str, Any] = {
    "machine": str, "vmid": int, "pve_node": str, "times": int, "after": int, "for_s": float,
}  # fmt: skip


def _fits(fault: Fault, *, machine: str, vmid: int | None, pve_node: str, values: Mapping[str, str]) -> bool:
    if fault.machine is not None and not fnmatchcase(machine, fault.machine):
        return False
    if fault.vmid not in (None, vmid) or fault.pve_node not in (None, pve_node):
        return False
    for name, value in values.items():
        wanted = str(fault.values.get(name, ""))
        if wanted and not (value.endswith(wanted) if name == "path" else value == wanted):
            return False
    return True
