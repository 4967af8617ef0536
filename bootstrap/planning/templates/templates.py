"""Finds the template the inventory means, on each Proxmox node, and checks that machines can be made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines
from bootstrap.model.cluster import BuildPolicy, ClusterSpec, TemplateRef
from bootstrap.model.ids import PveNodeName
from bootstrap.model.observed import Observed, PveNodeFacts, TemplateFacts
from bootstrap.planning.templates.steps import cloud_init_key
from bootstrap.planning.view import ClusterView
from bootstrap.proxmox.inherited import reasons, refused
from bootstrap.records.vms.template import RECIPE_VERSION, TEMPLATE_TAG, image_name, known_hash


def usable_templates(view: ClusterView) -> Mapping[PveNodeName, TemplateFacts]:
    """The template to clone, for each allowed Proxmox node that is online and has it, or can clone another node's.

    A template whose drives are all on shared storage can be cloned to any Proxmox node (`target` of the clone call,
    which Proxmox VE refuses for local storage: "can't clone VM to node ... (VM uses local storage)").

    Raises:
        PreflightError: There is none, or it cannot become a machine of ours; says what to do.
    """
    allowed = allowed_pve_nodes(view)
    matching = matching_templates(view)
    chosen: dict[PveNodeName, TemplateFacts] = {}
    for facts in view.observed.pve_nodes:
        within_reach = [
            template for template in matching if facts.name in allowed and reaches(template, facts, view.observed)
        ]
        if within_reach:
            chosen[facts.name] = _best(view.spec, within_reach, facts)
    if not chosen:
        raise _no_template(view, matching, allowed)
    for template in chosen.values():
        _check(template, arch=view.observed.k3s_arch(template.pve_node))
    return chosen


def _best(spec: ClusterSpec, templates: Sequence[TemplateFacts], facts: PveNodeFacts) -> TemplateFacts:
    """The best one: as asked for, ours, on the Proxmox node itself; of several of ours the newest.

    Raises:
        PreflightError: Several that are not signed are equally good: any template may have that name or tag.
    """

    def rank(template: TemplateFacts) -> tuple[bool, bool, bool]:
        return (
            is_asked_for(spec.template, template),
            bool(template.image),  # what it is made of is known of planned and signed ones alone
            template.pve_node == facts.name,
        )

    highest = max(map(rank, templates))
    best = [template for template in templates if rank(template) == highest]
    if len(best) > 1 and not best[0].image:
        raise PreflightError(
            f"{len(best)} templates match {spec.template}, but only one can be used",
            details=few_lines(list(map(str, best))),
            resolution="choose one: `template: {vmid: N}` in the inventory",
        )
    return max(best, key=lambda template: (template.made, template.vmid))


def reaches(template: TemplateFacts, facts: PveNodeFacts, observed: Observed) -> bool:
    """Whether a template can be cloned to a Proxmox node: it is there, or all that it is on is shared with it."""
    if template.pve_node == facts.name:
        return True
    home = next((each for each in observed.pve_nodes if each.name == template.pve_node and each.online), None)
    if home is None or not template.storages:
        return False
    shared = {storage.name for storage in home.storages if storage.shared}
    return template.storages <= shared & facts.active_storages


def matching_templates(view: ClusterView) -> tuple[TemplateFacts, ...]:
    """All templates the inventory may mean, usable or not, on any Proxmox node."""
    return tuple(template for template in view.observed.templates if _matches(view.spec.template, template))


def is_asked_for(ref: TemplateRef, template: TemplateFacts) -> bool:
    """Whether a template is of the image and the k3s that are asked for, as far as is known without a publisher.

    Packages do not count: machines install those that it does not have.
    Publishers put new images in place of old ones all the time: unless the inventory names a checksum, an older image
    of that name will do.
    """
    if ref.image is None or template.image != image_name(ref.image):
        return False
    if template.planned or not ref.k3s:
        return True
    if template.recipe_version != RECIPE_VERSION:
        return False
    known = known_hash(ref.image, ref.checksum, ref.k3s, template.packages)
    return template.k3s == ref.k3s and known in (None, template.recipe)


def allowed_pve_nodes(view: ClusterView) -> frozenset[PveNodeName]:
    """The Proxmox nodes that machines may go to: online, not in maintenance, and allowed by the inventory.

    Raises:
        PreflightError: There is none.
    """
    known = {facts.name: facts for facts in view.observed.pve_nodes}
    unknown = [name for name in view.spec.placement.pve_nodes if name not in known]
    if unknown:
        raise PreflightError(
            f"there is no Proxmox node {', '.join(unknown)}",
            details=f"Proxmox nodes: {', '.join(sorted(known)) or 'none that this token can see'}",
            resolution="correct proxmox.nodes in the inventory",
        )
    allowed = frozenset(name for name, facts in known.items() if facts.takes_machines and view.may_use(name))
    if not allowed:
        raise PreflightError(
            "none of the allowed Proxmox nodes is both online and out of maintenance",
            details=", ".join(_why_away(known.values())),
            resolution="start one or end its maintenance, or allow others with proxmox.nodes in the inventory",
        )
    return allowed


def _why_away(pve_nodes: Iterable[PveNodeFacts]) -> Iterator[str]:
    for facts in pve_nodes:
        if not facts.takes_machines:
            yield f"{facts.name} is {'in maintenance' if facts.online else 'offline'}"


def _matches(wanted: TemplateRef, template: TemplateFacts) -> bool:
    if wanted.vmid is not None:
        return template.vmid == wanted.vmid
    if wanted.tag is not None:
        # A template that claims to be ours and is not signed is used only if it is named.
        return wanted.tag.lower() in template.tags and not (template.claims and wanted.tag.lower() == TEMPLATE_TAG)
    if wanted.image is not None:
        return TEMPLATE_TAG in template.tags and template.image == image_name(wanted.image)
    return template.name == wanted.name


def _described(template: TemplateFacts, spec: ClusterSpec) -> str:
    facts = [f"vmid {template.vmid} on {template.pve_node}"]
    facts += [f"tags {', '.join(sorted(template.tags))}"] if template.tags else []
    if template.claims:
        facts.append(Advice("claims to be {} but is not signed: `homelab-k8s adopt {}`", template.claims, spec.name))
    return f"{template.name} ({', '.join(facts)})"


def _no_template(
    view: ClusterView, matching: tuple[TemplateFacts, ...], allowed: frozenset[PveNodeName]
) -> PreflightError:
    seen = "\n".join(_described(template, view.spec) for template in view.observed.templates)
    if matching:
        where = ", ".join(sorted({template.pve_node for template in matching}))
        return PreflightError(
            f"the template ({view.spec.template}) is on {where} only, which is offline or not allowed by the inventory",
            details=f"allowed and online: {', '.join(sorted(allowed))}\ntemplates seen:\n{seen}",
            resolution="build the template on an allowed Proxmox node, or allow its node in proxmox.nodes",
        )
    ours = view.spec.template.image is not None and view.spec.template.build is BuildPolicy.AUTO
    return PreflightError(
        f"no template found for {view.spec.template}",
        details=f"templates seen:\n{seen}" if seen else "this token sees no template at all",
        resolution=Advice(
            "`homelab-k8s template build` builds one{}; or set `template:` in the inventory to a name, {{tag: ...}} or "
            "{{vmid: ...}} that exists; to see it, the token needs VM.Audit and VM.Clone",
            ", and so does `up`" if ours else "",
        ),
    )


def _check(template: TemplateFacts, *, arch: str) -> None:
    name = f"template {template}"
    unwanted = refused(template.settings)
    if unwanted:
        raise PreflightError(
            f"{name} has options that its clones would inherit and no API token can remove: {', '.join(unwanted)}",
            details="\n".join(reasons(template.settings)),
            resolution=f"as root on {template.pve_node}: qm set {template.vmid} --delete {','.join(unwanted)}",
        )
    if not template.agent_enabled:
        raise PreflightError(
            f"{name} has no guest agent configured",
            details="machines cloned from it could not report their addresses",
            resolution="install qemu-guest-agent in the template's system, then on the Proxmox node: "
            f"qm set {template.vmid} --agent enabled=1",
        )
    if template.cloud_init_drive is None:
        raise PreflightError(
            f"{name} has no cloud-init drive",
            details="without it, user, key and address do not reach the machines",
            resolution=f"on the Proxmox node: qm set {template.vmid} --{cloud_init_key(arch)} "
            f"{template.storage or 'STORAGE'}:cloudinit",
        )
    if template.disk is None:
        raise PreflightError(
            f"{name} has no disk",
            resolution="choose another template, or import a cloud image into this one",
        )
    if template.lock:
        # PVE::API2::Qemu, clone_vm: check_lock on the VM that is cloned.
        raise PreflightError(
            f"{name} is locked ({template.lock})",
            details="Proxmox VE cannot clone a locked VM",
            resolution="wait for the task that locked it (Proxmox's task list shows it); if there is none any more, as "
            f"root on {template.pve_node}: qm unlock {template.vmid}",
        )
