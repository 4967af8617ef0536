"""`homelab-k8s down`: lists what will be removed, asks, removes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, DetachDisks, Target
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.cli.text import tables
from bootstrap.cli.text.documents import Document
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.planning.plan import Plan


@with_options
def down(*, detach_disks: DetachDisks = False, target: Target, acting: Acting) -> None:
    """Remove the cluster's machines, kubeconfig entries and state; asks for the cluster's name first."""
    with working("down", target, acting.common) as work:
        from bootstrap.commands.verbs.down import Down

        ended = work.act(
            Down(detach_disks=detach_disks),
            acting,
            question=lambda plan: Question(f"This removes {_what(plan)} for good.", by_name=True),
        )
        if ended is not None:
            work.result(lambda: _closing(ended), lambda: _document(ended))
            ended.require_complete()


def _document(ended: Ended) -> Document:
    plan = ended.plan
    removed = [machine.spec.name for machine in plan.machines]
    return ended.document(removed=removed, left=list(plan.unreached), foreign=plan.foreign)


def _what(plan: Plan) -> str:
    if plan.machines or plan.unreached:
        return count(len(plan.machines), "machine")
    return "kubeconfig entries and state"


def _closing(ended: Ended) -> str:
    plan, report = ended.plan, ended.report
    if report is None:
        if plan.unreached:
            return f"{plan.cluster}: nothing can be removed now; {count(len(plan.unreached), 'machine')} left"
        if plan.foreign:
            return Advice(
                "{}: nothing was removed; {} left: if they are yours: `homelab-k8s adopt {}`, then `homelab-k8s down`",
                plan.cluster,
                count(plan.foreign, "foreign VM"),
                plan.cluster,
            )
        return f"{plan.cluster}: no machines; nothing to do"
    phases = f" ({tables.phases_text(report.phases)})" if report.phases else ""
    left = f"; {count(len(plan.unreached), 'machine')} and the state are left" if plan.unreached else ""
    if plan.foreign:
        foreign = count(plan.foreign, "foreign VM")
        left = Advice("{}; {} left: `homelab-k8s adopt {}`", left, foreign, plan.cluster)
    return Advice("{}: {} removed in {}{}{}", plan.cluster, _what(plan), tables.seconds(report.took_s), phases, left)
