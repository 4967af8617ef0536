"""Which CPU type machines get where the inventory names none.

`host` where all Proxmox nodes in use have the same model; else the highest x86-64 level that all of them
have, so that a machine may move between them; `kvm64` where not even x86-64-v2 is common. Levels as the
x86-64 psABI defines them; the type names are Proxmox VE 8's (QEMU's CPU models, `x86-64-v2-AES` with AES).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName
from bootstrap.model.machine import MachineKind, MachineSpec, NodePool
from bootstrap.model.observed import CUSTOM_MODEL, Observed, PveNodeFacts

_V2 = frozenset({"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"})
_V3 = _V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

LEVELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("x86-64-v4", _V4 | {"aes"}),
    ("x86-64-v3", _V3 | {"aes"}),
    ("x86-64-v2-AES", _V2 | {"aes"}),
    ("x86-64-v2", _V2),
)
"""CPU types from the most to the least able, with the /proc/cpuinfo flags each needs."""


def common_cpu_type(pve_nodes: Iterable[PveNodeFacts]) -> str:
    """The best CPU type that every one of these Proxmox nodes can run."""
    every = tuple(pve_nodes)
    models = {facts.cpu_model for facts in every}
    if len(models) == 1 and models != {""}:
        return "host"
    if any(facts.architecture != "x86_64" for facts in every):
        return "host"
    shared = frozenset.intersection(*(facts.cpu_flags for facts in every)) if every else frozenset()
    return next((name for name, flags in LEVELS if flags <= shared), "kvm64")


def unknown_type(cpu_type: str | None, facts: PveNodeFacts) -> str:
    """That a Proxmox node knows no such CPU type; empty where it does, or was not asked.

    A VM's config takes no other: "Built-in cputype 'x' is not defined", "Custom cputype 'x' not found" (9.2.11, seen).
    What other architectures have is not in that list.
    """
    if not cpu_type or not facts.cpu_types or cpu_type in facts.cpu_types or facts.architecture != "x86_64":
        return ""
    by_lower = {name.lower(): name for name in sorted(facts.cpu_types)}
    near = [by_lower[name] for name in get_close_matches(cpu_type.lower(), by_lower, n=3)]
    said = f"{facts.name} knows no CPU type {cpu_type}"
    if cpu_type.startswith(CUSTOM_MODEL):
        said += ", or this token may not see it (Mapping.Use on /mapping/cpu, before 9.2 Sys.Audit on /nodes)"
    return f"{said}; near: {', '.join(near)}" if near else said


def unknown_remedy(name: PveNodeName) -> str:
    """What to do about a CPU type that a Proxmox node does not know."""
    return (
        "write one that it knows as the pool's `cpu`, or leave `cpu` out; to list them, as root on a Proxmox node: "
        f"pvesh get /nodes/{name}/capabilities/qemu/cpu"
    )


def unknown_types(spec: ClusterSpec, observed: Observed) -> dict[str, PveNodeName]:
    """All pools' CPU types that a Proxmox node which they may go to does not know: the words, and that node."""
    found = {
        unknown_type(pool.cpu_type, facts): facts.name
        for pool in spec.pools
        for facts in observed.pve_nodes
        if _may_get_vms_of(pool, facts, spec)
    }
    return {words: name for words, name in found.items() if words}


def _may_get_vms_of(pool: NodePool, facts: PveNodeFacts, spec: ClusterSpec) -> bool:
    allowed = pool.pve_nodes or spec.placement.pve_nodes or (facts.name,)
    return pool.count > 0 and pool.kind is MachineKind.VM and facts.online and facts.name in allowed


def check_cpu_types(observed: Observed, places: Iterable[tuple[MachineSpec, PveNodeName]]) -> None:
    """Refuse where a Proxmox node that gets a VM does not know its CPU type.

    Raises:
        PreflightError: Names each such Proxmox node, and types of like names.
    """
    there = {facts.name: facts for facts in observed.pve_nodes}
    found = {
        unknown_type(machine.cpu_type, there[name]): (machine.pool, name)
        for machine, name in places
        if name in there and machine.kind is MachineKind.VM
    }
    problems = {words: where for words, where in found.items() if words}
    if problems:
        pool, name = next(iter(problems.values()))
        raise PreflightError(
            f"the CPU type of the pool {pool} is unknown to Proxmox",
            details="\n".join(problems),
            resolution=unknown_remedy(name),
        )
