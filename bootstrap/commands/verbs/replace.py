"""`replace`: machines are replaced by fresh clones, one after another."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.unfinished import finish, unfinished
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.needs import check_artifacts
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.ssh_keys import check_keys
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.up import check_privileges, check_version, choose_version, with_k3s
from bootstrap.errors import PreflightError
from bootstrap.events import EventSink, Told
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.observed import Observed
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.members.pool_members import members
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.unfinished import machines_to_remove
from bootstrap.planning.verbs.replace import ReplaceOptions, plan_replace, seen_after
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention

_ROUNDS = 3
"""At the most: one for all but the server that the others are reached through, one for that, one to spare."""


@dataclass(frozen=True)
class Replace(Verb):
    """`replace`."""

    drains: ClassVar[bool] = True

    asked: ReplaceOptions

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        observed = observe_cluster(spec, ports)
        check_version(observed)
        check_keys(spec, ports, observed)
        spec = with_existing_sizes(spec, observed)
        check_privileges(spec, ports, observed)
        noted = unfinished(spec, ports, observed)
        asked = _continued(_with_pool(spec, observed, self.asked, noted), noted)
        taken = with_conflicts(asked.kept(ClusterView(spec, observed)), ports, seen_after(spec, observed, asked)).taken
        observed = with_settings(spec, ports, replace(observed, taken=taken))
        version = choose_version(spec, ports, observed)
        plan = plan_replace(with_k3s(spec, version), observed, asked, version=version)
        check_artifacts(plan, spec, ports)
        return plan

    def losing_emptydir(self) -> Self:
        """As `Verb.losing_emptydir`."""
        return replace(self, asked=replace(self.asked, rules=replace(self.asked.rules, delete_local_data=True)))

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`; the server that all went through leaves last, in a run of its own, whose report this is."""
        intention, now = self.intention(plan, spec, ports), self
        for _ in range(_ROUNDS):
            destroyed = {name for name, _ in machines_to_remove(plan)}
            report = now.carry_out(plan, spec, ports, sink=sink, options=options, intention=intention)
            rest = _leaving(spec, ports, destroyed)
            if not rest:
                break
            sink(Told(message=f"{', '.join(rest)} has been replaced and is removed now"))
            # Everybody else of the pool has been replaced: what is marked is all that is left.
            now = Replace(replace(now.asked, machines=rest))
            plan = now.plan(spec, ports)
        finish(spec.name, ports)
        return report

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:
        """The sizes that the pools keep, and what goes; of a run that continues another, what that noted."""
        observed = observe_cluster(spec, ports)
        spec = with_existing_sizes(spec, observed)
        noted = unfinished(spec, ports, observed)
        asked = _continued(_with_pool(spec, observed, self.asked, noted), noted)
        kept = asked.kept(ClusterView(spec, observed))
        typed = shlex.join(asked.machines) if asked.machines else f"--pool {asked.pool}"
        return Intention(
            command="replace",
            again=f"replace {typed}",
            since=ports.processes.utc_text(),
            counts=tuple((pool.name, pool.count) for pool in kept.pools if pool.name == asked.pool),
            machines=tuple((dict(machines_to_remove(plan)) | dict(asked.begun)).items()),
        )


def _continued(asked: ReplaceOptions, noted: Intention | None) -> ReplaceOptions:
    """The wish with what an earlier command that did not finish was to end with."""
    counts = dict(noted.counts) if noted is not None else {}
    if noted is None or asked.pool not in counts:
        return asked
    if noted.command == "scale":
        return replace(asked, asked=counts)
    return replace(asked, begun=dict(noted.machines), noted=counts)


def _leaving(spec: ClusterSpec, ports: Ports, among: set[MachineName]) -> tuple[MachineName, ...]:
    observed = observe_cluster(spec, ports)
    spec = with_existing_sizes(spec, observed)
    there = (member for pool in spec.pools for member in members(ClusterView(spec, observed), pool))
    return tuple(member.name for member in there if member.leaving and member.name in among)


def _with_pool(spec: ClusterSpec, observed: Observed, asked: ReplaceOptions, noted: Intention | None) -> ReplaceOptions:
    """The wish with the pool of its machines; one that has gone by an earlier run still has its successor to come.

    Raises:
        PreflightError: There are no such machines.
    """
    pools = _pools(ClusterView(spec, observed), noted)
    unknown = [name for name in asked.machines if name not in pools]
    if unknown:
        raise PreflightError(
            f"{spec.name} has no machine {', '.join(unknown)}",
            details=f"its machines: {', '.join(pools) or 'none'}",
            resolution=Advice("`homelab-k8s status` lists them"),
        )
    found = {pools[name] for name in asked.machines} or {asked.pool}
    if len(found) > 1:
        raise PreflightError(
            f"{', '.join(asked.machines)} are of several pools: {', '.join(sorted(found))}",
            resolution="pass machines of one pool only",
        )
    (pool,), known = found, [each.name for each in spec.pools]
    if pool not in known:
        raise PreflightError(
            f"{spec.name} has no pool {pool}",
            details=f"its pools: {', '.join(known)}",
            resolution="name one of them",
        )
    return replace(asked, pool=PoolName(pool))


def _pools(view: ClusterView, noted: Intention | None) -> Mapping[MachineName, PoolName]:
    """The pool of each machine, and of those that an earlier run has replaced."""
    pools = {member.name: pool.name for pool in view.spec.pools for member in members(view, pool)}
    if noted is None or noted.command != "replace" or not noted.counts:
        return pools
    return {name: noted.counts[0][0] for name, _ in noted.machines} | pools
