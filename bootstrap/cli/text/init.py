"""What `init` prints: the resources of a Proxmox VE, what would stop `up`, and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.cli.text.tables import memory, render_table
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.commands.init import Survey
    from bootstrap.model.observed import PveNodeFacts, StorageFacts
    from bootstrap.planning.templates.discovery import TemplateChoice
    from bootstrap.planning.verbs.init import Proposal

MAKE_ONE = Advice("""\
There is no template yet: `homelab-k8s up` builds one from Debian's cloud image, with k3s preinstalled,
and asks first. To build one by hand, see docs/templates.md.""")


def survey_text(seen: Survey, *, width: int = 0) -> str:
    """Proxmox nodes, storages and templates as tables, and missing rights."""
    nodes = [_pve_node(facts) for facts in seen.observed.pve_nodes]
    parts = [
        f"Proxmox VE {seen.observed.version.text}",
        render_table(("PVE NODE", "CORES", "MEMORY", "FREE", "BRIDGES"), nodes, width=width),
    ]
    storages = list(_storages(seen.observed.pve_nodes))
    if storages:
        parts.append(render_table(("STORAGE", "KIND", "ON", "FREE", "FOR DISKS"), storages, width=width))
    if seen.templates:
        parts.append(render_table(("TEMPLATE", "ON", "USABLE"), map(_template, seen.templates), width=width))
        parts += [f"{choice.ref}: {choice.problem}\n→ {choice.remedy}" for choice in seen.templates if choice.problem]
    elif not seen.blind:
        parts.append(MAKE_ONE)
    if seen.missing:
        parts.append(missing_text(seen))
    return "\n\n".join(parts) + "\n"


def missing_text(seen: Survey) -> str:
    """What the token lacks, and the commands that grant it."""
    lacks = "\n".join(f"  {lack}" for lack in seen.missing)
    remedies = "\n".join(lack.remedy for lack in seen.missing)
    return f"The token lacks rights that `up` needs:\n{lacks}\n→ as root on a Proxmox node:\n{remedies}"


def written_text(proposal: Proposal, file: Path, *, default: Path) -> str:
    """What was written, problems that `up` would refuse, and the next commands."""
    spec = proposal.spec
    pools = ", ".join(
        f"{count(pool.count, noun)} ({count(pool.cores, 'core')}, {memory(pool.memory_mib)})"
        for pool, noun in ((spec.control_plane, "server"), *((each, "worker") for each in spec.workers))
        if pool.count
    )
    lines = [f"{file}: {spec.name}, {pools}, template {spec.template}"]
    for problem in proposal.problems:
        lines.append(f"not yet: {problem}")
    which = [] if file == default else ["-i", str(file)]
    commands = (["doctor", *which], ["up", "--dry-run", *which], ["up", *which])
    nexts = [shlex.join(["homelab-k8s", *command]) for command in commands]
    return "\n".join([*lines, f"next: {nexts[0]}", *(f"then: {line}" for line in nexts[1:])])


def _pve_node(facts: PveNodeFacts) -> tuple[str, ...]:
    from bootstrap.model.sizing import SizingSpec
    from bootstrap.planning.capacity.sizing import Capacity

    if not facts.online:
        return facts.name, "-", "-", "offline", "-"
    room = Capacity.of(facts, SizingSpec())
    sizes = ("unknown", "unknown", "unknown")
    if room.is_known:
        sizes = (str(facts.cores), _gib(facts.memory_mib), _gib(max(0, room.free_memory_mib)))
    vnets = {vnet.name for vnet in facts.vnets}
    bridges = ", ".join(f"{name} (vnet)" if name in vnets else name for name in sorted(facts.bridges))
    return facts.name, *sizes, bridges or "not visible"


def _storages(pve_nodes: tuple[PveNodeFacts, ...]) -> Iterator[tuple[str, ...]]:
    """A row per storage and kind; the least free space, if several Proxmox nodes have it."""
    from bootstrap.planning.checks.preflight import storage_problem

    found: dict[tuple[str, str], list[tuple[str, StorageFacts]]] = {}
    for facts in pve_nodes:
        for storage in facts.storages:
            found.setdefault((storage.name, storage.kind), []).append((facts.name, storage))
    for (name, kind), seen in sorted(found.items()):
        free = min(storage.free_gib for _, storage in seen)
        problem = next(filter(None, (storage_problem(storage) for _, storage in seen)), "")
        on = ", ".join(pve_node for pve_node, _ in seen)
        yield (
            name,
            f"{kind}, shared" if seen[0][1].shared else kind,
            on,
            f"{free} GiB",
            f"no: it {problem}" if problem else "yes",
        )


def _template(choice: TemplateChoice) -> tuple[str, ...]:
    return str(choice.ref), ", ".join(choice.pve_nodes) or "-", "no, see below" if choice.problem else "yes"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f} GiB"
