"""Which CPU type machines get where the inventory names none.

`host` where all Proxmox nodes in use have the same model; else the highest x86-64 level that all of them
have, so that a machine may move between them; `kvm64` where not even x86-64-v2 is common. Levels as the
x86-64 psABI defines them; the type names are Proxmox VE 8's (QEMU's CPU models, `x86-64-v2-AES` with AES).
"""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap.model.observed import PveNodeFacts

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
    nodes = tuple(pve_nodes)
    models = {facts.cpu_model for facts in nodes}
    if len(models) == 1 and models != {""}:
        return "host"
    if any(facts.architecture != "x86_64" for facts in nodes):
        return "host"
    shared = frozenset.intersection(*(facts.cpu_flags for facts in nodes)) if nodes else frozenset()
    return next((name for name, flags in LEVELS if flags <= shared), "kvm64")
