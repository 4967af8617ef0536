"""Verdicts of `doctor` on what runs: addresses, clocks, certificates, machines, disks. Pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import groupby
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import few_lines
from bootstrap.k3s.worker_token import REMEDY, WorkerToken
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.settings.hardening import GuestHardening
from bootstrap.model.words import count
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.checks.doctor import Check, failed, ok, skipped, warning

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView

CLOCK_WARN_S = 5.0
"""Proxmox VE and the guests report whole seconds, and an answer takes time."""
CLOCK_FAIL_S = 60.0
"""A certificate made now would not be valid yet, or a token be refused, by as much."""
ROOM_WARN_MIB = 64
"""Twenty logs and recordings of some MiB each."""
ROOM_REMEDY = "free some space there (`df -h ~`), or set XDG_STATE_HOME to another disk"
PVE_CERTIFICATE_DAYS = 14
"""Proxmox VE renews its own two weeks before they end."""
API_CERTIFICATE_DAYS = 90
"""k3s renews its leaves at a start when fewer than 120 days are left."""
FSYNC_WARN_MS = 10.0
"""etcd's own limit for its slowest writes: above it, leaders change and the API stalls."""
_DAY_S = 86400.0
_MOST_NAMED = 10
"""Whose names are written out where all is well."""


@dataclass(frozen=True, kw_only=True)
class GuestSeen:
    """What a machine reports of itself.

    Attributes:
        clock_s: By how many seconds its clock is ahead of ours; None where it is not reported.
        writes_ms: How long single synced writes took on its etcd disk; empty where that was not measured.
        disk_problem: Why it could not be; empty where it could.
        selinux: What SELinux lacks there, in words; empty where nothing.
        passwords: Users who could log in by SSH with a password; None where they are not reported.
        hardening: What it reports of a hardened machine's points; None where it was not asked.
        problem: Why it could not be asked at all; empty where it could.
    """

    machine: MachineName
    machine_id: str = ""
    clock_s: float | None = None
    writes_ms: tuple[float, ...] = ()
    disk_problem: str = ""
    selinux: str = ""
    passwords: tuple[str, ...] | None = None
    hardening: GuestHardening | None = None
    problem: str = ""


def check_addresses(new: Sequence[MachineSpec], passed_over: Sequence[str]) -> Check:
    """Whether the addresses that `up` would hand out next are free, as far as can be known from here.

    Args:
        new: The machines that would be made, with the addresses they would get.
        passed_over: A sentence for each range of which some are taken.
    """
    next_ = [
        address for machine in new for address in (machine.address, machine.storage_address) if address is not None
    ]
    if not next_:
        return ok("no new address is needed")
    free = f"no other machine answers at the next {len(next_)} ({', '.join(_ranges(next_))})"
    if passed_over:
        return warning(
            "\n".join((*passed_over, f"`up` skips them; {free}")),
            "limit the range in the inventory to free addresses, outside the DHCP server's range",
        )
    return ok(free)


def _ranges(addresses: Sequence[IPv4Address]) -> Iterator[str]:
    """Runs of neighbours, such as `192.0.2.50 to 192.0.2.53`."""
    ordered = sorted(addresses)
    for _, run in groupby(enumerate(ordered), key=lambda pair: int(pair[1]) - pair[0]):
        ends = [address for _, address in run]
        yield str(ends[0]) if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def check_clocks(pve_s: float | None, guests: Sequence[GuestSeen]) -> Check:
    """Whether all clocks agree with ours; offsets in seconds, positive where theirs is ahead."""
    offsets: dict[str, float] = {} if pve_s is None else {"Proxmox VE": pve_s}
    offsets |= {guest.machine: guest.clock_s for guest in guests if guest.clock_s is not None}
    if not offsets:
        return skipped("Proxmox VE does not report its time")
    facts = tuple((name, round(offset, 1)) for name, offset in offsets.items())
    wrong = {name: offset for name, offset in offsets.items() if abs(offset) >= CLOCK_WARN_S}
    if not wrong:
        whose = named_or_counted(list(offsets), "clock")
        return ok(f"{whose}: same as here, within {CLOCK_WARN_S:g} s", facts=facts)
    says = few_lines(list(_clock_lines(wrong)))
    remedy = "enable NTP on all of them, this machine too: check with `timedatectl status` on each"
    return (failed if max(map(abs, wrong.values())) >= CLOCK_FAIL_S else warning)(says, remedy, facts=facts)


def _clock_lines(offsets: Mapping[str, float]) -> Iterator[str]:
    for name, ahead_s in offsets.items():
        yield f"{name} is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine"


def named_or_counted(names: Sequence[str], noun: str) -> str:
    """A few names, or how many there are: `12 machines`."""
    return ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} {noun}s"


