"""What all commands that change a cluster have in common: a verb plans, and carries its plan out under the lock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions, cluster_tokens, run_plan
from bootstrap.commands.locked.lock import ClusterLock
from bootstrap.commands.locked.unfinished import begin, finish
from bootstrap.errors import HomelabError
from bootstrap.events import EventSink, Told, Warned
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Action, Plan, steps_of
from bootstrap.planning.steps import ForgetCluster
from bootstrap.planning.templates.steps import RemoveTemplate
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention
from bootstrap.records.state.token_history import ClusterTokens
from bootstrap.waiting import reporting_to


class Verb(ABC):
    """A command with its options, as a value: the same verb plans, and runs what it has planned.

    Most verbs only plan; the other methods are hooks with a default.
    """

    drains: ClassVar[bool] = False
    """Whether it drains machines by the user's rules, see `losing_emptydir`."""
    ends_others: ClassVar[bool] = True
    """Whether the note of a command that did not finish is removed once this one has ended well."""
    has_joins: ClassVar[bool] = True
    """Whether machines may join the cluster: its tokens are then made before the first one boots."""
    acts_on: ClassVar[str] = ""
    """What it changes in one word, if not the cluster: `templates`."""

    @abstractmethod
    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """Observe and plan. Touches nothing.

        Raises:
            PreflightError: It cannot be done; nothing was changed.
            ArtifactError: A k3s release that it needs cannot be fetched.
        """

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """Carry out a plan of `plan`, as the only one who acts on the cluster; it is made again under the lock.

        Raises:
            ClusterBusyError: Another command runs on the cluster; nothing was touched.
            HomelabError: Something failed, or the run was interrupted; the command again continues.
        """
        intention = self.seen(plan).intention(plan, spec, ports)
        report = self.carry_out(plan, spec, ports, sink=sink, options=options, intention=intention)
        self.ended(spec, ports)
        if self.ends_others:
            finish(spec.name, ports)
        return report

    def carry_out(
        self,
        plan: Plan,
        spec: ClusterSpec,
        ports: Ports,
        *,
        sink: EventSink,
        options: RunOptions,
        intention: Intention | None = None,
    ) -> Report:
        """One run under the lock, of a plan of this verb.

        The user has seen and confirmed `plan`. The intention is noted before the first change; the caller forgets it
        when all has ended well (`finish`).

        Raises:
            ClusterBusyError: Another command runs on the cluster; nothing was touched.
            HomelabError: Lanes failed, or the run was interrupted; what is done stays, and the command again continues.
        """
        run_spec = self.spec_to_run(spec, ports)
        subject = self.acts_on or spec.name
        with ClusterLock(spec, ports, command=plan.command, sink=sink, stop=options.stop, times=options.lock) as lock:
            with reporting_to(sink):
                fresh = self.confirmed(plan, spec, ports)
            if fresh.lanes != plan.lanes:
                sink(Told(message=f"{subject} changed since the plan was made: it was replanned"))
            for note in fresh.notes:
                sink(Warned(subject=subject, message=note))
            if fresh.lanes:
                begin(plan.command, intention, spec.name, ports)
            makes_tokens = self.has_joins and fresh.lanes
            tokens = cluster_tokens(spec.name, ports) if makes_tokens else ClusterTokens(server="")
            report = run_plan(fresh, run_spec, ports, tokens=tokens, sink=sink, options=options)
            if steps_of(fresh, ForgetCluster) and report.ended_well:
                lock.forget_at_the_end(lambda: ports.state.forget(spec.name))
        lock.check()
        report.raise_failures()
        return report

    def confirmed(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Plan:
        """The plan to run, made again under the lock: what was seen before may have changed.

        Raises:
            HomelabError: It would now remove what the user has not seen in `plan`; nothing was removed.
        """
        fresh = self.seen(plan).plan(spec, ports)
        _check_losses(plan, fresh, changed=self.acts_on or spec.name)
        return fresh

    def losing_emptydir(self) -> Self:
        """The same, with drains that may lose the emptyDir volumes of pods."""
        return self

    def seen(self, plan: Plan) -> Self:
        """The verb as the user has confirmed it: with the version or snapshot that `latest` or a channel was then."""
        return self

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:
        """The spec that steps use."""
        return spec

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention | None:
        """What is noted before the first change, for the command that continues; None for nothing."""
        return None

    def ended(self, spec: ClusterSpec, ports: Ports) -> None:
        """What is done on this computer at a good end, before the note that it is in progress is removed."""


def _check_losses(plan: Plan, fresh: Plan, *, changed: str) -> None:
    seen = _removed(plan)
    new = {key: name for key, name in _removed(fresh).items() if key not in seen}
    if new:
        kind = "templates" if any(isinstance(key, RemoveTemplate) for key in new) else "machines"
        raise HomelabError(
            f"{changed} changed: the plan is out of date, and it would now remove other {kind}; nothing was removed",
            details=", ".join(new.values()),
            resolution=Advice("run `homelab-k8s {}` again to see and confirm the new plan", plan.command),
        )


def _removed(plan: Plan) -> dict[object, str]:
    """What a plan removes: the names of its machines, and its templates with theirs."""
    machines = [machine.spec.name for machine in plan.machines if machine.action is Action.DESTROY]
    return {**{name: name for name in machines}, **{step: step.name for step in steps_of(plan, RemoveTemplate)}}
