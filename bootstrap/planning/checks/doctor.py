"""What `doctor` finds out, as values, and its verdicts on what Proxmox VE has. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bootstrap.advice import Advice, joined
from bootstrap.errors import HomelabError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineKind, NodePool
from bootstrap.model.observed import Observed, PveNodeFacts, TemplateFacts
from bootstrap.model.words import count
from bootstrap.planning.capacity.maintenance import in_maintenance
from bootstrap.planning.capacity.sizing import Capacity
from bootstrap.planning.checks.clone_notes import CPU_REMEDY, cpu_problems, small_disk_notes
from bootstrap.planning.checks.preflight import (
    MTU_REMEDY,
    QUORUM_REMEDY,
    STORAGE_REMEDY,
    clone_storage_problem,
    mtu_notes,
    network_problems,
    storage_of,
    storage_on,
)
from bootstrap.planning.plan import Action, Plan
from bootstrap.planning.templates.machine_images import container_bases
from bootstrap.planning.templates.templates import usable_templates
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.cpu import unknown_remedy, unknown_types
from bootstrap.proxmox.inherited import taken_off_notes
from bootstrap.proxmox.networks import bridges_of

OLDEST_MAJOR = 8
"""`ciupgrade` and the x86-64-v2 CPU types came with it."""

_TUNNEL_OFFLOAD_SINCE = (10, 2)
_TUNNEL_OFFLOAD_UNTIL = (9, 1, 18)
KVM_REMEDY = (
    "enable VT-x or AMD-V in the BIOS; if Proxmox VE is a VM itself, give that VM the CPU type `host` and nested "
    "virtualisation; or set `kvm: 0` on the template, which emulates the CPU and is very slow"
)

Facts = tuple[tuple[str, str | float], ...]


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        name: Which, one of a fixed list: `endpoint`, `tls`, `token`, ...; the list of `doctor` gives it.
        says: What was found, or why it was skipped; may have several lines.
        remedy: What the user does; a line that is a command can be copied as it is. Empty where nothing is to be done.
        facts: Numbers and names for programs.
    """

    verdict: Verdict
    says: str
    remedy: str = ""
    facts: Facts = ()
    name: str = ""


def ok(says: str, *, facts: Facts = ()) -> Check:
    """A check that went well."""
    return Check(verdict=Verdict.OK, says=says, facts=facts)


def warning(says: str, remedy: str, *, facts: Facts = ()) -> Check:
    """A check that found what works but should not stay so."""
    return Check(verdict=Verdict.WARNING, says=says, remedy=remedy, facts=facts)


def failed(says: str, remedy: str, *, facts: Facts = ()) -> Check:
    """A check that found what `up` would fail of, or what is broken."""
    return Check(verdict=Verdict.FAILED, says=says, remedy=remedy, facts=facts)


def skipped(why: str) -> Check:
    """A check that could not be made, or about which there is nothing to say."""
    return Check(verdict=Verdict.SKIPPED, says=why)


def refused(error: HomelabError) -> Check:
    """The check that an error is: what failed, what the other side said, what to do."""
    return failed(f"{error.brief}\n{error.details}" if error.details else error.brief, error.resolution)


def check_version(observed: Observed, packages: Mapping[PveNodeName, Mapping[str, str]]) -> Check:
    """Whether Proxmox VE is new enough, and none of its nodes loses pods' packets, by its packages' versions."""
    version = observed.version
    facts = (("version", version.text),)
    if version.major < OLDEST_MAJOR:
        return failed(f"Proxmox VE {version.text} is too old", "upgrade to Proxmox VE 8 or 9", facts=facts)
    losing = [name for name, versions in sorted(packages.items()) if _loses_vxlan(versions)]
    if losing:
        return warning(
            f"Proxmox VE {version.text}; {', '.join(losing)} may lose packets between pods on different machines: its "
            "QEMU offers VMs UDP tunnel offload, which breaks VXLAN (flannel's default) on some network cards",
            f"on {', '.join(losing)}: apt update && apt install qemu-server (9.1.18 or newer); then power each machine "
            "off and on",
            facts=facts,
        )
    return ok(f"Proxmox VE {version.text}", facts=facts)


