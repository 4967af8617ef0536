"""`homelab-k8s rotate token`: new credentials for a running cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.cli.asking.confirm import Question
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Acting, Target
from bootstrap.cli.running.command_session import Ended, working
from bootstrap.cli.running.usage import subcommands
from bootstrap.cli.text import tables
from bootstrap.model.words import count

if TYPE_CHECKING:
    from bootstrap.planning.plan import Plan

app = subcommands("Rotate the credentials of a running cluster.")


@app.callback()
def rotate() -> None:
    """Rotate the credentials of a running cluster."""


@app.command("token", short_help="Rotate the cluster's join token.")
@with_options
def token(*, target: Target, acting: Acting) -> None:
    """Rotate the cluster's join token: k3s restarts on each machine, servers one at a time. kubeconfigs keep working.

    The old token is accepted until the last server has restarted. Run it again to continue an interrupted rotation.
    """
    with working("rotate", target, acting.common) as work:
        from bootstrap.commands.verbs.rotate import RotateToken

        ended = work.act(RotateToken(), acting, question=_question)
        if ended is not None:
            work.result(
                lambda: _closing(ended),
                lambda: ended.document(restarted=_concerned(ended.plan)),
            )


def _concerned(plan: Plan) -> list[str]:
    lanes = {lane.name for lane in plan.lanes}
    return [machine.spec.name for machine in plan.machines if machine.spec.name in lanes]


def _question(plan: Plan) -> Question:
    machines = count(len(_concerned(plan)), "machine")
    return Question(f"This gives {plan.cluster} a new token, and restarts k3s on {machines}, servers one at a time.")


def _closing(ended: Ended) -> str:
    plan, report = ended.plan, ended.report
    if report is None:
        return f"{plan.cluster}: nothing to do"
    machines = count(len(_concerned(plan)), "machine")
    took = tables.seconds(report.took_s)
    return f"{plan.cluster}: {machines} with a new token, in {took}; the old token is no longer accepted"
