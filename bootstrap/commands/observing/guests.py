"""Asks machines that run about themselves, over SSH; used by commands that only look."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address

from bootstrap.errors import HomelabError
from bootstrap.execution.guests.host_keys import host_key, log_in
from bootstrap.execution.guests.scripts import parse_lines, told
from bootstrap.k3s.selinux import selinux_problem
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Role
from bootstrap.model.observed import VmRecord
from bootstrap.model.reading import LAST_UNIX_S
from bootstrap.planning.checks.runtime import GuestSeen
from bootstrap.ports import GuestScript, GuestShell, Ports, Warn

_THREADS = 16
_SCRIPT_TIMEOUT_S = 30.0
_LONGEST_WRITE_S = 3600.0

Machine = tuple[VmRecord, IPv4Address]

logger = logging.getLogger(__name__)


def visit_all(machines: tuple[Machine, ...], spec: ClusterSpec, ports: Ports, *, etcd: bool) -> tuple[GuestSeen, ...]:
    """What each machine tells, at once; `etcd`: servers also measure their disks. One that cannot be asked says why."""
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="visit") as pool:
        return tuple(pool.map(lambda machine: _visit(machine, spec, ports, etcd=etcd), machines))


def _visit(machine: Machine, spec: ClusterSpec, ports: Ports, *, etcd: bool) -> GuestSeen:
    vm, address = machine
    if vm.record is None:  # cannot be: only machines of ours are asked
        raise AssertionError(vm)
    name = vm.record.machine
    measures = etcd and vm.record.role is Role.CONTROL_PLANE
    try:
        with logged_in(vm, address, spec, ports) as shell:
            began_s = ports.processes.unix_s()
            facts = parse_lines(shell.run(GuestScript(name="facts.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
            ours_s = (began_s + ports.processes.unix_s()) / 2
            seen = GuestSeen(
                machine=name,
                machine_id=next(iter(facts.get("machine_id", [])), ""),
                clock_s=_ahead_s(name, facts, ours_s),
                selinux=selinux_problem(name, facts),
                passwords=_passwords(shell),
            )
            return _with_disk(seen, shell) if measures else seen
    except HomelabError as error:
        return GuestSeen(machine=name, problem=str(error))


@contextmanager
def logged_in(
    vm: VmRecord, address: IPv4Address, spec: ClusterSpec, ports: Ports, *, warn: Warn = logger.warning
) -> Iterator[GuestShell]:
    """A login on a machine of ours that runs, with the host key that Proxmox VE tells, or that of the first time.

    Raises HomelabError.
    """
    name = vm.record.machine if vm.record else MachineName(vm.name)
    told = host_key(vm, spec, ports)
    shell = log_in(name, vm, address, told=told, spec=spec, ports=ports, warn=warn)
    try:
        yield shell
    finally:
        shell.close()


def _ahead_s(name: MachineName, facts: dict[str, list[str]], ours_s: float) -> float | None:
    """By how many seconds a guest's clock is ahead; it tells whole seconds, so half of one is added."""
    time = told(facts, "time", machine=name)
    return None if time.absent else time.integer(0, LAST_UNIX_S) + 0.5 - ours_s


def _passwords(shell: GuestShell) -> tuple[str, ...] | None:
    """Who could log in there with a password; None where the machine does not tell."""
    try:
        told = parse_lines(shell.run(GuestScript(name="logins.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
    except HomelabError as error:
        logger.debug("cannot tell who could log in with a password: %s", error)
        return None
    return tuple(told.get("user", [])) if told.get("known") == ["1"] else None


def _with_disk(seen: GuestSeen, shell: GuestShell) -> GuestSeen:
    try:
        lines = parse_lines(shell.run(GuestScript(name="fsync.sh"), timeout_s=_SCRIPT_TIMEOUT_S))
        writes = [told({"write_s": [value]}, "write_s", machine=seen.machine) for value in lines.get("write_s", [])]
        return replace(seen, writes_ms=tuple(write.number(0.0, _LONGEST_WRITE_S) * 1000 for write in writes))
    except HomelabError as error:
        return replace(seen, disk_problem=str(error))
