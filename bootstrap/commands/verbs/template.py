"""`template build|list|prune`: templates built by the tool, named by their contents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from bootstrap.commands.observing.observe import observe_proxmox
from bootstrap.commands.observing.preflight import check_no_new_key
from bootstrap.commands.observing.privileges import check_rights, with_tag
from bootstrap.commands.verb import Verb
from bootstrap.model.access.rights import BuildRights, RightsNeeded
from bootstrap.model.cluster import ClusterSpec, HostKeyPolicy
from bootstrap.model.ids import PveNodeName, StorageName, Vmid
from bootstrap.model.observed import OWNER_TAG, PveNodeFacts
from bootstrap.planning.checks.preflight import check_pve_quorum
from bootstrap.planning.plan import Plan
from bootstrap.planning.settings.system import packages_of_vms
from bootstrap.planning.templates.build import (
    BuildOptions,
    TemplatesSeen,
    build_nodes,
    builds_of,
    plan_build,
    plan_prune,
)
from bootstrap.planning.templates.steps import TemplateBuild
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.vms.lock import lock_vmid
from bootstrap.records.vms.template import Recipe, TemplateVm, image_of_volume, key_fingerprint, template_vmid

Name = TypeVar("Name", bound=str)


def list_templates(ports: Ports) -> tuple[TemplateVm, ...]:
    """The tool's templates, of any cluster, and builds in progress. Reads only."""
    return ports.templates.templates()


class _TemplateVerb(Verb):
    # Builds take vmids of the cluster's range, so the cluster's lock keeps two of them, and `up`, apart.
    ends_others: ClassVar[bool] = False
    has_joins: ClassVar[bool] = False
    acts_on: ClassVar[str] = "templates"


@dataclass(frozen=True)
class BuildTemplate(_TemplateVerb):
    """`template build`: run again, it continues a build that failed, or starts it again."""

    asked: BuildOptions
    version: str | None = None
    """The k3s that is baked in; None for the inventory's."""

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: finds out what the template is made of, and plans what is missing."""
        view = observe_proxmox(spec, ports, patient=False)
        check_pve_quorum(view.observed)
        check_no_new_key(view, ports)
        return builds_for(view, ports, self.asked, version=self.version or ports.artifacts.resolve(spec.k3s))


@dataclass(frozen=True)
class PruneTemplates(_TemplateVerb):
    """`template prune`: a template that is in use since the plan was made is kept."""

    keep: int = 1
    """How many of each image stay on a Proxmox node, at least."""

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: finds the templates that no machine needs."""
        view = observe_proxmox(spec, ports, patient=False)
        check_pve_quorum(view.observed)
        return plan_prune(view, _see(view, ports), keep=self.keep)


def builds_for(view: ClusterView, ports: Ports, asked: BuildOptions, *, version: str) -> Plan:
    """The builds that are missing, with a k3s version in them; checks the token's rights for them. Touches nothing.

    Raises:
        PreflightError: It cannot be done.
        ArtifactError: The image's checksum is not found.
    """
    arch = build_nodes(view, asked)[0].k3s_arch
    image = image_of_volume(asked.image) or ports.templates.find_image(asked.image, arch=arch, checksum=asked.checksum)
    seen = _see(view, ports)
    recipe = Recipe(image=image, k3s=version, packages=packages_of_vms(view.spec))
    plan = plan_build(_with_hidden(view, ports, asked, seen), recipe, asked, seen)
    builds = builds_of(plan)
    if builds:
        check_rights(ports, _rights_to_build(view, builds), what="building a template")
    return plan


def _rights_to_build(view: ClusterView, builds: Sequence[TemplateBuild]) -> RightsNeeded:
    """What the token needs rights for."""
    spec = view.spec
    downloads = {(build.pve_node, build.image_storage) for build in builds if build.image_storage}
    tags = {OWNER_TAG, spec.name}.union(*(build.recipe.tags for build in builds))
    return RightsNeeded(
        vnets=view.observed.vnets,
        resource_pool=spec.placement.resource_pool,
        reads_guest_files=spec.ssh.host_keys is HostKeyPolicy.AGENT,
        vmids=(*sorted(build.vmid for build in builds), lock_vmid(spec.placement.vmids)),
        tags=tuple(sorted(tags)),
        builds=BuildRights(
            disks=_each(build.disk_storage for build in builds),
            files=_each([*(build.iso_storage for build in builds), *(storage for _, storage in downloads)]),
            bridges=_each(with_tag(build.bridge, build.vlan) for build in builds),
            downloads_on=_each(pve_node for pve_node, _ in downloads),
        ),
    )


def _each(names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(sorted(set(names)))


def _with_hidden(view: ClusterView, ports: Ports, asked: BuildOptions, seen: TemplatesSeen) -> ClusterView:
    """With vmids counted as used that builds would take, but that VMs hidden from the token have."""
    used, free = set(view.observed.used_vmids), set[Vmid]()
    templates = [one.vmid for one in seen.templates]
    needed = len(build_nodes(view, asked))
    while len(free) < needed:
        vmid = template_vmid(view.spec.placement.vmids, used | free, templates)
        if vmid is None:
            break
        (free if ports.hypervisor.is_free(vmid) else used).add(vmid)
    return replace(view, observed=replace(view.observed, used_vmids=frozenset(used)))


def _iso_storages(view: ClusterView) -> Iterator[tuple[PveNodeName, StorageName]]:
    """The storages with ISO images, each with a Proxmox node that has it; a shared one once."""
    shared: set[StorageName] = set()
    for facts in _usable_nodes(view):
        for storage in facts.storages:
            if storage.active and "iso" in storage.content and storage.name not in shared:
                yield facts.name, storage.name
                shared.update([storage.name] if storage.shared else [])


def _usable_nodes(view: ClusterView) -> Iterator[PveNodeFacts]:
    return (facts for facts in view.observed.pve_nodes if facts.online and view.may_use(facts.name))


def _see(view: ClusterView, ports: Ports) -> TemplatesSeen:
    isos = (
        (pve_node, volume)
        for pve_node, storage in _iso_storages(view)
        for volume in sorted(ports.templates.volumes(pve_node, storage, content="iso"))
    )
    found = ports.templates.templates()
    return TemplatesSeen(
        templates=tuple(one for one in found if not one.doubt),
        foreign=tuple(one for one in found if one.doubt),
        isos=tuple(isos),
        key=key_fingerprint(ports.shells.public_key),
    )
