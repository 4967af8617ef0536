"""The one way a command works on a cluster: the session, the cluster, and for commands that act plan, question, run.

A command that acts, all of it:

    @with_options
    def scale(pool: PoolName, count: Count, *, target: Target, acting: Acting) -> None:
        # its docstring is its help
        with working("scale", target, acting.common) as work:
            ended = work.act(
                Scale(counts={pool: count}), acting,
                question=lambda plan: Question(f"This removes {leaving(plan)} for good."),
            )
            if ended is not None:
                work.result(lambda: closing(ended), lambda: ended.change_document)

One that only reads has `common: Common`, and `work.look(lambda: work.homelab.look(cluster_status))` instead of `act`.

It is registered in `main`. Leaving the block turns every exception into an error message and an exit code (`session`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bootstrap.cli.asking.confirm import Question, confirm
from bootstrap.cli.asking.emptydir import may_lose_emptydir
from bootstrap.cli.options import Acting, Common, Guests, Source, Target, ports_of
from bootstrap.cli.running.calls import VERBOSE
from bootstrap.cli.running.cluster import open_homelab
from bootstrap.cli.running.runs import check_trace
from bootstrap.cli.running.session import Session
from bootstrap.cli.text import documents, tables
from bootstrap.cli.text.documents import Document, Output
from bootstrap.cli.text.invocation import invocation_of
from bootstrap.cli.text.wrapping import columns_of
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.commands.locked.carry_out import RunOptions
    from bootstrap.commands.verb import Verb
    from bootstrap.events import EventSink
    from bootstrap.execution.context import KubeconfigTarget
    from bootstrap.execution.report import Report
    from bootstrap.homelab import Homelab
    from bootstrap.inventory import Overrides
    from bootstrap.planning.plan import Action, Plan

T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    """The result of a command that succeeded. Without a report there was nothing to do."""

    plan: Plan
    report: Report | None

    def text(self, done: str, *, nothing: str = "nothing to do") -> str:
        """What was done and how long it took; or that there was nothing to do."""
        if self.report is None:
            return f"{self.plan.cluster}: {nothing}"
        took = tables.seconds(self.report.took_s)
        return "\n".join([f"{self.plan.cluster}: {done}, in {took}", *tables.times_lines(self.report)])

    def document(self, **facts: object) -> Document:
        """The result for programs, with what only this command reports."""
        return documents.result_document(self.plan.cluster, self.report, **facts)

    def change_document(self) -> Document:
        """The result of a command that adds and removes machines."""
        from bootstrap.planning.plan import Action

        return self.document(added=self._machines(Action.CREATE), removed=self._machines(Action.DESTROY))

    def _machines(self, action: Action) -> list[str]:
        return [machine.spec.name for machine in self.plan.machines if machine.action is action]

    def require_complete(self) -> None:
        """Raise HomelabError, after the result is printed, if machines could not be reached."""
        from bootstrap.planning.members.authorize import not_maintained
        from bootstrap.planning.members.unreachable import incomplete

        if self.plan.unreached:
            raise incomplete(self.plan.cluster, self.plan.command, self.plan.unreached)
        if self.plan.refusing:
            raise not_maintained(self.plan.cluster, self.plan.command, len(self.plan.refusing))


class Work:
    """A command at work on a cluster.

    Args:
        session: Shows, logs, masks; its `view` has text for people, its `sink` takes events.
        source: Which inventory and cluster.
        common: Whether in the lab, and the form of the result.
        opens: Opens the cluster.
    """

    def __init__(self, session: Session, source: Source, common: Common, *, opens: Callable[[], Homelab]) -> None:
        self.session = session
        self.output = common.output
        self._has_own_inventory = source.inventory is not None or not common.lab
        self._opens = opens

    @cached_property
    def homelab(self) -> Homelab:
        """The cluster, from the inventory; opened when it is first used, so that options are checked before.

        Raises:
            InventoryError: With all problems.
            HomelabError: `--lab`, and no lab is running.
        """
        return self._opens()

    @property
    def inventory_file(self) -> Path | None:
        """The user's own inventory file; None where the inventory is the environment, or the lab's."""
        path = Path(self.homelab.inventory.source)
        return path if self._has_own_inventory and path.is_file() else None

    @property
    def width(self) -> int:
        """The terminal's columns for a result; 0 for no limit."""
        return columns_of(sys.stdout)

    def look(self, find: Callable[[], T]) -> T:
        """Read something, and show that it is being read."""
        from bootstrap.waiting import reporting_to  # imports half of `model`, which would slow down `--help`

        with reporting_to(self.session.sink), self.session.view.busy(f"reading {self.homelab.inventory.endpoint.url}"):
            return find()

    def result(self, text: Callable[[], str], document: Callable[[], Document]) -> None:
        """Write the result to stdout in the form of `--output`; only that form is made."""
        form = self.output
        if form is Output.TEXT:
            self.session.result(text(), fit=True)
        else:
            self.session.result(documents.render(document(), form))

    def _confirm(self, plan: Plan, question: Question | None) -> None:
        """Show the machines, and ask if there is a question."""
        if question is not None:
            confirm(plan, question)
        elif table := tables.plan_table(plan, width=columns_of(sys.stderr)):
            self.session.view.text(table)

    def _show_plan(self, plan: Plan) -> None:
        shown = self._advising(plan)
        self.result(
            lambda: tables.plan_text(shown, width=self.width, gates=self.session.verbose),
            lambda: documents.plan_document(shown),
        )

    def _advising(self, plan: Plan) -> Plan:
        """The plan with the commands in its notes completed."""
        return replace(
            plan,
            notes=tuple(map(self.session.advise, plan.notes)),
            follows=tuple(map(self._advising, plan.follows)),
        )

    def act(
        self,
        verb: Verb,
        acting: Acting,
        *,
        question: Callable[[Plan], Question | None] | None = None,
        listen: Callable[[EventSink], EventSink] | None = None,
        kubeconfig: KubeconfigTarget | None = None,
    ) -> Ended | None:
        """Plan, then show the plan or carry it out.

        Args:
            verb: Plans, takes the lock, plans again under it, and runs.
            acting: The command's options.
            question: Asked before anything is changed, unless `--yes`; None asks nothing.
            listen: Wraps the sink of the run's events.
            kubeconfig: Where the kubeconfig is merged; None: the usual file.

        Returns:
            None after a dry run, which has printed the plan.

        Raises:
            HomelabError: It could not be planned, was not confirmed, or failed.
        """
        check_trace(acting.trace)
        planned = self.look(lambda: self.homelab.plan(verb))
        if acting.dry_run:
            self._show_plan(planned)
            return None
        if planned.empty:
            for note in planned.notes:
                self.session.sink(Warned(subject=planned.cluster, message=note))
            return Ended(planned, None)
        self._confirm(planned, question(planned) if question is not None and not acting.yes else None)
        if verb.drains and may_lose_emptydir(self, planned):
            from bootstrap.planning.provision.decommission import with_local_data

            verb, planned = verb.losing_emptydir(), with_local_data(planned)
        sink = listen(self.session.sink) if listen is not None else self.session.sink
        with self.session.running(trace=acting.trace):
            options = run_options(acting.timeout, kubeconfig)
            return Ended(planned, self.homelab.run(verb, planned, sink=sink, options=options))