def _loses_vxlan(versions: Mapping[str, str]) -> bool:
    """Whether VMs get UDP tunnel offload: QEMU has it since 10.2, qemu-server 9.1.18 takes it off (its changelog)."""
    qemu, server = (_numbers(versions.get(name, "")) for name in ("pve-qemu-kvm", "qemu-server"))
    return qemu >= _TUNNEL_OFFLOAD_SINCE and () < server < _TUNNEL_OFFLOAD_UNTIL


def _numbers(version: str) -> tuple[int, ...]:
    """`10.2.0-1` is (10, 2, 0, 1); empty where it is no version."""
    return tuple(int(part) for part in re.findall("[0-9]{1,9}", version.partition("~")[0]))


def check_quorum(observed: Observed) -> Check:
    """Whether the Proxmox cluster has quorum."""
    if observed.lost_quorum is not None:
        return failed(str(observed.lost_quorum), QUORUM_REMEDY)
    return ok("no sign that the Proxmox cluster lacks quorum")


def check_kvm(view: ClusterView) -> Check:
    """Whether the CPUs of each Proxmox node have virtualisation and the CPU types of the pools.

    Without VT-x or AMD-V no VM with KVM starts. Other architectures than x86-64 have no such flag.
    """
    unknown = unknown_types(view.spec, view.observed)
    if unknown:
        return failed("\n".join(unknown), unknown_remedy(next(iter(unknown.values()))))
    flags = {facts.name: facts.x86_flags for facts in view.observed.pve_nodes if facts.online and facts.x86_flags}
    lacking = [name for name, its in flags.items() if not its & {"vmx", "svm"}]
    if lacking:
        return warning(  # not failed: a template with `kvm: 0` does start there
            f"the CPUs of {', '.join(lacking)} show no virtualisation (vmx, svm): VMs with KVM do not start there",
            KVM_REMEDY,
        )
    too_new = cpu_problems(view)
    if too_new:
        return warning("\n".join(too_new), CPU_REMEDY)
    if not flags:
        return skipped("this token may not see the CPUs of the Proxmox nodes (Sys.Audit), or they are not x86-64")
    return ok(f"{', '.join(flags)}: the CPUs have virtualisation")


def check_template(view: ClusterView) -> Check:
    """Whether the template exists and is complete; with a warning where clones will be full ones.

    Raises:
        PreflightError: It is not.
    """
    usable = usable_templates(view)
    templates = {name: template for name, template in usable.items() if not template.planned}
    if not templates:
        return warning(
            f"there is no template of {view.spec.template.image} on {', '.join(sorted(usable))}",
            Advice("`homelab-k8s up` builds it (it asks first), or: `homelab-k8s template build`"),
        )
    full = [f"{template.storage} of {name}" for name, template in sorted(templates.items()) if not template.linkable]
    by_vmid = dict(sorted({template.vmid: template for template in templates.values()}.items()))
    says = f"{', '.join(map(str, by_vmid.values()))}: guest agent enabled, cloud-init drive present"
    says = joined("\n", (says, *taken_off_notes(by_vmid.values())))
    small = small_disk_notes(view.spec, by_vmid.values())
    if small:
        return warning("\n".join((says, *small)), "set a larger disk in the inventory, or use a smaller template")
    if full:
        return warning(
            f"{says}\nbut linked clones cannot be made on {', '.join(full)}: each machine is a full clone, which takes "
            "minutes",
            "move the template's disk to a storage with linked clones (dir, zfs, lvm-thin, rbd, btrfs), and convert "
            "it to a template there",
        )
    return ok(f"{says}, linked clones are possible")


def check_containers(view: ClusterView) -> Check:
    """Whether what containers are made of is there, for each pool of them.

    Raises:
        PreflightError: It is not.
    """
    lines = [
        f"{pool.name}: {base.ostemplate} on {name}, root file systems on {base.storage}"
        for pool in view.spec.pools
        if pool.kind is MachineKind.LXC
        for name, base in container_bases(view, pool).items()
    ]
    return ok("\n".join(lines))


