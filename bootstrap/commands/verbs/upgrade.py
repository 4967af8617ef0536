"""`upgrade`: upgrades k3s on every machine, one minor version after another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.observing.preflight import (
    check_artifacts,
    check_keys,
    check_privileges,
    check_version,
    observe_existing,
)
from bootstrap.commands.verb import Verb
from bootstrap.errors import ArtifactError, UsageError
from bootstrap.events import EventSink
from bootstrap.execution.context import Timeouts
from bootstrap.execution.report import Report
from bootstrap.inventory.answers import parse_channel
from bootstrap.k3s.versions import K3sVersion, is_newer, is_release, parse_version
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.planning.day2_steps import UpgradeK3s
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.verbs.upgrade import UpgradeOptions, plan_upgrade, upgrade_start
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention

MACHINE_S = 900.0
"""Time for one machine to upgrade by one minor version, on top of a run's own."""


@dataclass(frozen=True, kw_only=True)
class Upgrade(Verb):
    """`upgrade`; with neither `to` nor `channel`, to the inventory's version.

    Attributes:
        to: A version, `vX.Y.Z+k3sN`.
        channel: A release channel instead: stable, latest, vX.Y.
        how: Snapshot, drains, machines at a time.
    """

    drains: ClassVar[bool] = True

    to: str | None = None
    channel: str | None = None
    how: UpgradeOptions = field(default_factory=UpgradeOptions)

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`; checks that every release on the way can be fetched.

        Raises:
            UsageError: There is no such channel, or a version and a channel were given.
        """
        target = self._target(spec, ports)
        view = observe_existing(spec, ports)
        check_version(view)
        check_keys(view, ports)
        artifacts, k3s = ports.artifacts, view.spec.k3s
        minors = upgrade_start(view).minors(target)
        newest = {minor: parse_version(artifacts.newest(k3s, minor=str(minor))) for minor in minors}
        plan = plan_upgrade(view, target=target, newest=newest, upgrading=self.how)
        if plan.lanes:
            check_privileges(view, ports)
        check_artifacts(plan, spec, ports)
        return plan

    def losing_emptydir(self) -> Self:
        """As `Verb.losing_emptydir`."""
        return replace(self, how=replace(self.how, rules=replace(self.how.rules, delete_local_data=True)))

    def seen(self, plan: Plan) -> Self:
        """With the version that the user has seen, even if a channel has a newer one since."""
        versions = [step.version for step in steps_of(plan, FetchK3s)]
        return replace(self, to=str(max(map(parse_version, versions))), channel=None) if versions else self

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`; with time for every machine, unless the user has said how long it may take."""
        if options.timeouts.run_s == Timeouts().run_s:
            run_s = options.timeouts.run_s + len(steps_of(plan, UpgradeK3s)) * MACHINE_S
            options = replace(options, timeouts=replace(options.timeouts, run_s=run_s))
        return super().run(plan, spec, ports, sink=sink, options=options)

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention | None:
        """The version; None where no release is fetched, since little is left to do."""
        if self.to is None:
            return None
        turns = f" --parallel {self.how.max_unavailable}" if self.how.max_unavailable > 1 else ""
        again = f"upgrade --to {self.to}{turns}"
        return Intention(command="upgrade", again=again, since=ports.processes.utc_text(), version=self.to)

    def _target(self, spec: ClusterSpec, ports: Ports) -> K3sVersion:
        if self.to is not None and self.channel is not None:
            raise UsageError("pass either a version or a channel")
        k3s = spec.k3s
        if self.to is not None:
            return parse_version(self.to)
        if self.channel is not None:
            k3s = replace(k3s, version=None, channel=parse_channel(self.channel, flag="--channel"))
        return parse_version(ports.artifacts.resolve(k3s))


def behind_channel(k3s: K3sSpec, ports: Ports, version: str) -> str | None:
    """The version that an inventory without one points to, if that is older than `version`; else None. Reads only."""
    try:
        pointed = ports.artifacts.resolve(k3s)
    except ArtifactError:
        return None  # unreachable: what runs is kept anyway
    return pointed if is_release(pointed) and is_newer(version, pointed) else None
