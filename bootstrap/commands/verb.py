"""What all commands that change a cluster have in common: a verb, which plans, and carries its plan out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.run import run_locked
from bootstrap.commands.locked.unfinished import finish
from bootstrap.events import EventSink
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Plan
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention


class Verb(ABC):
    """A command with what is asked of it, as a value: the same verb plans, and runs what it has planned."""

    drains: ClassVar[bool] = False
    """Whether its drains go by rules of the user's, see `losing_emptydir`."""
    ends_others: ClassVar[bool] = True
    """Whether commands that did not finish count for nothing any more once this one has ended well."""

    @abstractmethod
    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """Observe and plan. Touches nothing.

        Raises:
            PreflightError: It cannot be done.
            ArtifactError: A k3s release that it takes cannot be fetched.
        """

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """Carry out a plan of `plan`, as the only one who acts on the cluster; it is made again under the lock.

        Raises:
            ClusterBusyError: Another command runs on the cluster; nothing was touched.
            HomelabError: Something failed, or the run was interrupted; the command again continues.
        """
        verb = self.seen(plan)
        report = run_locked(
            plan,
            self.spec_to_run(spec, ports),
            ports,
            again=lambda: verb.plan(spec, ports),
            sink=sink,
            options=self.run_options(plan, options),
            intention=verb.intention(plan, spec, ports),
        )
        self.ended(spec, ports)
        if self.ends_others:
            finish(spec.name, ports)
        return report

    def losing_emptydir(self) -> Self:
        """The same, with drains that may lose the emptyDir volumes of pods."""
        return self

    def seen(self, plan: Plan) -> Verb:  # noqa: ARG002
        """The verb as the user has confirmed it: what `latest` and channels meant when the plan was shown."""
        return self

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:  # noqa: ARG002
        """The spec that steps go by."""
        return spec

    def run_options(self, plan: Plan, options: RunOptions) -> RunOptions:  # noqa: ARG002
        """How it runs."""
        return options

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention | None:  # noqa: ARG002
        """What is noted before the first change, for the command that continues; None for nothing."""
        return None

    def ended(self, spec: ClusterSpec, ports: Ports) -> None:  # noqa: B027
        """What is done here once all has ended well, while others still see that it is under way."""
