"""Machines that run, and what they report of themselves over SSH. Reads only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TypeVar

from bootstrap.errors import HomelabError
from bootstrap.execution.guests.host_keys import meet
from bootstrap.execution.guests.scripts import parse_guest_hardening, parse_lines, told
from bootstrap.k3s.hardening.cis import is_hardened
from bootstrap.k3s.selinux import selinux_problem
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineRecord, Role
from bootstrap.model.observed import VmRecord
from bootstrap.model.reading import LAST_UNIX_S
from bootstrap.model.settings.hardening import GuestHardening
from bootstrap.planning.checks.runtime import GuestSeen
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, GuestShell, Ports, Warn

Answer = TypeVar("Answer")

_THREADS = 16
_SCRIPT_TIMEOUT_S = 30.0
_LONGEST_WRITE_S = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guest:
    """A machine of the cluster with the address at which it is logged in to."""

    vm: VmRecord
    record: MachineRecord
    address: IPv4Address

    @property
    def name(self) -> MachineName:
        """The machine's."""
        return self.record.machine

    @property
    def is_server(self) -> bool:
        """Whether it is of the control plane."""
        return self.record.role is Role.CONTROL_PLANE


def guests_of(view: ClusterView) -> Mapping[MachineName, Guest]:
    """The machines that run and whose address is known."""
    known = dict(view.observed.addresses)
    found = ((vm, record, known.get(record.machine)) for vm, record in view.machines if vm.running)
    return {record.machine: Guest(vm, record, address) for vm, record, address in found if address is not None}


def server_guests(view: ClusterView) -> tuple[Guest, ...]:
    """Those of the control plane."""
    return tuple(guest for guest in guests_of(view).values() if guest.is_server)


@contextmanager
def logged_in(guest: Guest, spec: ClusterSpec, ports: Ports, *, warn: Warn = logger.warning) -> Iterator[GuestShell]:
    """A login on a machine that runs, with the host key that Proxmox VE reports, or that of the first login.

    Raises HomelabError.
    """
    shell = meet(guest.name, guest.vm, guest.address, spec=spec, ports=ports, warn=warn)
    try:
        yield shell
    finally:
        shell.close()


def ask(guest: Guest, script: GuestScript, spec: ClusterSpec, ports: Ports, *, timeout_s: float = 30.0) -> str:
    """What a script prints on a machine. Raises HomelabError."""
    with logged_in(guest, spec, ports) as shell:
        return shell.run(script, timeout_s=timeout_s)


def ask_all(
    guests: Collection[Guest], ask_one: Callable[[Guest], Answer], *, at_once: int = _THREADS
) -> tuple[Answer, ...]:
    """What each machine answers, in order; they are asked in parallel."""
    if not guests:
        return ()
    with ThreadPoolExecutor(max_workers=min(at_once, len(guests)), thread_name_prefix="ask") as pool:
        return tuple(pool.map(ask_one, guests))


def visit_all(view: ClusterView, ports: Ports, *, etcd: bool) -> tuple[GuestSeen, ...]:
    """What each machine reports of itself, or why it cannot be asked; with `etcd`, servers also measure their disks."""
    return ask_all(guests_of(view).values(), lambda guest: _visit(guest, view.spec, ports, etcd=etcd))


def _visit(guest: Guest, spec: ClusterSpec, ports: Ports, *, etcd: bool) -> GuestSeen:
    name = guest.name
    try:
        with logged_in(guest, spec, ports) as shell:
            began_s = ports.processes.unix_s()
            facts = parse_lines(shell.run(GuestScript(name="facts.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
            ours_s = (began_s + ports.processes.unix_s()) / 2
            seen = GuestSeen(
                machine=name,
                machine_id=next(iter(facts.get("machine_id", [])), ""),
                clock_s=_ahead_s(name, facts, ours_s),
                selinux=selinux_problem(name, facts),
                passwords=_passwords(shell),
                hardening=_hardening(name, shell) if is_hardened(spec) else None,
            )
            return _with_disk(seen, shell) if etcd and guest.is_server else seen
    except HomelabError as error:
        return GuestSeen(machine=name, problem=str(error))


def _ahead_s(name: MachineName, facts: dict[str, list[str]], ours_s: float) -> float | None:
    """By how many seconds a guest's clock is ahead; it reports whole seconds, so half of one is added."""
    time = told(facts, "time", machine=name)
    return None if time.absent else time.integer(0, LAST_UNIX_S) + 0.5 - ours_s


def _passwords(shell: GuestShell) -> tuple[str, ...] | None:
    """The users who can log in with a password; None where the machine does not report them."""
    try:
        told = parse_lines(shell.run(GuestScript(name="logins.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
    except HomelabError as error:
        logger.debug("unknown who can log in with a password: %s", error)
        return None
    return tuple(told.get("user", [])) if told.get("known") == ["1"] else None


def _hardening(name: MachineName, shell: GuestShell) -> GuestHardening | None:
    """What it reports of the guide's points; None where it cannot."""
    try:
        return parse_guest_hardening(name, shell.run(GuestScript(name="hardening.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
    except HomelabError as error:
        logger.debug("unknown how %s is hardened: %s", name, error)
        return None


def _with_disk(seen: GuestSeen, shell: GuestShell) -> GuestSeen:
    try:
        lines = parse_lines(shell.run(GuestScript(name="fsync.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
        writes = [told({"write_s": [value]}, "write_s", machine=seen.machine) for value in lines.get("write_s", [])]
        return replace(seen, writes_ms=tuple(write.number(0.0, _LONGEST_WRITE_S) * 1000 for write in writes))
    except HomelabError as error:
        return replace(seen, disk_problem=str(error))
