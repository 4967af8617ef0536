"""`homelab-k8s adopt`: lists VMs that claim to belong to a cluster, asks, signs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.completing import cluster_names
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Source
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.cli.text import tables
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.execution.report import Report
    from bootstrap.planning.plan import Plan

ClusterArgument = Annotated[
    str,
    typer.Argument(metavar="CLUSTER", help="Name of the cluster that gets the machines.", autocompletion=cluster_names),
]
Vmids = Annotated[
    list[int] | None,
    typer.Option("--vmid", metavar="VMID", help="Adopt only this VM; default: all that claim it. Can be repeated."),
]


@with_options
def adopt(
    cluster: ClusterArgument,
    *,
    vmid: Vmids = None,
    source: Source,
    acting: Acting,
) -> None:
    """Take over VMs that claim to belong to a cluster but are not signed with its key; asks for its name first.

    For clusters made by earlier releases, lost keys and restored backups. Check each VM first: anyone who may change
    a VM's options can write such a claim.
    """
    from bootstrap.inventory import Overrides
    from bootstrap.model.ids import Vmid

    vmids = tuple(map(Vmid, vmid or ()))
    with working("adopt", source, acting.common, overrides=Overrides(cluster=cluster)) as work:
        from bootstrap.commands.verbs.adopt import Adopt

        ended = work.act(Adopt(vmids=vmids), acting, question=_question)
        if ended is not None:
            work.result(
                lambda: work.session.advise(_closing(ended)),
                lambda: ended.document(adopted=_signed(ended.plan), key_added=_accepting(ended.report)),
            )


def _question(plan: Plan) -> Question:
    signed, keys = _signed(plan), _given_keys(plan)
    lines = [note for note in plan.notes if "is signed" in note]
    if signed:
        machines = count(len(signed), "VM")
        lines.append(
            f"This makes {machines} part of {plan.cluster}: they are logged in to, get its secrets and are removed "
            "with it."
        )
    if keys:
        lines.append(
            f"On {count(keys, 'machine')}, if our SSH key is refused there, the guest agent adds it to "
            "authorized_keys; nothing else is changed."
        )
    otherwise = "--vmid VMID takes over only that VM"
    return Question("\n".join(lines), by_name=True, otherwise=otherwise)


def _signed(plan: Plan) -> list[str]:
    """The machines whose records are signed."""
    from bootstrap.planning.day2_steps import AdoptVm
    from bootstrap.planning.plan import steps_of

    return [step.machine for step in steps_of(plan, AdoptVm)]


def _given_keys(plan: Plan) -> int:
    """How many machines get our SSH key if they refuse it."""
    from bootstrap.planning.day2_steps import AuthorizeKey
    from bootstrap.planning.plan import steps_of

    return len(steps_of(plan, AuthorizeKey))


def _accepting(report: Report | None) -> list[str]:
    """The machines that got our SSH key and now accept it."""
    from bootstrap.planning.day2_steps import AuthorizeKey

    steps = report.steps if report is not None else ()
    return [step.lane for step in steps if step.title == AuthorizeKey.title_template and step.changed]


def _closing(ended: Ended) -> str:
    plan, report = ended.plan, ended.report
    if report is None:
        return f"{plan.cluster}: nothing to adopt"
    done = [f"{count(signed, 'record')} signed"] if (signed := _records(plan)) else []
    if accepting := len(_accepting(report)):
        done.append(f"SSH key added to {count(accepting, 'machine')}")
    return Advice(
        "{}: {} in {}; next: `homelab-k8s status`",
        plan.cluster,
        ", ".join(done) or "no SSH key added",
        tables.seconds(report.took_s),
    )


def _records(plan: Plan) -> int:
    from bootstrap.planning.plan import steps_of
    from bootstrap.planning.templates.steps import AdoptTemplate

    return len(_signed(plan)) + len(steps_of(plan, AdoptTemplate))
