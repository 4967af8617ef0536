"""`homelab-k8s template`: builds templates with k3s preinstalled, lists them, and removes unused ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice, joined
from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Common, Source, Target
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.cli.running.usage import subcommands
from bootstrap.cli.text import tables
from bootstrap.cli.text.documents import Document

if TYPE_CHECKING:
    from bootstrap.execution.report import Report
    from bootstrap.planning.plan import Plan
    from bootstrap.records.vms.template import TemplateVm

_DROP = ("PACKAGES", "IMAGE", "K3S", "PVE NODE")
_HEADINGS = ("TEMPLATE", "VMID", "PVE NODE", "IMAGE", "K3S", "STATE", "USED BY", "PACKAGES")

Image = Annotated[
    str | None,
    typer.Option(
        metavar="IMAGE",
        autocompletion=words("debian-12", "debian-13", "ubuntu-24.04", "ubuntu-26.04"),
        help="A name (debian-13, debian-12, ubuntu-24.04, ubuntu-26.04), an https URL, or a volume on a Proxmox "
        "storage (local:import/x.qcow2). Default: the inventory's image, or debian-13.",
    ),
]
Checksum = Annotated[
    str | None,
    typer.Option(metavar="SUM", help="Checksum of the image: sha256:... or sha512:...; default: the publisher's list."),
]
PveNodes = Annotated[
    list[str] | None,
    typer.Option(
        "--pve-node",
        metavar="NAME",
        help="Build only on this Proxmox node; default: on all that need it. Can be repeated.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="NAME", help="Storage for the template's disk; default: the inventory's, or the roomiest."
    ),
]
ImageStorage = Annotated[
    str | None, typer.Option("--image-storage", metavar="NAME", help="Storage for the cloud image; default: likewise.")
]
IsoStorage = Annotated[
    str | None,
    typer.Option("--iso-storage", metavar="NAME", help="Storage for the temporary cloud-init ISO; default: likewise."),
]
Again = Annotated[bool, typer.Option("--again", help="Build it even if the same template exists.")]

app = subcommands("Build and manage VM templates with k3s preinstalled.")


@app.command("build", short_help="Build a template on each Proxmox node that needs one.")
@with_options
def build(
    *,
    image: Image = None,
    checksum: Checksum = None,
    pve_node: PveNodes = None,
    storage: Storage = None,
    image_storage: ImageStorage = None,
    iso_storage: IsoStorage = None,
    again: Again = False,
    target: Target,
    acting: Acting,
) -> None:
    """Build a template from a cloud image, with k3s preinstalled, on each Proxmox node that needs one.

    Name and tags contain a hash of the contents; if that template exists, nothing is done. Run it again to continue
    an interrupted build.
    """
    from bootstrap.model.cluster import DEFAULT_IMAGE
    from bootstrap.model.ids import PveNodeName, StorageName
    from bootstrap.planning.templates.build import BuildOptions

    with working("template-build", target, acting.common) as work:
        from bootstrap.commands.verbs.template import BuildTemplate

        ref = work.homelab.inventory.spec.template
        verb_options = BuildOptions(
            image=image or ref.image or DEFAULT_IMAGE,
            checksum=(ref.checksum if image is None else "") if checksum is None else checksum,
            pve_nodes=tuple(map(PveNodeName, pve_node or ())),
            disk_storage=StorageName(storage) if storage else None,
            image_storage=StorageName(image_storage) if image_storage else None,
            iso_storage=StorageName(iso_storage) if iso_storage else None,
            again=again,
        )
        ended = work.act(BuildTemplate(verb_options), acting)
        if ended is not None:
            work.result(lambda: work.session.advise(_built(ended)), lambda: _built_document(ended))


@app.command("list", short_help="List the templates of this tool and the VMs that use them.")
@with_options
def list_(*, source: Source, common: Common) -> None:
    """List the templates of this tool, and the VMs that are linked clones of them."""
    with working("template-list", source, common) as work:
        from bootstrap.commands.verbs.template import list_templates

        found = work.look(lambda: list_templates(work.homelab.ports))
        work.result(
            lambda: templates_text(found, work.session.advise, width=work.width), lambda: templates_document(found)
        )


@app.command("prune", short_help="Remove unused templates; asks first.")
@with_options
def prune(*, target: Target, acting: Acting) -> None:
    """Remove templates of this tool that have no linked clones, but for the newest of each image on a Proxmox node.

    Leftovers of failed builds are removed too.
    """
    with working("template-prune", target, acting.common) as work:
        from bootstrap.commands.verbs.template import PruneTemplates

        ended = work.act(PruneTemplates(), acting, question=_question)
        if ended is not None:
            work.result(lambda: pruned_text(ended), lambda: _pruned_document(ended))


def templates_text(found: Sequence[TemplateVm], advise: Callable[[str], str] = str, *, width: int = 0) -> str:
    """A table."""
    if not found:
        return advise(Advice("no template of this tool; build one with `homelab-k8s template build`"))
    return tables.render_table(_HEADINGS, [_cells(one) for one in found], width=width, drop=_DROP)


def _cells(one: TemplateVm) -> tuple[str, ...]:
    record = one.record
    state = "ready" if one.template else f"being built ({record.state.value})"
    state = f"foreign: {one.doubt}" if one.doubt else state
    users = ", ".join(one.users) or "-"
    packages = ", ".join(record.packages) or "-"
    return (one.name, str(one.vmid), one.pve_node, record.image, record.k3s, state, users, packages)


def templates_document(found: Sequence[TemplateVm]) -> Document:
    """The templates; `format` grows when a key changes its meaning or goes."""
    return {
        "format": 1,
        "templates": [
            {
                "name": one.name,
                "vmid": one.vmid,
                "pve_node": one.pve_node,
                "image": one.record.image,
                "k3s": one.record.k3s,
                "recipe": one.record.recipe,
                "packages": list(one.record.packages),
                "foreign": bool(one.doubt),
                "ready": one.template,
                "used_by": list(one.users),
            }
            for one in found
        ],
    }


def _built(ended: Ended) -> str:
    from bootstrap.planning.templates.build import builds_of

    plan, report = ended.plan, ended.report
    if report is None:
        return Advice("nothing to do: {}", joined("; ", plan.notes))
    names = [f"{build.name} ({build.vmid} on {build.pve_node})" for build in builds_of(plan)]
    phases = f" ({tables.phases_text(report.phases)})" if report.phases else ""
    made = f"built {', '.join(names)}" if names else "cleaned up"
    closing = Advice("\n`homelab-k8s up` uses it unless the inventory names another template") if names else ""
    return Advice("{} in {}{}{}", made, tables.seconds(report.took_s), phases, closing)


def _built_document(ended: Ended) -> Document:
    from bootstrap.planning.templates.build import builds_of

    built = [
        {"name": build.name, "vmid": build.vmid, "pve_node": build.pve_node, "recipe": build.recipe.hash}
        for build in builds_of(ended.plan)
    ]
    return ended.document(built=built)


def _gone(plan: Plan) -> list[str]:
    from bootstrap.planning.plan import steps_of
    from bootstrap.planning.templates.steps import RemoveTemplate

    return [f"{step.name} ({step.vmid} on {step.pve_node})" for step in steps_of(plan, RemoveTemplate)]


def _question(plan: Plan) -> Question | None:
    gone = _gone(plan)
    return Question(f"This removes {', '.join(gone)} for good.") if gone else None


def pruned_text(ended: Ended) -> str:
    """What was removed."""
    if ended.report is None:
        return joined("\n", ("nothing to remove", *ended.plan.notes))
    removed = _removed(ended.plan, ended.report)
    return f"removed {', '.join(removed) or 'nothing'} in {tables.seconds(ended.report.took_s)}"


def _removed(plan: Plan, report: Report) -> list[str]:
    """What a run has removed, without steps that changed nothing."""
    changed = {step.title for step in report.steps if step.changed}
    titles = [step.step.title for lane in plan.lanes for step in lane.steps]
    return [title.removeprefix("remove ") for title in titles if title in changed]


def _pruned_document(ended: Ended) -> Document:
    return ended.document(
        removed=_gone(ended.plan) if ended.report is None else _removed(ended.plan, ended.report),
    )
