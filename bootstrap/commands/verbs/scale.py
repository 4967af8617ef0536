"""`scale`: pools get as many machines as they are to have; what is too many is drained and leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from bootstrap.commands.locked.unfinished import unfinished
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.needs import check_artifact_directory
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.ssh_keys import check_keys
from bootstrap.commands.verb import Verb
from bootstrap.commands.verbs.up import check_privileges, check_version, check_vip, choose_version, with_k3s
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PoolName
from bootstrap.planning.members.existing_sizes import with_existing_sizes
from bootstrap.planning.plan import Plan
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
        rules: How machines that leave are drained.
    """

    drains: ClassVar[bool] = True

    counts: Mapping[PoolName, int] = field(default_factory=dict)
    rules: DrainRules = field(default_factory=DrainRules)

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`."""
        observed = observe_cluster(spec, ports)
        check_version(observed)
        check_keys(spec, ports, observed)
        wanted = with_counts(with_existing_sizes(spec, observed), dict(self.counts))
        check_privileges(wanted, ports, observed)
        check_vip(wanted, ports, observed)
        observed = with_settings(wanted, ports, with_conflicts(wanted, ports, observed))
        pools = frozenset(self.counts or (pool.name for pool in wanted.pools))
        plan = plan_scale(wanted, observed, pools=pools, version="", rules=self.rules)
        if _installs(plan):  # else nobody asks what k3s there is: a release may be out of reach
            version = choose_version(wanted, ports, observed)
            plan = plan_scale(with_k3s(wanted, version), observed, pools=pools, version=version, rules=self.rules)
            check_artifact_directory(plan, wanted, ports)
        noted = unfinished(with_existing_sizes(spec, observed), ports, observed)
        # What another command was about to do is no longer meant, even where nothing has to be undone.
        return replace(plan, marked=True) if noted is not None and noted.command in ("scale", "replace") else plan

    def losing_emptydir(self) -> Self:
        """As `Verb.losing_emptydir`."""
        return replace(self, rules=replace(self.rules, delete_local_data=True))

    def spec_to_run(self, spec: ClusterSpec, ports: Ports) -> ClusterSpec:
        """The spec with the sizes that are asked for."""
        return with_counts(spec, dict(self.counts))

    def intention(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Intention:
        """The sizes that are asked for, and what goes."""
        counts = dict(self.counts) or {pool.name: pool.count for pool in spec.pools if "count" in pool.stated}
        typed = "".join(f" {pool} {number}" for pool, number in self.counts.items()) if len(self.counts) == 1 else ""
        return Intention(
            command="scale",
            again=f"scale{typed}",
            since=ports.processes.utc_text(),
            counts=tuple(counts.items()),
            machines=machines_to_remove(plan),
        )


def _installs(plan: Plan) -> bool:
    return any(isinstance(step.step, FetchK3s) for lane in plan.lanes for step in lane.steps)
