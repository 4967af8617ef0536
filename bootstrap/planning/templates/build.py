"""Plans templates: which are to be built, on which Proxmox node and storages, and which may go. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.model.observed import Observed, PveNodeFacts
from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.provision.joining import fetched
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.templates.build_storages import StorageOptions, check_build_storages, choose_storage
from bootstrap.planning.templates.discovery import common_bridges
from bootstrap.planning.templates.steps import (
    AwaitBuilder,
    BakeGuest,
    CleanGuest,
    FetchImage,
    MakeBuilder,
    RemoveIsos,
    RemoveTemplate,
    SealTemplate,
    StartBuilder,
    TemplateBuild,
    TemplateStep,
    UploadSeed,
)
from bootstrap.planning.templates.templates import reaches
from bootstrap.records.template import BuildState, Recipe, TemplateVm, template_vmid

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


TIDIED = Gate("leftovers_gone")
_ISO = re.compile(r"[^:]+:iso/hk8s-[0-9a-f]{8}-([0-9]{1,9})\.iso")


@dataclass(frozen=True, kw_only=True)
class TemplatesSeen:
    """What there is of templates.

    Attributes:
        templates: Ours, and VMs that are to become ones.
        isos: NoCloud ISOs of ours, by Proxmox node.
        key: Fingerprint of our SSH key.
        foreign: Those that say they are ours, and are not signed with a key that this computer has: left alone.
    """

    templates: tuple[TemplateVm, ...]
    isos: tuple[tuple[PveNodeName, str], ...]
    key: str
    foreign: tuple[TemplateVm, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What `template build` was told; storages that are None are chosen.

    Attributes:
        pve_nodes: Where; empty for all the inventory allows.
        again: Whether to build where a template of the same recipe is.
    """

    image: str = "debian-13"
    checksum: str = ""
    pve_nodes: tuple[PveNodeName, ...] = ()
    disk_storage: StorageName | None = None
    image_storage: StorageName | None = None
    iso_storage: StorageName | None = None
    again: bool = False


def storage_wish(verb_options: BuildOptions, *, imports: bool) -> StorageOptions:
    """What is wished for of storages; `imports`: whether the image is to be downloaded."""
    return StorageOptions(
        disk=verb_options.disk_storage, image=verb_options.image_storage, iso=verb_options.iso_storage, imports=imports
    )


def build_nodes(view: ClusterView, verb_options: BuildOptions) -> tuple[PveNodeFacts, ...]:
    """The Proxmox nodes that are to have the template, all of one architecture.

    Raises:
        PreflightError: None of them is online.
    """
    names = verb_options.pve_nodes or view.spec.placement.pve_nodes
    # One that is named is meant, even if Proxmox HA has it in maintenance.
    up = [facts for facts in view.observed.pve_nodes if facts.online]
    online = [facts for facts in up if (facts.name in names if names else facts.takes_machines)]
    missing = ", ".join(sorted(set(names).difference(facts.name for facts in online)))
    if not online or (verb_options.pve_nodes and missing):
        raise PreflightError(
            f"no Proxmox node {f'{missing} ' if missing else ''}is online",
            details=f"online: {', '.join(facts.name for facts in up) or 'none'}",
            resolution="start it, or pass another one with --pve-node",
        )
    return tuple(facts for facts in online if facts.architecture == online[0].architecture)


def plan_build(view: ClusterView, recipe: Recipe, verb_options: BuildOptions, seen: TemplatesSeen) -> Plan:
    """Plan the builds that are missing, those that were begun, and the removal of what dead ones left.

    Raises:
        PreflightError: No storage fits, or no vmid is free.
    """
    notes: list[str] = [*_foreign_notes(view.spec, seen)]
    builds: list[TemplateBuild] = []
    used = set(view.observed.used_vmids)
    for place, facts in enumerate(build_nodes(view, verb_options)):
        there = None if verb_options.again else _that_serves(facts, view.observed, recipe, seen)
        if there is not None:
            notes.append(f"{there.name} ({there.vmid} on {there.pve_node}) is already that template")
            continue
        if any(_serves(build, facts, view.observed) for build in builds):
            continue  # one for all that have its storage
        wish_for = storage_wish(verb_options, imports=not recipe.image.volume)
        check_build_storages(view.spec, [facts], wish_for, version=view.observed.version)
        build = replace(
            _build(view.spec, recipe, verb_options, seen, facts, used), address=_free_address(view, place=place)
        )
        used.add(build.vmid)
        builds.append(build)
    lanes = [_tidy_lane(view.spec, seen, keep=builds, reports=False)]
    if builds:
        arch = builds[0].arch
        fetch = LaneStep(step=FetchK3s(version=recipe.k3s, arch=arch), opens=(fetched(recipe.k3s, arch),))
        needs = (TIDIED,) if lanes[0].steps else ()
        lanes += [Lane(name="k3s", steps=(fetch,)), *(_build_lane(build, needs=needs) for build in builds)]
    return _plan("template build", view, [lane for lane in lanes if lane.steps], notes)


