"""Plans templates: which are to be built, on which Proxmox node and storages, and which may go. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PveNodeName, StorageName
from bootstrap.model.observed import Observed, PveNodeFacts
from bootstrap.planning.checks.drift import unfinished_notes
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan, steps_of
from bootstrap.planning.provision.joining import fetched
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.templates.build_storages import check_build_storages, choose_storage
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
    UploadSeed,
)
from bootstrap.planning.templates.templates import reaches
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.template import BuildState, Recipe, TemplateVm, template_vmid

TIDIED = Gate("leftovers_gone")
_ISO = re.compile(r"[^:]+:iso/hk8s-[0-9a-f]{8}-([0-9]{1,9})\.iso")


@dataclass(frozen=True, kw_only=True)
class TemplatesSeen:
    """The templates that exist.

    Attributes:
        templates: Ours, and VMs that are to become ones.
        isos: Our NoCloud ISOs, by Proxmox node.
        key: Fingerprint of our SSH key.
        foreign: VMs that claim to be ours, and are not signed with a key of this computer: they are ignored.
    """

    templates: tuple[TemplateVm, ...]
    isos: tuple[tuple[PveNodeName, str], ...]
    key: str
    foreign: tuple[TemplateVm, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The options of `template build`; storages that are None are chosen.

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

    def contents(self, *, downloads: bool) -> tuple[tuple[str, StorageName | None], ...]:
        """Each content type that a storage is needed for, with the storage that is asked for."""
        image = (("import", self.image_storage),) if downloads else ()
        return (("images", self.disk_storage), *image, ("iso", self.iso_storage))


def build_nodes(view: ClusterView, verb_options: BuildOptions) -> tuple[PveNodeFacts, ...]:
    """The Proxmox nodes that are to have the template, all of one architecture.

    Raises:
        PreflightError: None of them is online.
    """
    names = verb_options.pve_nodes or view.spec.placement.pve_nodes
    online = {facts.name: facts for facts in view.observed.pve_nodes if facts.online}
    usable = _usable(online.values(), names)
    missing = ", ".join(sorted(set(names) - online.keys()))
    if not usable or (verb_options.pve_nodes and missing):
        raise PreflightError(
            " ".join(filter(None, ("no Proxmox node", missing, "is online"))),
            details=f"online: {', '.join(online) or 'none'}",
            resolution="start it, or pass another one with --pve-node",
        )
    return tuple(facts for facts in usable if facts.architecture == usable[0].architecture)


def _usable(online: Iterable[PveNodeFacts], names: Container[PveNodeName]) -> list[PveNodeFacts]:
    """The named ones, even if Proxmox HA has them in maintenance; without names, all that take machines."""
    return [facts for facts in online if (facts.name in names if names else facts.takes_machines)]


def plan_build(view: ClusterView, recipe: Recipe, verb_options: BuildOptions, seen: TemplatesSeen) -> Plan:
    """Plan the builds that are missing or interrupted, and the removal of what dead builds left.

    Raises:
        PreflightError: No storage fits, or no vmid is free.
    """
    notes = _foreign_notes(view.spec, seen)
    builds: list[TemplateBuild] = []
    for place, facts in enumerate(build_nodes(view, verb_options)):
        there = None if verb_options.again else _that_serves(facts, view.observed, recipe, seen)
        if there is not None:
            notes.append(f"{there.name} ({there.vmid} on {there.pve_node}) is already that template")
        elif not any(_serves(build, facts, view.observed) for build in builds):  # one for all that have its storage
            build = _build(view, recipe, verb_options, seen, facts, builds)
            builds.append(replace(build, address=_free_address(view, place=place)))
    tidy = _tidy_lanes(view.spec, seen, keep=builds, reports=False)
    return _plan("template build", view, [*tidy, *_build_lanes(builds, needs=(TIDIED,) if tidy else ())], notes)


def _that_serves(facts: PveNodeFacts, observed: Observed, recipe: Recipe, seen: TemplatesSeen) -> TemplateVm | None:
    """A template of the recipe, perhaps with more packages, that machines of a Proxmox node can be cloned from.

    Its own first.
    """
    by_vmid = {template.vmid: template for template in observed.templates}
    have = [one for one in seen.templates if one.template and _has_all_of(one, recipe)]
    within_reach = [one for one in have if one.vmid in by_vmid and reaches(by_vmid[one.vmid], facts, observed)]
    return min(within_reach, key=lambda one: (one.pve_node != facts.name, one.vmid), default=None)


def _has_all_of(one: TemplateVm, recipe: Recipe) -> bool:
    packages = one.record.packages
    return set(packages) >= set(recipe.packages) and one.record.recipe == replace(recipe, packages=packages).hash


def _serves(build: TemplateBuild, facts: PveNodeFacts, observed: Observed) -> bool:
    """Whether a template that is being built is on storage that another Proxmox node has as well."""
    return build.disk_storage in observed.shared_storages & facts.active_storages


def plan_prune(view: ClusterView, seen: TemplatesSeen, *, keep: int = 1) -> Plan:
    """Plan the removal of templates without linked clones of which there are `keep` newer ones of the same image."""
    notes, lanes = [], []
    for one in _outdated(seen, keep):
        if one.users:
            notes.append(f"{one.name} ({one.vmid}) is kept: {', '.join(one.users)} are linked clones of it")
        else:
            lanes.append(Lane(name=f"{one.name}-{one.vmid}", steps=(LaneStep(step=_removal(one)),)))
    lanes += _tidy_lanes(view.spec, seen, keep=(), reports=True)
    return _plan("template prune", view, lanes, [*notes, *_foreign_notes(view.spec, seen)])


def _outdated(seen: TemplatesSeen, keep: int) -> list[TemplateVm]:
    """The templates of which their Proxmox node has as many newer ones of the same image."""
    made = [one for one in seen.templates if one.template]
    same: defaultdict[tuple[PveNodeName, str], list[TemplateVm]] = defaultdict(list)
    for one in sorted(made, key=lambda one: (one.record.made, one.vmid)):
        same[one.pve_node, one.record.image].append(one)
    kept = {one.vmid for ones in same.values() for one in ones[-keep:]}
    return [one for one in made if one.vmid not in kept]


def _foreign_notes(spec: ClusterSpec, seen: TemplatesSeen) -> list[str]:
    """A line for each template that claims to be ours, in our range of vmids: others' are their own affair."""
    return [
        Advice(
            "{} claims to be a template of homelab-k8s but is ignored: {}; if it is yours, `homelab-k8s adopt {}` "
            "takes it over",
            one,
            one.doubt,
            spec.name,
        )
        for one in seen.foreign
        if one.vmid in spec.placement.vmids
    ]


