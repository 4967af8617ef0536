"""Notes on new clones: what they get instead of what was asked for, and why they may not start. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineKind, MachineSpec
from bootstrap.model.observed import PveNodeFacts, TemplateFacts
from bootstrap.planning.checks.preflight import mtu_notes
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.cpu import LEVELS

CPU_REMEDY = (
    "set a CPU type that all these Proxmox nodes have (such as x86-64-v2-AES), or remove `cpu`: the best common one "
    "is used then"
)


def clone_notes(
    view: ClusterView,
    templates: Mapping[PveNodeName, TemplateFacts],
    places: Iterable[tuple[MachineSpec, PveNodeName]],
) -> tuple[str, ...]:
    """Notes on new machines that are to be cloned where `places` says."""
    there = {facts.name: (facts, templates[facts.name]) for facts in view.observed.pve_nodes if facts.name in templates}
    clones = [(*there[at], machine) for machine, at in places if machine.kind is MachineKind.VM and at in there]
    cpus = filter(None, (cpu_problem(machine.cpu_type, facts) for facts, _, machine in clones))
    gateway = gateway_note(view.spec) if clones else ""
    return (
        *filter(None, (gateway,)),
        *small_disk_notes(view.spec, (template for _, template, _ in clones)),
        *dict.fromkeys(f"{problem}: machines do not start there with KVM" for problem in cpus),
        *mtu_notes(view.spec, clones),
    )


def gateway_note(spec: ClusterSpec) -> str:
    """That machines with fixed addresses get no default route; empty where they do, or DHCP says."""
    addresses = spec.network.addresses
    if addresses is None or addresses.gateway is not None:
        return ""
    return f"network.gateway is not given: machines reach nothing outside {addresses.subnet}, and no image registry"


def small_disk_notes(spec: ClusterSpec, templates: Iterable[TemplateFacts]) -> tuple[str, ...]:
    """That pools' disks are larger than was written: Proxmox VE only lets a disk grow."""
    found = {
        pool.name: (pool.disk_gib, template)
        for template in sorted(templates, key=lambda template: template.disk_gib)
        for pool in spec.pools
        if pool.count and pool.kind is MachineKind.VM and "disk_gib" in pool.stated
        if pool.disk_gib < template.disk_gib
    }
    return tuple(
        f"{pool}: the template {template.name} has a disk of {template.disk_gib} GiB, which cannot be shrunk to {gib} "
        f"GiB: machines get {template.disk_gib} GiB"
        for pool, (gib, template) in found.items()
    )


def cpu_problem(cpu_type: str | None, facts: PveNodeFacts) -> str:
    """Why a CPU type does not run on a Proxmox node; empty where it does, or that is unknown.

    Only the x86-64 levels are judged: QEMU starts a VM with one only if the CPU has all its flags (Proxmox VE sets
    `enforce`). Of vendors' models QEMU knows more than we do.
    """
    wanted = dict(LEVELS).get(cpu_type or "")
    if wanted is None or not facts.x86_flags:
        return ""
    lacking = sorted(wanted - facts.x86_flags)
    return f"the CPU of {facts.name} lacks features of {cpu_type} ({', '.join(lacking)})" if lacking else ""


def cpu_problems(view: ClusterView) -> tuple[str, ...]:
    """The same for all pools, on each Proxmox node that they may go to."""
    online = [facts for facts in view.observed.pve_nodes if facts.online]
    vms = (pool for pool in view.spec.pools if pool.count and pool.kind is MachineKind.VM)
    pairs = ((pool, facts) for pool in vms for facts in online if view.may_use(facts.name, pool))
    return tuple(dict.fromkeys(filter(None, (cpu_problem(pool.cpu_type, facts) for pool, facts in pairs))))