def _that_serves(facts: PveNodeFacts, observed: Observed, recipe: Recipe, seen: TemplatesSeen) -> TemplateVm | None:
    """A template of the recipe that machines of a Proxmox node can be cloned from; its own first."""
    by_vmid = {template.vmid: template for template in observed.templates}
    have = [one for one in seen.templates if one.template and one.record.recipe == recipe.hash]
    within_reach = [one for one in have if one.vmid in by_vmid and reaches(by_vmid[one.vmid], facts, observed)]
    return min(within_reach, key=lambda one: (one.pve_node != facts.name, one.vmid), default=None)


def _serves(build: TemplateBuild, facts: PveNodeFacts, observed: Observed) -> bool:
    """Whether a template that is being built is on storage that another Proxmox node has as well."""
    active = {storage.name for storage in facts.storages if storage.active}
    return build.disk_storage in observed.shared_storages & active


def plan_prune(view: ClusterView, seen: TemplatesSeen) -> Plan:
    """Plan the removal of templates that nobody uses and that a newer one of the same image stands in for."""
    newest: dict[tuple[PveNodeName, str], TemplateVm] = {}
    made = [one for one in seen.templates if one.template]
    for one in sorted(made, key=lambda one: (one.record.made, one.vmid)):
        newest[one.pve_node, one.record.image] = one
    old = [one for one in made if newest[one.pve_node, one.record.image] is not one]
    notes = [
        f"{one.name} ({one.vmid}) is kept: {', '.join(one.users)} are linked clones of it" for one in old if one.users
    ]
    notes += _foreign_notes(view.spec, seen)
    lanes = [Lane(name=f"{one.name}-{one.vmid}", steps=(LaneStep(step=_removal(one)),)) for one in old if not one.users]
    tidy = _tidy_lane(view.spec, seen, keep=(), reports=True)
    return _plan("template prune", view, [*lanes, *([tidy] if tidy.steps else [])], notes)


def _foreign_notes(spec: ClusterSpec, seen: TemplatesSeen) -> list[str]:
    """A line for each template that claims to be ours, in our range of vmids: others' are their own affair."""
    return [
        Advice(
            "{} (vmid {} on {}) claims to be a template of homelab-k8s but is ignored: "
            "{}; if it is yours, `homelab-k8s adopt {}` takes it over",
            one.name,
            one.vmid,
            one.pve_node,
            one.doubt,
            spec.name,
        )
        for one in seen.foreign
        if one.vmid in spec.placement.vmids
    ]


def removals(plan: Plan) -> tuple[RemoveTemplate, ...]:
    """The VMs that go by a plan."""
    return tuple(step.step for lane in plan.lanes for step in lane.steps if isinstance(step.step, RemoveTemplate))


def builds_of(plan: Plan) -> tuple[TemplateBuild, ...]:
    """The templates that a plan makes."""
    return tuple(step.step.build for lane in plan.lanes for step in lane.steps if isinstance(step.step, SealTemplate))


def _plan(command: str, view: ClusterView, lanes: Iterable[Lane], notes: Sequence[str]) -> Plan:
    return Plan(
        command=command,
        cluster=view.spec.name,
        machines=(),
        lanes=tuple(lanes),
        notes=(*notes, *unfinished_notes(view)),
        reserved_vmids=view.observed.used_vmids,
        vmids=view.spec.placement.vmids,
    )