def check_certificate(what: str, *, days_left: float, warn_days: float, remedy: str) -> Check:
    """Whether a certificate is valid for a good while yet."""
    facts = (("days_left", round(days_left, 1)),)
    if days_left <= 0:
        return failed(f"{what} ended {-days_left:.0f} days ago", remedy, facts=facts)
    if days_left < warn_days:
        return warning(f"{what} ends in {days_left:.0f} days", remedy, facts=facts)
    return ok(f"{what}: {days_left:.0f} days left", facts=facts)


def check_machines(guests: Sequence[GuestSeen]) -> Check:
    """Whether machines can be logged in to, and are not copies of one identity."""
    problems = [guest.problem for guest in guests if guest.problem]
    twins = list(_sharing_a_machine_id(guests))
    if twins:
        return failed(
            few_lines([*twins, *problems]),
            Advice(
                "empty /etc/machine-id in the template (truncate -s 0 /etc/machine-id), then `homelab-k8s down` and "
                "`homelab-k8s up`"
            ),
        )
    if problems:
        return failed(few_lines(problems), Advice("`homelab-k8s status` shows more; `homelab-k8s up` repairs"))
    lacking = [guest.selinux for guest in guests if guest.selinux]
    if lacking:
        return warning(few_lines(lacking), "see docs/templates.md for how to install the packages in a template")
    return ok(f"logged in to {len(guests)}; each has its own machine-id")


def _sharing_a_machine_id(guests: Iterable[GuestSeen]) -> Iterator[str]:
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    for guest in guests:
        by_id[guest.machine_id].append(guest.machine)
    by_id.pop("", None)
    return (f"{' and '.join(names)} have the same machine-id" for names in by_id.values() if len(names) > 1)


def check_etcd_disks(guests: Sequence[GuestSeen]) -> Check:
    """Whether the servers' disks are fast enough for etcd."""
    medians = {guest.machine: statistics.median(guest.writes_ms) for guest in guests if guest.writes_ms}
    problems = few_lines(list(filter(None, (guest.disk_problem for guest in guests))))
    if not medians:
        return skipped(problems or "no server with etcd could be reached")
    facts = tuple((name, round(ms, 2)) for name, ms in medians.items())
    says = f"a synced write takes {', '.join(f'{name} {ms:.1f} ms' for name, ms in medians.items())} (median)"
    if max(medians.values()) > FSYNC_WARN_MS:
        return warning(
            f"{says}; etcd wants less than {FSYNC_WARN_MS:g}",
            "move the servers' disks to an SSD with power-loss protection, or to a less busy storage",
            facts=facts,
        )
    if problems:
        return warning(f"{says}, but\n{problems}", Advice("run `homelab-k8s doctor` again"), facts=facts)
    return ok(says, facts=facts)


def check_state_room(free_bytes: int) -> Check:
    """Whether keys, kubeconfigs, logs and recordings have room; that they have none at all is refused before."""
    mib = free_bytes >> 20
    facts = (("free_mib", mib),)
    if mib < ROOM_WARN_MIB:
        return warning(f"{mib} MiB are free in the file system of the state directory", ROOM_REMEDY, facts=facts)
    return ok("the state directory has enough free space", facts=facts)


def check_spread(view: ClusterView) -> Check:
    """Whether etcd keeps its majority when any one Proxmox node fails; a warning where machines could be placed so."""
    held = Counter(vm.pve_node for vm, record in view.machines if record.role is Role.CONTROL_PLANE)
    servers = held.total()
    if not servers:
        return skipped("there is no server yet")
    spare = (servers - 1) // 2  # so many of them etcd can lose
    if not spare:
        return ok(f"{count(servers, 'server')}: three can outlive the loss of a Proxmox node")
    pve_node, most = held.most_common(1)[0]
    if most <= spare:
        return ok(
            f"{servers} servers on {len(held)} Proxmox nodes: the Kubernetes API outlives the loss of any of them"
        )
    usable = _usable_by_servers(view)
    if spare * usable < servers:
        return ok(f"{servers} servers on {count(usable, 'Proxmox node')}: too few nodes to outlive one's loss")
    says = f"{most} of {servers} servers are on {pve_node}: without this Proxmox node the Kubernetes API stops"
    return warning(says, Advice("`homelab-k8s rebalance` shows which machines to replace"))


def _usable_by_servers(view: ClusterView) -> int:
    """How many Proxmox nodes can have servers now."""
    away = in_maintenance(view)
    online = (facts.name for facts in view.observed.pve_nodes if facts.online and facts.name not in away)
    return sum(view.may_use(name, view.spec.control_plane) for name in online)


def check_worker_token(held: WorkerToken | None) -> Check:
    """Whether a compromised worker gives access to no more than a worker needs."""
    if held is None:
        return skipped("no server reports its k3s settings")
    if held is WorkerToken.AGENT:
        return ok(f"workers hold {held}")
    return warning(f"workers hold {held}", REMEDY)
