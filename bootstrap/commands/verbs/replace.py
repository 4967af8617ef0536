"""`replace`: replaces machines by new ones, one after another."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.unfinished import finish, unfinished
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.preflight import check_artifacts, check_privileges, observe_checked
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.versions import choose_version, with_k3s
from bootstrap.commands.verb import Verb
from bootstrap.errors import PreflightError
from bootstrap.events import EventSink, Told
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName, MachineName, PoolName
from bootstrap.model.words import did_you_mean
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.pool_members import members
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.unfinished import machines_to_remove
from bootstrap.planning.verbs.replace import ReplaceOptions, plan_replace, seen_after
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention

_ROUNDS = 3
"""At most: one for all but the server through which others join, one for that, one to spare."""


@dataclass(frozen=True)
class Replace(Verb):
    """`replace`."""

    drains: ClassVar[bool] = True

    asked: ReplaceOptions

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        view = with_existing_sizes(observe_checked(spec, ports))
        check_privileges(view, ports)
        asked = self._continuing(view, ports)
        taken = with_conflicts(seen_after(view, asked), ports).observed.taken
        view = with_settings(replace(view, observed=replace(view.observed, taken=taken)), ports)
        version = choose_version(view, ports)
        plan = plan_replace(with_k3s(view, version), asked, version=version)
        check_artifacts(plan, spec, ports)
        return plan

    def _continuing(self, view: ClusterView, ports: Ports) -> ReplaceOptions:
        """The options, with the goal of an earlier command that did not finish.

        Raises:
            PreflightError: There are no such machines.
        """
        noted = unfinished(view, ports)
        asked = _with_pool(view, self.asked, noted)
        counts = dict(noted.counts) if noted is not None else {}
        if noted is None or asked.pool not in counts:
            return asked
        if noted.command == "scale":
            return replace(asked, asked=counts)
        return replace(asked, begun=dict(noted.machines), noted=counts)

    def losing_emptydir(self) -> Self:
        """As `Verb.losing_emptydir`."""
        return replace(self, asked=replace(self.asked, rules=replace(self.asked.rules, delete_local_data=True)))

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`; the server through which others join is removed last, by a run whose report is returned."""
        intention, now = self.intention(plan, spec, ports), self
        for _ in range(_ROUNDS):
            destroyed = {name for name, _ in machines_to_remove(plan)}
            report = now.carry_out(plan, spec, ports, sink=sink, options=options, intention=intention)
            rest = _leaving(spec, ports, destroyed)
            if not rest:
                break
            sink(Told(message=f"{', '.join(rest)} has been replaced and is removed now"))
            # The rest of the pool has been replaced: only what is marked is left.
            now = Replace(replace(now.asked, machines=rest))
            plan = now.plan(spec, ports)
        finish(spec.name, ports)
        return report

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:
        """The sizes that the pools keep, and what is removed, also by the run that this one continues."""
        view = with_existing_sizes(observe_cluster(spec, ports))
        asked = self._continuing(view, ports)
        kept = asked.kept(view)
        typed = shlex.join(asked.machines) if asked.machines else f"--pool {asked.pool}"
        turns = f" --parallel {asked.at_once}" if asked.at_once > 1 else ""
        return Intention(
            command="replace",
            again=f"replace {typed}{turns}",
            since=ports.processes.utc_text(),
            counts=tuple((pool.name, pool.count) for pool in kept.pools if pool.name == asked.pool),
            machines=tuple((dict(machines_to_remove(plan)) | dict(asked.begun)).items()),
        )


def _leaving(spec: ClusterSpec, ports: Ports, among: set[MachineName]) -> tuple[MachineName, ...]:
    view = with_existing_sizes(observe_cluster(spec, ports))
    there = (member for pool in view.spec.pools for member in members(view, pool))
    return tuple(member.name for member in there if member.leaving and member.name in among)


def _with_pool(view: ClusterView, asked: ReplaceOptions, noted: Intention | None) -> ReplaceOptions:
    """With the pool of its machines; one that an earlier run removed still gets its successor.

    Raises:
        PreflightError: There are no such machines, or no such pool.
    """
    pool = _pool_of(asked.machines, _pools(view, noted), view.spec.name) if asked.machines else asked.pool
    known = [each.name for each in view.spec.pools]
    if pool not in known:
        raise PreflightError(
            f"{view.spec.name} has no pool {pool}",
            details=f"its pools: {', '.join(known)}",
            resolution=did_you_mean(pool, known) or "name one of them",
        )
    return replace(asked, pool=pool)


def _pool_of(machines: Sequence[MachineName], pools: Mapping[MachineName, PoolName], cluster: ClusterName) -> PoolName:
    """The one pool that all machines are of."""
    unknown = [name for name in machines if name not in pools]
    if unknown:
        raise PreflightError(
            f"{cluster} has no machine {', '.join(unknown)}",
            details=f"its machines: {', '.join(pools) or 'none'}",
            resolution=Advice("`homelab-k8s status` lists them"),
        )
    found = sorted({pools[name] for name in machines})
    if len(found) > 1:
        raise PreflightError(
            f"{', '.join(machines)} are of several pools: {', '.join(found)}",
            resolution="pass machines of one pool only",
        )
    return found[0]


def _pools(view: ClusterView, noted: Intention | None) -> Mapping[MachineName, PoolName]:
    """The pool of each machine, and of those that an earlier run has replaced."""
    pools = {member.name: pool.name for pool in view.spec.pools for member in members(view, pool)}
    if noted is None or noted.command != "replace" or not noted.counts:
        return pools
    return {name: noted.counts[0][0] for name, _ in noted.machines} | pools