def _build(
    spec: ClusterSpec,
    recipe: Recipe,
    verb_options: BuildOptions,
    seen: TemplatesSeen,
    facts: PveNodeFacts,
    used: set[Vmid],
) -> TemplateBuild:
    begun = next(
        (one for one in seen.templates if one.pve_node == facts.name and _goes_on(one, spec, recipe, seen)), None
    )
    vmids = spec.placement.vmids
    vmid = begun.vmid if begun else template_vmid(vmids, used, (one.vmid for one in seen.templates))
    if vmid is None:
        raise PreflightError(
            f"no vmid of {vmids.first}-{vmids.last} is free for a template", resolution="widen proxmox.vmids"
        )
    return TemplateBuild(
        recipe=recipe,
        pve_node=facts.name,
        vmid=vmid,
        arch=facts.k3s_arch,
        disk_storage=choose_storage(spec, facts, "images", verb_options.disk_storage),
        image_storage=None
        if recipe.image.volume
        else choose_storage(spec, facts, "import", verb_options.image_storage),
        iso_storage=choose_storage(spec, facts, "iso", verb_options.iso_storage),
        bridge=spec.network.bridge or next(iter(common_bridges([facts])), "vmbr0"),
        vlan=spec.network.vlan,
    )


def _goes_on(one: TemplateVm, spec: ClusterSpec, recipe: Recipe, seen: TemplatesSeen) -> bool:
    """Whether a build that was begun can be gone on with; see `BuildState`."""
    record = one.record
    if one.template or one.vmid not in spec.placement.vmids or record.recipe != recipe.hash:
        return False
    if record.state is BuildState.BUILDING:
        return record.key == seen.key
    return record.state is not BuildState.CLEANING


def _free_address(view: ClusterView, *, place: int) -> IPv4Address | None:
    """An address for a while: from the end of the range, where machines come last. None with DHCP.

    By the Proxmox node's place among those that build, so that a build that goes on has the one it began with.
    """
    addresses = view.spec.network.addresses
    if addresses is None:
        return None
    used = {vm.address for vm in view.observed.vms} | {addresses.gateway}
    numbers = range(int(addresses.last), int(addresses.first) - 1, -1)
    free = [address for address in map(IPv4Address, numbers) if address not in used]
    if len(free) <= place:
        raise PreflightError(
            f"no address of {addresses.first}-{addresses.last} is free for building a template",
            resolution="widen network.addresses",
        )
    return free[place]


def _build_lane(build: TemplateBuild, *, needs: tuple[Gate, ...]) -> Lane:
    kinds: tuple[Callable[..., TemplateStep], ...] = (FetchImage, UploadSeed, MakeBuilder, StartBuilder, AwaitBuilder)
    first, *others = [kind(build=build) for kind in kinds]
    return Lane(
        name=build.key,
        steps=(
            LaneStep(step=first, needs=needs),
            *(LaneStep(step=step) for step in others),
            LaneStep(step=BakeGuest(build=build), needs=(fetched(build.recipe.k3s, build.arch),)),
            LaneStep(step=CleanGuest(build=build)),
            LaneStep(step=SealTemplate(build=build)),
            LaneStep(step=RemoveIsos(isos=((build.pve_node, build.iso),), reports=False)),
        ),
    )


def _tidy_lane(spec: ClusterSpec, seen: TemplatesSeen, *, keep: Sequence[TemplateBuild], reports: bool) -> Lane:
    """What dead builds left in our vmid range, where nobody else builds while we hold the cluster's lock."""
    kept = {build.vmid for build in keep}
    vmids = spec.placement.vmids
    steps: list[RemoveTemplate | RemoveIsos] = [
        _removal(one) for one in seen.templates if not one.template and one.vmid in vmids and one.vmid not in kept
    ]
    by_storage: dict[tuple[PveNodeName, str], list[tuple[PveNodeName, str]]] = {}
    for pve_node, volume in seen.isos:
        found = _ISO.fullmatch(volume)
        if found and int(found[1]) in vmids and int(found[1]) not in kept:
            by_storage.setdefault((pve_node, volume.partition(":")[0]), []).append((pve_node, volume))
    # Rights are a storage's: of what is on one storage all may be removed, or none.
    steps += [RemoveIsos(isos=tuple(isos), reports=reports) for isos in by_storage.values()]
    last = len(steps) - 1
    return Lane(
        name="leftovers",
        steps=tuple(LaneStep(step=step, opens=(TIDIED,) if n == last else ()) for n, step in enumerate(steps)),
    )


def _removal(one: TemplateVm) -> RemoveTemplate:
    return RemoveTemplate(vmid=one.vmid, pve_node=one.pve_node, name=one.name, recipe=one.record.recipe)
