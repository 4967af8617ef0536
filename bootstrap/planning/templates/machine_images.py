"""What new machines are made of: a template to clone, or what a pool's containers need. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.machine import MachineKind, MachineSpec, NodePool
from bootstrap.model.observed import ARCHITECTURES, Observed, OsTemplate, PveNodeFacts
from bootstrap.planning.capacity.placement import Bases, ContainerBase, Sources
from bootstrap.planning.checks.preflight import storage_on, storage_problem
from bootstrap.planning.templates.templates import allowed_pve_nodes, usable_templates
from bootstrap.planning.view import ClusterView

DEFAULT_OSTEMPLATE = "debian-13-standard"
"""Of Proxmox's own list (`pveam available`): with systemd and an SSH server, as k3s and we need them."""

_VERSION = re.compile(r"_([0-9]{1,9}(?:\.[0-9]{0,9}){0,9})-([0-9]{1,9})_")
_ARCH = re.compile(r"[_-](amd64|arm64)\b")


def sources_for(view: ClusterView, new: Sequence[MachineSpec], *, clones: bool = False) -> Sources:
    """What new machines can be made of; with `clones`, the template too if none of them is a VM.

    Raises:
        PreflightError: Something they need is on no Proxmox node; says what to do.
    """
    templates = any(machine.kind is MachineKind.VM for machine in new)
    return Sources(templates=usable_templates(view) if templates or clones else {}, bases=_bases(view, new))


def _bases(view: ClusterView, new: Sequence[MachineSpec]) -> Bases:
    wanted = {machine.pool for machine in new if machine.kind is MachineKind.LXC}
    return {pool.name: container_bases(view, pool) for pool in view.spec.pools if pool.name in wanted}


def container_bases(view: ClusterView, pool: NodePool) -> Mapping[PveNodeName, ContainerBase]:
    """What a pool's containers are made of, on each Proxmox node that has all of it.

    Raises:
        PreflightError: None has; with the reason for each.
    """
    allowed = allowed_pve_nodes(view)
    found: dict[PveNodeName, ContainerBase] = {}
    lacks: dict[PveNodeName, str] = {}
    for facts in view.observed.pve_nodes:
        if facts.name not in allowed or (pool.pve_nodes and facts.name not in pool.pve_nodes):
            continue
        template = _newest(_matching(pool, facts, view.observed))
        storage, problem = _root_storage(view.spec, pool, facts)
        if template is None:
            lacks[facts.name] = f"{facts.name} has no container template {_wanted(pool)}"
        elif storage is None:
            lacks[facts.name] = problem
        else:
            found[facts.name] = ContainerBase(ostemplate=template.volume, storage=storage)
    if not found:
        raise _nothing(pool, view.observed, lacks)
    return found


def all_bases(view: ClusterView) -> Iterator[ContainerBase]:
    """What containers of all pools would be made of; where there is nothing, the plan says so."""
    for pool in view.spec.pools:
        if pool.kind is MachineKind.LXC and pool.count:
            try:
                yield from container_bases(view, pool).values()
            except PreflightError:
                continue


def _wanted(pool: NodePool) -> str:
    return pool.ostemplate or DEFAULT_OSTEMPLATE


def _matching(pool: NodePool, facts: PveNodeFacts, observed: Observed) -> Iterator[OsTemplate]:
    wanted, arch = _wanted(pool), ARCHITECTURES.get(facts.architecture, facts.architecture)
    for template in observed.ostemplates:
        name = template.file_name
        named = wanted in (template.volume, name) or name.startswith(f"{wanted}_")
        found = _ARCH.search(name)
        if template.pve_node == facts.name and named and (found is None or found[1] == arch):
            yield template


def _newest(templates: Iterator[OsTemplate]) -> OsTemplate | None:
    """The highest version; of one version on several storages always the same."""
    return max(templates, key=lambda template: (_version(template.file_name), template.volume), default=None)


def _version(file_name: str) -> tuple[int, ...]:
    """`debian-13-standard_13.1-2_amd64.tar.zst` is (13, 1, 2)."""
    found = _VERSION.search(file_name)
    return tuple(int(part) for part in (*found[1].split("."), found[2]) if part) if found else ()


def _root_storage(spec: ClusterSpec, pool: NodePool, facts: PveNodeFacts) -> tuple[StorageName | None, str]:
    """Where root file systems go: where the inventory says, else where most room is; or why nowhere."""
    named = pool.storage or spec.placement.storage
    if named is not None:
        problem = storage_problem(storage_on(facts, named), content="rootdir", what="containers")
        return (None, f"{named} of {facts.name} {problem}") if problem else (named, "")
    fit = [one for one in facts.storages if not storage_problem(one, content="rootdir")]
    if not fit:
        return None, f"{facts.name} has no active storage for containers (content rootdir)"
    return max(fit, key=lambda storage: (storage.free_gib, storage.name)).name, ""


def _nothing(pool: NodePool, observed: Observed, lacks: Mapping[PveNodeName, str]) -> PreflightError:
    seen = sorted({template.volume for template in observed.ostemplates})
    lines = [*lacks.values(), *([f"container templates seen: {', '.join(seen)}"] if seen else [])]
    if any("no container template" in text for text in lacks.values()):
        resolution = (
            "as root on the Proxmox node: `pveam update`, then `pveam available --section system` shows the names and "
            "`pveam download local NAME` fetches one; or in its web interface: local, CT Templates, Templates"
        )
    else:
        resolution = f"set a storage with the content rootdir as storage of {pool.name}, or as proxmox.storage"
    if not lacks:
        lines = [f"the pool is limited to {', '.join(pool.pve_nodes)}, none of which is allowed and online"]
        resolution = f"correct `nodes` of the pool {pool.name}"
    return PreflightError(
        f"no Proxmox node can run containers of the pool {pool.name}; nothing was created",
        details="\n".join(lines),
        resolution=resolution,
    )