def builds_of(plan: Plan) -> tuple[TemplateBuild, ...]:
    """The templates that a plan makes."""
    return tuple(step.build for step in steps_of(plan, SealTemplate))


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
    view: ClusterView,
    recipe: Recipe,
    verb_options: BuildOptions,
    seen: TemplatesSeen,
    facts: PveNodeFacts,
    others: Iterable[TemplateBuild],
) -> TemplateBuild:
    """The build on a Proxmox node, beside those of others: one that was begun there goes on."""
    spec, downloads = view.spec, not recipe.image.volume
    check_build_storages(spec, [facts], verb_options.contents(downloads=downloads), version=view.observed.version)
    begun = (one.vmid for one in seen.templates if one.pve_node == facts.name and _goes_on(one, spec, recipe, seen))
    vmids, used = spec.placement.vmids, view.observed.used_vmids | {build.vmid for build in others}
    vmid = next(begun, None) or template_vmid(vmids, used, (one.vmid for one in seen.templates))
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
        image_storage=choose_storage(spec, facts, "import", verb_options.image_storage) if downloads else None,
        iso_storage=choose_storage(spec, facts, "iso", verb_options.iso_storage),
        bridge=spec.network.bridge or next(iter(common_bridges([facts])), "vmbr0"),
        vlan=spec.network.vlan,
    )


