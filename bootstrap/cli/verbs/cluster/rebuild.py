"""`homelab-k8s rebuild`: removes the cluster and creates it from the inventory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import k3s_versions, words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, DetachDisks, Target
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.errors import UsageError
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.commands.verbs.rebuild import Rebuild
    from bootstrap.homelab import Homelab
    from bootstrap.planning.plan import Plan

LATEST = "latest"


@with_options
def rebuild(
    *,
    keep_identity: Annotated[
        bool,
        typer.Option(
            "--keep-identity", help="Keep names, MAC and fixed addresses, CAs and token; kubeconfigs keep working."
        ),
    ] = False,
    restore: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            autocompletion=words("latest"),
            help="Restore the data: latest (a snapshot is taken first), or a snapshot file.",
        ),
    ] = None,
    k3s_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            autocompletion=k3s_versions,
            help="k3s version, for example v1.33.3+k3s1; default: the inventory's. May be older than the current one "
            "unless data is kept.",
        ),
    ] = None,
    detach_disks: DetachDisks = False,
    target: Target,
    acting: Acting,
) -> None:
    """Remove all machines and rebuild the cluster from the inventory; asks for the cluster's name first.

    Run it again to continue an interrupted rebuild; it keeps the options of the first run unless they are given
    again. The k3s version is read from the inventory again.
    """
    from bootstrap.inventory import Overrides

    overrides = Overrides(cluster=target.cluster, k3s_version=k3s_version)
    with working("rebuild", target, acting.common, overrides=overrides) as work:
        verb = replace(
            _verb(work.homelab, keep_identity=keep_identity, restore=restore),
            older_is_meant=k3s_version is not None,
            detach_disks=detach_disks,
        )
        ended = work.act(verb, acting, question=lambda plan: _question(plan, verb))
        if ended is not None:
            work.result(lambda: _closing(ended), ended.change_document)


def _verb(homelab: Homelab, *, keep_identity: bool, restore: str | None) -> Rebuild:
    from bootstrap.commands.verbs.rebuild import Rebuild

    if restore is None or restore == LATEST:
        latest_to = homelab.snapshot_directory if restore else None
        return Rebuild(keep_identity=keep_identity, latest_to=latest_to)
    file = Path(restore).expanduser().absolute()
    if not file.is_file():
        raise UsageError(f"there is no snapshot {file}", resolution=f"pass a file, or {LATEST}")
    return Rebuild(keep_identity=keep_identity, snapshot=file)


def _question(plan: Plan, verb: Rebuild) -> Question | None:
    from bootstrap.planning.plan import Action

    going = sum(machine.action is Action.DESTROY for machine in plan.machines)
    if not going:
        return None
    keeps = verb.snapshot is not None or verb.latest_to is not None
    loses = "the Kubernetes data is restored, volumes are not" if keeps else "with everything in the cluster"
    return Question(f"This removes {count(going, 'machine')} for good, {loses}.", by_name=True)


def _closing(ended: Ended) -> str:
    plan = ended.plan
    machines = plan.follows[0].machines if plan.follows else plan.machines
    return ended.text(f"{count(len(machines), 'machine')} rebuilt, all Ready")
