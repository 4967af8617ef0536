"""A cluster's status for people: machines, what they run on, and the problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.cli.text.tables import age_text, memory, render_table, role_text
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.commands.reports.status_values import (
        ApiCertificate,
        ClusterStatus,
        MachineStatus,
        SnapshotsStatus,
        Vip,
    )
    from bootstrap.k3s.worker_token import WorkerToken

_READY = {True: "yes", False: "no", None: "unknown"}
_VM = {"half-made": "incomplete", "out of sight": "unreachable"}
"""States of a VM with other words in `-o json`, which scripts read."""
_DROP = ("ROLE", "VMID", "K3S", "PVE NODE", "ADDRESS")
"""Columns that are left out on a narrow terminal, in this order."""
_HEADINGS = ("MACHINE", "ROLE", "PVE NODE", "VMID", "ADDRESS", "VM", "READY", "K3S")
_WIDE = ("POOL", "CORES", "MEMORY", "DISK", "CPU TYPE", "OS")


def status_text(
    status: ClusterStatus, *, wide: bool = False, width: int = 0, advise: Callable[[str], str] = str
) -> str:
    """Machines and Kubernetes nodes side by side, what they run on, then the problems.

    Args:
        status: What was found.
        wide: Show sizes, with the wanted ones where they differ.
        width: Columns of the terminal; 0 for no limit. With `wide` no column is left out: without room for them, each
            machine is a paragraph.
        advise: Completes the commands in our texts.
    """
    headings = (*_HEADINGS, *_WIDE) if wide else _HEADINGS
    table = render_table(
        headings,
        [(*_cells(machine), *(_wide_cells(machine) if wide else ())) for machine in status.machines],
        width=width,
        drop=() if wide else _DROP,
    )
    facts = "\n".join(f"{name:<12}  {says}" for name, says in _facts(status, advise))
    return "\n\n".join(filter(None, (table, facts, _notices(status, advise), _verdict(status, advise))))


def _cells(machine: MachineStatus) -> tuple[str, ...]:
    return (
        machine.name,
        role_text(machine.role, machine.kind),
        machine.pve_node or "-",
        str(machine.vmid or "-"),
        str(machine.address or "-"),
        _VM.get(machine.vm, machine.vm),
        ", ".join(
            filter(
                None,
                (
                    "no (stale)" if machine.stale else _READY[machine.ready],
                    "cordoned" if machine.cordoned else "",
                    "being removed" if machine.leaving else "",
                ),
            )
        ),
        machine.k3s_version or "-",
    )


def _wide_cells(machine: MachineStatus) -> tuple[str, ...]:
    wanted = machine.wanted
    return (
        machine.pool,
        _beside(machine.cores, wanted.cores if wanted else 0, str),
        _beside(machine.memory_mib, wanted.memory_mib if wanted else 0, memory),
        _beside(machine.disk_gib, wanted.disk_gib if wanted else 0, lambda gib: f"{gib} GiB"),
        machine.cpu_type or "-",
        machine.os_image or "-",
    )


def _beside(have: int, want: int, say: Callable[[int], str]) -> str:
    """`2`, or `2 (4 wanted)`."""
    if not have:
        return "-"
    return say(have) if not want or have == want else f"{say(have)} ({say(want)} wanted)"


def _facts(status: ClusterStatus, advise: Callable[[str], str]) -> list[tuple[str, str]]:
    """Facts about the whole cluster, as name and text."""
    found = []
    if status.at_work:
        found.append(("in use by", status.at_work))
    if status.datastore is not None:
        found.append(("datastore", str(status.datastore)))
    if status.vip is not None:
        found.append(("API address", _vip(status.vip)))
    if status.certificate is not None:
        found.append(("certificate", _certificate(status.certificate)))
    if status.snapshots is not None:
        found.append(("snapshots", advise(_snapshots(status.snapshots))))
    if status.worker_token is not None:
        found.append(("worker token", advise(worker_token_text(status.worker_token))))
    if status.maintenance:
        found.append(("maintenance", ", ".join(f"{name} ({by})" for name, by in status.maintenance)))
    return found


def worker_token_text(token: WorkerToken) -> str:
    """Which token workers have, and how to fix it."""
    from bootstrap.k3s.worker_token import REMEDY, WorkerToken

    return str(token) if token is WorkerToken.AGENT else Advice("{}: {}", token, REMEDY)


def _vip(vip: Vip) -> str:
    return f"{vip.address}, {f'held by {vip.holder}' if vip.holder else 'not held by any server that answered'}"


def _certificate(certificate: ApiCertificate) -> str:
    days = certificate.days_left
    return f"{f'valid for {days:.0f} days' if days > 0 else f'expired {-days:.0f} days ago'} ({certificate.machine})"


def _snapshots(snapshots: SnapshotsStatus) -> str:
    if snapshots.newest is None:
        return Advice("none; take one with `homelab-k8s backup`")
    age = f", {age_text(snapshots.age_s)} old" if snapshots.age_s is not None else ""
    return f"{snapshots.count}, the newest {snapshots.newest.name}{age}"


def _notices(status: ClusterStatus, advise: Callable[[str], str]) -> str:
    """Notes that are no problem of the cluster and do not change the exit code."""
    return "\n".join(f"note: {advise(notice)}" for notice in status.notices)


def _verdict(status: ClusterStatus, advise: Callable[[str], str]) -> str:
    if status.healthy:
        return f"{status.cluster}: {count(len(status.machines), 'machine')}, all Ready"
    problems = [f"  - {advise(problem)}" for problem in status.problems]
    return "\n".join([f"{status.cluster}: {count(len(status.problems), 'problem')}", *problems])
