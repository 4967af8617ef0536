"""`scale`: resizes pools; machines to be removed are drained first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from bootstrap.commands.locked.unfinished import unfinished
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.preflight import (
    check_artifact_directory,
    check_privileges,
    check_vip,
    observe_checked,
)
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.versions import choose_version, with_k3s
from bootstrap.commands.verb import Verb
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PoolName
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.provision.unfinished import machines_to_remove
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.verbs.scale import plan_scale, with_counts
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention


@dataclass(frozen=True, kw_only=True)
class Scale(Verb):
    """`scale`.

    Attributes:
        counts: Machines for each pool named; with none named, all pools get what the inventory says.
        rules: How machines to be removed are drained.
    """

    drains: ClassVar[bool] = True

    counts: Mapping[PoolName, int] = field(default_factory=dict)
    rules: DrainRules = field(default_factory=DrainRules)

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        sized = with_existing_sizes(observe_checked(spec, ports))
        view = replace(sized, spec=with_counts(sized.spec, dict(self.counts)))
        check_privileges(view, ports)
        check_vip(view, ports)
        view = with_settings(with_conflicts(view, ports), ports)
        pools = frozenset(self.counts or (pool.name for pool in view.spec.pools))
        plan = plan_scale(view, pools=pools, version="", rules=self.rules)
        if steps_of(plan, FetchK3s):  # else the k3s release is not needed, and may be out of reach
            version = choose_version(view, ports)
            plan = plan_scale(with_k3s(view, version), pools=pools, version=version, rules=self.rules)
            check_artifact_directory(plan, spec, ports)
        noted = unfinished(sized, ports)
        # The note of another command counts no more, even where nothing has to be undone.
        return replace(plan, marked=True) if noted is not None and noted.command in ("scale", "replace") else plan

    def losing_emptydir(self) -> Self:
        """As `Verb.losing_emptydir`."""
        return replace(self, rules=replace(self.rules, delete_local_data=True))

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:
        """The spec with the sizes that are asked for."""
        return with_counts(spec, dict(self.counts))

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:
        """The sizes that are asked for, and what is removed."""
        counts = dict(self.counts) or {pool.name: pool.count for pool in spec.pools if "count" in pool.stated}
        typed = "".join(f" {pool} {number}" for pool, number in self.counts.items()) if len(self.counts) == 1 else ""
        return Intention(
            command="scale",
            again=f"scale{typed}",
            since=ports.processes.utc_text(),
            counts=tuple(counts.items()),
            machines=machines_to_remove(plan),
        )
