"""`scale`: pools get as many machines as they are to have; what is too many is drained and leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.run import run_locked
from bootstrap.commands.locked.unfinished import finish, unfinished
from bootstrap.commands.observing.ip_conflicts import with_conflicts
from bootstrap.commands.observing.needs import check_artifact_directory
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.settings import with_settings
from bootstrap.commands.observing.ssh_keys import check_keys
from bootstrap.commands.up import check_privileges, check_version, check_vip, choose_version, with_k3s
from bootstrap.events import EventSink
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import PoolName
from bootstrap.planning.members.desired_machines import with_existing_sizes
from bootstrap.planning.plan import Plan
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.provision.unfinished import Intention, going
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.verbs.scale import plan_scale, with_counts
from bootstrap.ports import Ports


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    """What is asked of `scale`.

    Attributes:
        counts: Machines for each pool named; with none named, all pools get what the inventory says.
        rules: How machines that leave are drained.
    """

    counts: Mapping[PoolName, int] = field(default_factory=dict)
    rules: DrainRules = field(default_factory=DrainRules)


def prepare_scale(spec: ClusterSpec, ports: Ports, verb_options: ScaleOptions) -> Plan:
    """Observe and plan. Touches nothing.

    Raises:
        PreflightError: It cannot be done.
    """
    observed = observe_cluster(spec, ports)
    check_version(observed)
    check_keys(spec, ports, observed)
    wanted = with_counts(with_existing_sizes(spec, observed), dict(verb_options.counts))
    check_privileges(wanted, ports, observed)
    check_vip(wanted, ports, observed)
    observed = with_settings(wanted, ports, with_conflicts(wanted, ports, observed))
    pools = frozenset(verb_options.counts or (pool.name for pool in wanted.pools))
    plan = plan_scale(wanted, observed, pools=pools, version="", rules=verb_options.rules)
    if _installs(plan):  # else nobody asks what k3s there is: a release may be out of reach
        version = choose_version(wanted, ports, observed)
        plan = plan_scale(with_k3s(wanted, version), observed, pools=pools, version=version, rules=verb_options.rules)
        check_artifact_directory(plan, wanted, ports)
    noted = unfinished(with_existing_sizes(spec, observed), ports, observed)
    # What another command was about to do is no longer meant, even where nothing has to be undone.
    return replace(plan, marked=True) if noted is not None and noted.command in ("scale", "replace") else plan


def _installs(plan: Plan) -> bool:
    return any(isinstance(step.step, FetchK3s) for lane in plan.lanes for step in lane.steps)


def run_scale(
    plan: Plan, spec: ClusterSpec, ports: Ports, verb_options: ScaleOptions, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_scale` out.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: A machine could not be drained, or something else failed; `scale` again continues.
    """
    report = run_locked(
        plan,
        with_counts(spec, dict(verb_options.counts)),
        ports,
        again=lambda: prepare_scale(spec, ports, verb_options),
        sink=sink,
        options=options,
        intention=_intention(plan, spec, ports, verb_options),
    )
    finish(spec.name, ports)
    return report


def _intention(plan: Plan, spec: ClusterSpec, ports: Ports, verb_options: ScaleOptions) -> Intention:
    counts = dict(verb_options.counts) or {pool.name: pool.count for pool in spec.pools if "count" in pool.stated}
    typed = (
        "".join(f" {pool} {number}" for pool, number in verb_options.counts.items())
        if len(verb_options.counts) == 1
        else ""
    )
    return Intention(
        command="scale",
        again=f"scale{typed}",
        since=ports.processes.utc_text(),
        counts=tuple(counts.items()),
        machines=going(plan),
    )
