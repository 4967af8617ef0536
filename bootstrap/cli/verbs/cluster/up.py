"""`homelab-k8s up`: the plan, the run, and what to type next."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import CHANNELS, k3s_versions, machine_names, words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, ControlPlanes, Guests, LabGuests, Target, Workers
from bootstrap.cli.running.command_session import Ended, Work, working
from bootstrap.cli.text import documents, manifests, tables
from bootstrap.cli.text.documents import Document, Output
from bootstrap.errors import UsageError
from bootstrap.events import Told
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.commands.manifests.deploy_key import DeployKey
    from bootstrap.execution.context import KubeconfigTarget
    from bootstrap.planning.plan import Plan

STDOUT = "-"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Wanted:
    """Options that replace values of the inventory, under the names of `Overrides`."""

    workers: Workers = None
    worker_cores: Annotated[int | None, typer.Option(metavar="N", help="vCPUs of each worker.")] = None
    worker_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory of each worker, for example 4GiB.")
    ] = None
    worker_disk: Annotated[str | None, typer.Option(metavar="SIZE", help="Disk of each worker, for example 40GiB.")] = (
        None
    )
    control_planes: ControlPlanes = None
    control_plane_cores: Annotated[int | None, typer.Option(metavar="N", help="vCPUs of each control-plane node.")] = (
        None
    )
    control_plane_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory of each control-plane node, for example 4GiB.")
    ] = None
    control_plane_disk: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Disk of each control-plane node, for example 20GiB.")
    ] = None
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="Template to clone: its name, VMID, tag:NAME or image:NAME.")
    ] = None
    template_build: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            autocompletion=words("auto", "never"),
            help="auto: build a missing template. never: use existing ones only.",
        ),
    ] = None
    clone: Annotated[
        str | None,
        typer.Option(metavar="MODE", autocompletion=words("full", "linked"), help="Clone type: linked or full."),
    ] = None
    storage: Annotated[str | None, typer.Option(metavar="NAME", help="Storage for full clones.")] = None
    vmids: Annotated[str | None, typer.Option(metavar="FIRST-LAST", help="VMID range reserved for this cluster.")] = (
        None
    )
    bridge: Annotated[str | None, typer.Option(metavar="NAME", help="Proxmox bridge of the machines.")] = None
    pool: Annotated[str | None, typer.Option(metavar="NAME", help="Proxmox resource pool of the machines.")] = None
    ssh_user: Annotated[str | None, typer.Option(metavar="NAME", help="Login name on the machines.")] = None
    ssh_key: Annotated[Path | None, typer.Option(metavar="FILE", help="SSH private key to log in with.")] = None
    k3s_version: Annotated[
        str | None,
        typer.Option(metavar="VERSION", autocompletion=k3s_versions, help="k3s version, for example v1.33.3+k3s1."),
    ] = None
    k3s_channel: Annotated[
        str | None,
        typer.Option(
            "--k3s-channel",
            "--channel",
            metavar="NAME",
            autocompletion=CHANNELS,
            help="k3s release channel, for example stable or v1.33.",
        ),
    ] = None
    k3s_artifacts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Install k3s from this directory (with its checksums) instead of downloading it."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Building(Acting):
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Build a missing template without asking.")] = False


@with_options
def up(
    *,
    target: Target,
    wanted: _Wanted,
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Kubeconfig file to merge into; default: $KUBECONFIG, or ~/.kube/config; - prints it instead.",
        ),
    ] = None,
    switch: Annotated[
        bool,
        typer.Option("--switch", help="Make the cluster kubectl's current context, even if another one is in use."),
    ] = False,
    replace_unreachable: Annotated[
        list[str] | None,
        typer.Option(
            "--replace-unreachable",
            metavar="MACHINE",
            autocompletion=machine_names,
            help="Replace this machine, whose Proxmox node is unreachable, with a new one; the old VM is removed "
            "once its node is back. Can be repeated.",
        ),
    ] = None,
    acting: _Building,
    guests: LabGuests = None,
) -> None:
    """Create or repair the cluster from the inventory; never removes machines.

    Options replace values of the inventory. What neither gives is as it is in the cluster, or has the default that
    `explain` shows, for example for workers.memory.
    """
    from bootstrap.inventory import Overrides
    from bootstrap.model.ids import MachineName

    overrides = Overrides(cluster=target.cluster, **vars(wanted))
    with working("up", target, acting.common, overrides=overrides, start_lab=guests or Guests.AUTO) as work:
        from bootstrap.commands.verbs.up import Up

        merge_into = _target(kubeconfig, acting.common.output, switch=switch)
        lost = tuple(MachineName(name) for name in replace_unreachable or ())
        ended = work.act(Up(replace_unreachable=lost), acting, question=_question, kubeconfig=merge_into)
        if ended is not None:
            _show_result(work, ended, merge_into)
            ended.require_complete()


def _question(plan: Plan) -> Question | None:
    """Ask before a template is built, which takes minutes and space; `up` asks nothing else."""
    from bootstrap.planning.templates.build import builds_of

    builds = builds_of(plan)
    if not builds:
        return None
    where = ", ".join(build.pve_node for build in builds)
    recipe = builds[0].recipe
    return Question(
        f"First a template is built on {where} from {recipe.image.name} with k3s {recipe.k3s}; this takes a few "
        "minutes.",
        otherwise="`--template-build never` uses existing templates only; `template:` in the inventory names one",
    )


def _target(kubeconfig: str | None, output: Output, *, switch: bool) -> KubeconfigTarget:
    from bootstrap.execution.context import KubeconfigTarget

    to_stdout = kubeconfig == STDOUT
    if to_stdout and output is not Output.TEXT:
        raise UsageError("--kubeconfig - and --output both print to stdout", resolution="use only one of them")
    if to_stdout and switch:
        raise UsageError("--kubeconfig - merges nothing, so --switch has no effect", resolution="use only one of them")
    path = Path(kubeconfig) if kubeconfig and not to_stdout else None
    return KubeconfigTarget(path=path, merge=not to_stdout, switch=switch)


def _show_result(work: Work, ended: Ended, target: KubeconfigTarget) -> None:
    """Print the result. A run merges the kubeconfig; if nothing ran, it is merged here."""
    from bootstrap.commands.access.kubeconfig import merge_kubeconfig, needed_kubeconfig
    from bootstrap.commands.manifests.deploy_key import new_deploy_key

    cluster, ports = ended.plan.cluster, work.homelab.ports
    key = new_deploy_key(ended.plan, work.homelab.inventory.spec, ports) if ended.report is not None else None
    if not target.merge:
        work.session.view.text(_closing(ended, partial(_first_command, work, target, cluster), key))
        work.session.result(needed_kubeconfig(cluster, ports))
        return
    merged = merge_kubeconfig(cluster, ports, target)
    if merged is not None and ended.report is None:
        for note in merged.notes:
            work.session.sink(Told(message=note))
    work.result(
        lambda: _closing(ended, partial(_first_command, work, target, merged.context if merged else cluster), key),
        lambda: _document(work, ended, kubeconfig=str(merged.path) if merged is not None else None),
    )


def _document(work: Work, ended: Ended, *, kubeconfig: str | None) -> Document:
    """The result, with all machines as they are now."""
    from bootstrap.commands.reports.status import cluster_status

    status = work.homelab.look(partial(cluster_status, seen=ended.plan.seen if ended.report is None else None))
    return {**ended.document(machines=list(map(documents.machine_document, status.machines))), "kubeconfig": kubeconfig}


def _first_command(work: Work, target: KubeconfigTarget, context: str) -> str:
    """What to type next."""
    from bootstrap.commands.access.tunnel import api_over

    if shutil.which("kubectl") is None:
        status = work.session.advise(Advice("`homelab-k8s status`")).strip("`")
        return f"{status}; to use the cluster, install kubectl (https://kubernetes.io/docs/tasks/tools/)"
    if not work.homelab.ports.ways.direct and work.homelab.look(api_over):
        return work.session.advise(Advice("`homelab-k8s kubectl -- get nodes`")).strip("`")
    file = ["--kubeconfig", str(target.path)] if target.path is not None else []
    return shlex.join(["kubectl", *file, "--context", context, "get", "nodes"])


def _closing(ended: Ended, first_command: Callable[[], str], key: DeployKey | None) -> str:
    from bootstrap.planning.plan import Action

    plan, report = ended.plan, ended.report
    there = [machine for machine in plan.machines if machine.action is not Action.DESTROY]
    held = sum(machine.action is Action.KEEP and bool(machine.reason) for machine in there)
    machines = count(len(there), "machine")
    machines += f", {len(there) - held} of them Ready" if plan.unreached else ", all Ready"
    if plan.refusing:
        refuse = "refuses" if len(plan.refusing) == 1 else "refuse"
        return f"{plan.cluster}: {machines}, but {len(plan.refusing)} of them {refuse} our SSH key"
    if report is None:
        return f"{plan.cluster}: {machines}; nothing to do"
    return "\n".join(
        [
            f"{plan.cluster}: {machines}, in {tables.seconds(report.took_s)}",
            *tables.times_lines(report),
            f"next: {first_command()}",
            *manifests.key_lines(key),
        ]
    )
