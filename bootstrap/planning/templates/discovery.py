"""What a Proxmox VE offers a new cluster: templates, storages, bridges, vmids. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import IMAGES, ClusterSpec, TemplateRef, VmidRange
from bootstrap.model.ids import ClusterName, PveNodeName, Vmid
from bootstrap.model.machine import CONTROL_PLANE_POOL, NodePool, Role
from bootstrap.model.observed import Observed, PveNodeFacts, StorageFacts, TemplateFacts
from bootstrap.planning.checks.preflight import storage_on, storage_problem
from bootstrap.planning.templates.templates import matching_templates, usable_templates
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.template import TEMPLATE_TAG

BLOCK = 1000
FIRST_BLOCK = 7000
_STAND_IN = Vmid(999_999_999)
ANY_POOL = NodePool(name=CONTROL_PLANE_POOL, role=Role.CONTROL_PLANE, count=1, cores=1, memory_mib=512, disk_gib=1)
"""For a spec of which only the template counts."""


@dataclass(frozen=True, kw_only=True)
class TemplateChoice:
    """A template as an inventory would name it.

    Attributes:
        pve_nodes: Proxmox nodes that could make machines of it, by name; empty where none can.
        newest: The highest vmid it stands for.
        ours: All templates it stands for have our tag.
        problem, remedy: Why it cannot be used, and what fixes that; empty where it can.
    """

    ref: TemplateRef
    pve_nodes: tuple[PveNodeName, ...]
    newest: Vmid
    ours: bool = False
    problem: str = ""
    remedy: str = ""


def template_choices(observed: Observed) -> tuple[TemplateChoice, ...]:
    """Every way to name a template: first what serves most Proxmox nodes, unusable ones last.

    Our templates are named by their image, since a newer one has another name; except where the image was given as an
    address or a volume, which has no name. A tag is a choice only where it
    serves more Proxmox nodes than anything else does.
    """
    named = [_choice(observed, ref) for ref in _named(observed.templates)]
    most = max((len(choice.pve_nodes) for choice in named), default=0)
    wider = (choice for choice in _tagged(observed) if len(choice.pve_nodes) > most)
    return tuple(sorted([*named, *wider], key=_rank))


def _named(templates: Sequence[TemplateFacts]) -> Iterator[TemplateRef]:
    images = {each.image for each in templates if each.image in IMAGES}
    names = {each.name for each in templates if each.image not in IMAGES}
    yield from (TemplateRef(image=image) for image in sorted(images))
    yield from (TemplateRef(name=name) for name in sorted(names))


def _tagged(observed: Observed) -> Iterator[TemplateChoice]:
    tags = sorted({tag for each in observed.templates for tag in each.tags})
    return (_choice(observed, TemplateRef(tag=tag)) for tag in tags)


def free_vmids(used: Iterable[Vmid], *, own: Iterable[Vmid] = ()) -> VmidRange:
    """A thousand unused vmids, from 7000 on: with a thousand each, clusters do not meet.

    Where the cluster has machines (`own`), the range is theirs.
    """
    ours = sorted(own)
    if ours:
        first, last = ours[0] // BLOCK * BLOCK, ours[-1] // BLOCK * BLOCK
        return VmidRange(first=Vmid(max(first, 100)), last=Vmid(last + BLOCK - 1))
    taken = {vmid // BLOCK for vmid in used}
    block = FIRST_BLOCK // BLOCK
    while block in taken:
        block += 1
    return VmidRange(first=Vmid(block * BLOCK), last=Vmid(block * BLOCK + BLOCK - 1))


def common_storages(pve_nodes: Iterable[PveNodeFacts]) -> tuple[StorageFacts, ...]:
    """The storages that take disks on all of these Proxmox nodes, each with the least room that one of them has."""
    facts = list(pve_nodes)
    found = []
    for name in sorted({storage.name for each in facts for storage in each.storages}):
        seen = [storage_on(each, name) for each in facts]
        good = [storage for storage in seen if storage is not None and not storage_problem(storage)]
        if len(good) == len(facts):
            found.append(min(good, key=lambda storage: storage.free_gib))
    return tuple(found)


def common_bridges(pve_nodes: Iterable[PveNodeFacts]) -> tuple[str, ...]:
    """The bridges that all of these Proxmox nodes have, plain ones before SDN vnets.

    Proxmox nodes whose bridges the token may not list count for all.
    """
    listed = [each for each in pve_nodes if each.bridges]
    vnets = {vnet.name for each in listed for vnet in each.vnets}
    common = frozenset.intersection(*(each.bridges for each in listed)) if listed else frozenset[str]()
    return tuple(sorted(common, key=lambda name: (name in vnets, name)))


def with_stand_ins(view: ClusterView) -> Observed:
    """What would be seen if each Proxmox node had the template, on its roomiest storage for disks."""
    stand_ins = []
    for turn, facts in enumerate(each for each in view.observed.pve_nodes if each.takes_machines):
        storages = common_storages([facts])
        if not storages:
            continue
        roomiest = max(storages, key=lambda storage: storage.free_gib)
        stand_ins.append(
            TemplateFacts(
                vmid=view.spec.template.vmid or Vmid(_STAND_IN - turn),
                name=view.spec.template.name or "",
                pve_node=facts.name,
                tags=frozenset({view.spec.template.tag.lower()} if view.spec.template.tag else ()),
                agent_enabled=True,
                disk="scsi0",
                disk_gib=1,
                storage=roomiest.name,
                linkable=True,
                cloud_init_drive="ide2",
                bridge=None,
            )
        )
    return replace(view.observed, templates=tuple(stand_ins))


def _choice(observed: Observed, ref: TemplateRef) -> TemplateChoice:
    spec = ClusterSpec(name=ClusterName("any"), template=ref, control_plane=ANY_POOL)
    matching = matching_templates(ClusterView(spec, observed))
    choice = TemplateChoice(
        ref=ref,
        pve_nodes=(),
        newest=max((each.vmid for each in matching), default=Vmid(0)),
        ours=all(TEMPLATE_TAG in each.tags for each in matching),
    )
    try:
        return replace(choice, pve_nodes=tuple(sorted(usable_templates(ClusterView(spec, observed)))))
    except PreflightError as error:
        return replace(choice, problem=error.brief, remedy=error.resolution)


def _rank(choice: TemplateChoice) -> tuple[int, bool, bool, int]:
    return (-len(choice.pve_nodes), not choice.ours, choice.ref.tag is not None, -choice.newest)