def _goes_on(one: TemplateVm, spec: ClusterSpec, recipe: Recipe, seen: TemplatesSeen) -> bool:
    """Whether an interrupted build can be resumed; see `BuildState`."""
    record = one.record
    if one.template or one.vmid not in spec.placement.vmids or record.recipe != recipe.hash:
        return False
    if record.state is BuildState.BUILDING:
        return record.key == seen.key
    return record.state is not BuildState.CLEANING


def _free_address(view: ClusterView, *, place: int) -> IPv4Address | None:
    """An address for a while: from the end of the range, where machines come last. None with DHCP.

    It depends on the Proxmox node's place among the builders, so that a resumed build has the address it began with.
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


def _build_lanes(builds: Sequence[TemplateBuild], *, needs: tuple[Gate, ...]) -> Iterator[Lane]:
    if builds:
        version, arch = builds[0].recipe.k3s, builds[0].arch
        fetch = LaneStep(step=FetchK3s(version=version, arch=arch), opens=(fetched(version, arch),))
        yield Lane(name="k3s", steps=(fetch,))
    for build in builds:
        before = [kind(build=build) for kind in (UploadSeed, MakeBuilder, StartBuilder, AwaitBuilder)]
        after = (CleanGuest(build=build), SealTemplate(build=build))
        steps = (
            LaneStep(step=FetchImage(build=build), needs=needs),
            *(LaneStep(step=step) for step in before),
            LaneStep(step=BakeGuest(build=build), needs=(fetched(build.recipe.k3s, build.arch),)),
            *(LaneStep(step=step) for step in after),
            LaneStep(step=RemoveIsos(isos=((build.pve_node, build.iso),), reports=False)),
        )
        yield Lane(name=build.key, steps=steps)


def _tidy_lanes(
    spec: ClusterSpec, seen: TemplatesSeen, *, keep: Iterable[TemplateBuild], reports: bool
) -> tuple[Lane, ...]:
    """A lane that removes what dead builds left in our vmid range: with the lock held, no other build runs there."""
    kept = {build.vmid for build in keep}
    stale = [one for one in seen.templates if not one.template and one.vmid in spec.placement.vmids]
    steps: list[RemoveTemplate | RemoveIsos] = [_removal(one) for one in stale if one.vmid not in kept]
    steps += [RemoveIsos(isos=isos, reports=reports) for isos in _stale_isos(spec, seen, kept)]
    if not steps:
        return ()
    *before, last = steps
    return (
        Lane(
            name="leftovers",
            steps=(*(LaneStep(step=step) for step in before), LaneStep(step=last, opens=(TIDIED,))),
        ),
    )


def _stale_isos(
    spec: ClusterSpec, seen: TemplatesSeen, kept: Container[int]
) -> Iterator[tuple[tuple[PveNodeName, str], ...]]:
    """NoCloud ISOs of dead builds, storage by storage: of what is on one the token may remove all, or nothing."""
    by_storage: defaultdict[tuple[PveNodeName, str], list[tuple[PveNodeName, str]]] = defaultdict(list)
    for pve_node, volume in seen.isos:
        found = _ISO.fullmatch(volume)
        if found and int(found[1]) in spec.placement.vmids and int(found[1]) not in kept:
            by_storage[pve_node, volume.partition(":")[0]].append((pve_node, volume))
    return map(tuple, by_storage.values())


def _removal(one: TemplateVm) -> RemoveTemplate:
    return RemoveTemplate(vmid=one.vmid, pve_node=one.pve_node, name=one.name, recipe=one.record.recipe)