@contextmanager
def working(
    command: str,
    source: Source,
    common: Common,
    *,
    overrides: Overrides | None = None,
    start_lab: Guests | None = None,
) -> Iterator[Work]:
    """Open a session for a command on a cluster.

    Args:
        command: Names the log and the recording: `up`.
        source: Which inventory and cluster.
        common: Whether in the lab, and how to show it.
        overrides: What the other flags say; None if there is no flag but `--cluster`.
        start_lab: With `--lab`, start a lab with these guests if none is running; None starts none.

    Raises:
        typer.Exit: The command failed, and the error is printed; the exit code is the error's.
    """
    from bootstrap.inventory import Overrides

    context = source.context
    said = overrides or Overrides(cluster=source.cluster if isinstance(source, Target) else None)
    with Session(
        command,
        ports=ports_of(context),
        progress=common.progress,
        invocation=invocation_of(context),
        verbose=bool(context.meta.get(VERBOSE)),
    ) as session:
        yield Work(
            session, source, common, opens=lambda: open_homelab(session, source, common, said, start_lab=start_lab)
        )


def run_options(timeout_s: float | None, kubeconfig: KubeconfigTarget | None = None) -> RunOptions:
    """How a command runs, by its options."""
    from bootstrap.commands.locked.carry_out import RunOptions
    from bootstrap.execution.context import KubeconfigTarget, Timeouts

    return RunOptions(
        kubeconfig=kubeconfig or KubeconfigTarget(),
        timeouts=Timeouts(run_s=timeout_s) if timeout_s is not None else Timeouts(),
    )
