"""Faults that are a state of the Proxmox cluster: applied to fakepve while they are in force."""
# ruff: noqa: ANN401 - fakepve has no types

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bootstrap.lab.faults.active import Fault, Faults

FORGETS_AT = "forgets_at"
"""In a Proxmox node's state: when /cluster/resources stops showing the names of its guests (monotonic time)."""

Undo = Callable[[], None]


class ClusterState:
    """Keeps a fakepve in line with the faults in force.

    Args:
        pve: The `FakePve`; only its public state is changed.
        faults: What is in force.
    """

    def __init__(self, pve: Any, faults: Faults) -> None:
        self._pve, self._faults = pve, faults
        self._applied: dict[int, Undo] = {}
        self._makers: dict[str, Callable[[Fault], Undo]] = {
            "no-quorum": self._no_quorum,
            "pve-node-offline": self._offline,
            "forbidden": self._forbidden,
            "storage-full": self._storage_full,
            "storage-inactive": self._storage_inactive,
        }

    def follow(self) -> None:
        """Apply new faults and undo ended ones, newest first, since they may overlap."""
        in_force = {fault.id: fault for fault in self._faults.all() if fault.kind.word in self._makers}
        if in_force.keys() == self._applied.keys():
            return
        for undo in reversed(self._applied.values()):
            undo()
        self._applied = {one: self._makers[fault.kind.word](fault) for one, fault in in_force.items()}

    def _no_quorum(self, _fault: Fault) -> Undo:
        self._pve.lose_quorum()
        return lambda: self._pve.regain_quorum()

    def _offline(self, fault: Fault) -> Undo:
        names = [name for name in self._pve.nodes if fault.pve_node in (None, name)]
        forgets_at = time.monotonic() + fault.number("names_for_s")
        # Its guests lose power with it. Those with `onboot` start again with it.
        ran = [guest for guest in self._guests() if guest.node in names and guest.status == "running"]
        for name in names:
            self._pve.set_node_offline(name)
            self._pve.nodes[name][FORGETS_AT] = forgets_at
        for guest in ran:
            guest.status = guest.qmpstatus = "stopped"

        def undo() -> None:
            for name in names:
                self._pve.set_node_offline(name, offline=False)
                self._pve.nodes[name].pop(FORGETS_AT, None)
            for guest in ran:
                if guest in self._guests() and str(guest.config.get("onboot", 0)) == "1":
                    guest.status = guest.qmpstatus = "running"

        return undo

    def _guests(self) -> list[Any]:
        return [*self._pve.vms, *self._pve.cts]

    def _forbidden(self, fault: Fault) -> Undo:
        """Take a privilege from every user; without an ACL users may do everything."""
        before, privilege = self._pve.acl, fault.text("privilege")
        if before is not None:
            self._pve.acl = {
                user: [(path, set(privileges) - {privilege}) for path, privileges in entries]
                for user, entries in before.items()
            }

        def undo() -> None:
            self._pve.acl = before

        return undo

    def _storage_full(self, fault: Fault) -> Undo:
        return self._set(fault, "avail", 0)

    def _storage_inactive(self, fault: Fault) -> Undo:
        return self._set(fault, "active", 0)

    def _set(self, fault: Fault, key: str, value: int) -> Undo:
        storage = self._pve.storages.get(fault.text("storage"), {})
        before = storage.get(key)
        storage[key] = value

        def undo() -> None:
            storage[key] = before

        return undo