def check_storages(view: ClusterView) -> Check:
    """Whether disks can be put where they are to go: active, for images, with room."""
    problems, fine = [], []
    reserve_gib = view.spec.sizing.storage_reserve_gib
    for facts, template in _in_use(view):
        name = storage_of(view.spec, template)
        storage = storage_on(facts, name)
        problem = clone_storage_problem(view.spec, facts, template)
        if not problem and storage is not None and storage.free_gib <= reserve_gib:
            problem = f"has {storage.free_gib} GiB free, and {reserve_gib} are reserved"
        if problem:
            problems.append(f"{name} of {facts.name} {problem}")
        elif storage is not None:
            fine.append(f"{name} of {facts.name}: {storage.free_gib} GiB free")
    if problems:
        return failed("\n".join(problems), STORAGE_REMEDY)
    return ok("; ".join(fine))


def check_bridges(view: ClusterView) -> Check:
    """Whether each bridge that machines are put on is on each Proxmox node that may get some."""
    in_use = list(_pools_in_use(view))
    wrong = dict(problem for each in in_use for problem in network_problems(view.spec, *each))
    if wrong:
        return failed("\n".join(wrong), "; ".join(dict.fromkeys(wrong.values())))
    unknown = dict.fromkeys(facts.name for facts, _, _ in in_use if not facts.bridges)
    if unknown:
        return skipped(f"this token may not list the networks of {', '.join(unknown)} (Sys.Audit)")
    found = dict.fromkeys(text for each in in_use for text in _bridges(view.spec, *each))
    notes = mtu_notes(view.spec, in_use)
    if notes:
        return warning("\n".join((", ".join(found), *notes)), MTU_REMEDY)
    return ok(", ".join(found))


def _bridges(spec: ClusterSpec, facts: PveNodeFacts, template: TemplateFacts, pool: NodePool) -> Iterator[str]:
    vnets = {vnet.name for vnet in facts.vnets}
    for bridge in bridges_of(spec, template, pool):
        yield f"{'vnet ' if bridge in vnets else ''}{bridge} on {facts.name}"


def check_capacity(view: ClusterView, plan: Plan) -> Check:
    """The arithmetic of what fits; that it does is what `plan` shows."""
    new = [machine for machine in plan.machines if machine.action is Action.CREATE]
    mib = sum(machine.spec.memory_mib for machine in new)
    cores = sum(machine.spec.cores for machine in new)
    fit = f"{count(len(new), 'new machine')} ({cores} vCPUs, {mib} MiB) fit" if new else "no new machine is needed"
    rooms = _room_lines(view, {machine.place.pve_node for machine in new})
    facts = (("new_machines", len(new)), ("memory_mib", mib), ("cores", cores))
    return ok("\n".join((fit, *rooms)), facts=facts)


def _room_lines(view: ClusterView, used: Collection[PveNodeName]) -> Iterator[str]:
    """The room of the Proxmox nodes in `used` (of all, where that is empty), and those in maintenance."""
    for facts in view.observed.pve_nodes:
        if facts.online and (facts.name in used or not used):
            yield f"{facts.name}: {_arithmetic(facts, Capacity.of(facts, view.spec.sizing))}"
    yield from (f"{name}: in maintenance, according to {by}" for name, by in in_maintenance(view).items())


def _arithmetic(facts: PveNodeFacts, room: Capacity) -> str:
    if not room.is_known:
        return room.unknown
    return (
        f"{facts.memory_mib} MiB - {room.sizing.memory_reserve_mib} reserve - {facts.committed_memory_mib} of guests "
        f"= {room.free_memory_mib} MiB; {facts.cores} cores x {room.sizing.cpu_overcommit:g} - "
        f"{facts.committed_cores} of guests = {room.free_cores} vCPUs"
    )


def _in_use(view: ClusterView) -> Iterable[tuple[PveNodeFacts, TemplateFacts]]:
    """Each Proxmox node that machines may go to, with its template."""
    by_name = {facts.name: facts for facts in view.observed.pve_nodes}
    return ((by_name[name], template) for name, template in sorted(usable_templates(view).items()))


def _pools_in_use(view: ClusterView) -> Iterator[tuple[PveNodeFacts, TemplateFacts, NodePool]]:
    """The same, with each pool whose machines may go there."""
    for facts, template in _in_use(view):
        yield from (
            (facts, template, pool) for pool in view.spec.pools if pool.count and view.may_use(facts.name, pool)
        )
