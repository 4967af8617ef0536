"""Which templates `up` has built before machines are made, and what they will be. Pure.

What is asked for is an image and the k3s that machines will get. Where a Proxmox node lacks that template, planning
goes on with one that is *planned*; placement counts its cost, and it is built where machines are placed on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bootstrap.errors import PreflightError
from bootstrap.model.cluster import BuildPolicy, ClusterSpec
from bootstrap.model.ids import PveNodeName, Vmid
from bootstrap.model.observed import NEVER_LINKED, Observed, PveNodeFacts, TemplateFacts, VmRecord
from bootstrap.planning.checks.preflight import storage_on
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.steps import CloneVm
from bootstrap.planning.templates.build import BuildOptions
from bootstrap.planning.templates.build_storages import check_build_storages, choose_storage
from bootstrap.planning.templates.steps import cloud_init_key
from bootstrap.planning.templates.templates import is_asked_for, matching_templates, usable_templates
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.template import TEMPLATE_TAG, image_name, image_of_volume

IMAGE_GIB = 3
"""Size of a cloud image's disk: Debian's generic ones have 3 GiB, Ubuntu's 3.5."""
_FIRST_PLANNED = Vmid(999_999_999)
"""Proxmox VE's highest vmid; planned templates count down from here, where no real one is."""


def may_build(view: ClusterView) -> bool:
    """Whether a template that is missing is ours to build.

    An inventory that names none takes what has our tag; only where all of that is of the image that we would build, or
    where there is nothing, is one added.
    """
    ref = view.spec.template
    if ref.image is None or ref.build is BuildPolicy.NEVER:
        return False
    name = image_name(ref.image)
    return ref.tag is None or all(template.image == name for template in matching_templates(view))


def with_planned(view: ClusterView) -> Observed:
    """What would be seen once every Proxmox node that machines may go to had the template that is asked for."""
    if not may_build(view):
        return view.observed
    return replace(view.observed, templates=(*view.observed.templates, *_planned(view)))


def _planned(view: ClusterView) -> Iterator[TemplateFacts]:
    """The templates that the Proxmox nodes without a fitting one would get."""
    served, vmids = _served(view), view.spec.placement.vmids
    builds = filter(_is_build, view.observed.vms)
    begun = {vm.pve_node for vm in builds if vm.vmid in vmids}
    usable = (facts for facts in view.observed.pve_nodes if facts.takes_machines and view.may_use(facts.name))
    lacking = (facts for facts in usable if facts.name not in served)
    for place, facts in enumerate(lacking):
        planned = _planned_on(view.spec, facts, Vmid(_FIRST_PLANNED - place), begun=facts.name in begun)
        if planned is not None:
            yield planned


def _is_build(vm: VmRecord) -> bool:
    """Whether a VM is to become one of our templates; a clone that is not configured yet has a record, too."""
    return vm.record is None and TEMPLATE_TAG in vm.tags


def wanted_builds(spec: ClusterSpec, plan: Plan) -> BuildOptions | None:
    """What has to be built before a plan made of what `with_planned` gave can be carried out; None: nothing."""
    pve_nodes = {step.pve_node for step in steps_of(plan, CloneVm) if step.after_build}
    if not pve_nodes or spec.template.image is None:
        return None
    return BuildOptions(image=spec.template.image, checksum=spec.template.checksum, pve_nodes=tuple(sorted(pve_nodes)))


def check_wanted_builds(view: ClusterView, verb_options: BuildOptions) -> None:
    """Refuse to build where a storage is missing, before anything is asked of publishers. Raises PreflightError."""
    facts = [facts for facts in view.observed.pve_nodes if facts.name in verb_options.pve_nodes]
    contents = verb_options.contents(downloads=image_of_volume(verb_options.image) is None)
    check_build_storages(view.spec, facts, contents, version=view.observed.version)


def check_planned(spec: ClusterSpec, foreseen: Observed) -> None:
    """The same for all templates that are planned. Raises PreflightError."""
    names = {template.pve_node for template in foreseen.templates if template.planned}
    if names and spec.template.image is not None:
        verb_options = BuildOptions(image=spec.template.image, pve_nodes=tuple(sorted(names)))
        check_wanted_builds(ClusterView(spec, foreseen), verb_options)


def _served(view: ClusterView) -> Mapping[PveNodeName, TemplateFacts]:
    """The Proxmox nodes that have what is asked for."""
    try:
        templates = usable_templates(view)
    except PreflightError:
        return {}
    return {name: template for name, template in templates.items() if is_asked_for(view.spec.template, template)}


def _planned_on(spec: ClusterSpec, facts: PveNodeFacts, vmid: Vmid, *, begun: bool) -> TemplateFacts | None:
    """The template that a Proxmox node would get; None where it has no storage for it."""
    try:
        storage = storage_on(facts, choose_storage(spec, facts, "images", None))
    except PreflightError:
        return None
    if storage is None or spec.template.image is None:
        return None
    image = image_name(spec.template.image)
    return TemplateFacts(
        vmid=vmid,
        name=f"of {image}",
        pve_node=facts.name,
        tags=frozenset({TEMPLATE_TAG}),
        agent_enabled=True,
        disk="scsi0",
        disk_gib=IMAGE_GIB,
        storage=storage.name,
        linkable=storage.kind not in NEVER_LINKED,
        cloud_init_drive=cloud_init_key(facts.k3s_arch),
        bridge=spec.network.bridge or next(iter(sorted(facts.bridges)), None),
        scsi_controller="virtio-scsi-single",
        storages=frozenset({storage.name}),
        image=image,
        k3s=spec.template.k3s,
        planned=True,
        begun=begun,
    )
