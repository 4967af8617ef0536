"""`replace`: machines give way to fresh clones, one after another."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.commands.act import run_locked
from bootstrap.commands.conflicts import with_conflicts
from bootstrap.commands.observe import observe_cluster
from bootstrap.commands.run import RunOptions
from bootstrap.commands.up import check_privileges, check_version, choose_version, with_k3s
from bootstrap.errors import PreflightError
from bootstrap.events import EventSink, Told
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.observed import Observed
from bootstrap.planning.machines import settled
from bootstrap.planning.members import members
from bootstrap.planning.plan import Plan
from bootstrap.planning.replacing import Replacing, plan_replace, seen_after
from bootstrap.ports import Ports

_ROUNDS = 3
"""At the most: one for all but the server that the others are reached through, one for that, one to spare."""


def prepare_replace(spec: ClusterSpec, ports: Ports, wish: Replacing) -> Plan:
    """Observe and plan. Touches nothing.

    Raises:
        PreflightError: It cannot be done.
    """
    observed = observe_cluster(spec, ports)
    check_version(observed)
    spec = settled(spec, observed)
    check_privileges(spec, ports, observed)
    wish = _with_pool(spec, observed, wish)
    taken = with_conflicts(spec, ports, seen_after(spec, observed, wish)).taken
    observed = replace(observed, taken=taken)
    version = choose_version(spec, ports, observed)
    return plan_replace(with_k3s(spec, version), observed, wish, version=version)


def run_replace(
    plan: Plan, spec: ClusterSpec, ports: Ports, wish: Replacing, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_replace` out, and what has to follow it: the server that it went through leaves last.

    Returns:
        The report of the last run.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: A machine could not be drained, or something else failed; `replace` again continues.
    """
    for _ in range(_ROUNDS):
        going = {machine.spec.name for machine in plan.machines if machine.action == "destroy"}
        now = wish
        report = run_locked(
            plan,
            spec,
            ports,
            again=lambda now=now: prepare_replace(spec, ports, now),  # type: ignore[misc]
            sink=sink,
            options=options,
        )
        rest = _leaving(spec, ports, going)
        if not rest:
            break
        sink(Told(message=f"{', '.join(rest)} has its successor and leaves now"))
        # Everybody else of the pool has been replaced: what is marked is all that is left.
        wish = replace(wish, machines=rest)
        plan = prepare_replace(spec, ports, wish)
    return report


def _leaving(spec: ClusterSpec, ports: Ports, going: set[MachineName]) -> tuple[MachineName, ...]:
    observed = observe_cluster(spec, ports)
    spec = settled(spec, observed)
    there = (member for pool in spec.pools for member in members(spec, pool, observed))
    return tuple(member.name for member in there if member.leaving and member.name in going)


def _with_pool(spec: ClusterSpec, observed: Observed, wish: Replacing) -> Replacing:
    """The wish with the pool of its machines. Raises PreflightError where there are no such machines."""
    pools = {member.name: pool.name for pool in spec.pools for member in members(spec, pool, observed)}
    unknown = [name for name in wish.machines if name not in pools]
    if unknown:
        raise PreflightError(
            f"{spec.name} has no machine {', '.join(unknown)}",
            details=f"its machines: {', '.join(pools) or 'none'}",
            resolution="`homelab-k8s status` lists them",
        )
    found = {pools[name] for name in wish.machines}
    if len(found) > 1:
        raise PreflightError(
            f"{', '.join(wish.machines)} are of several pools: {', '.join(sorted(found))}",
            resolution="replace the machines of one pool at a time",
        )
    pool = next(iter(found), wish.pool)
    if pool not in {each.name for each in spec.pools}:
        raise PreflightError(
            f"{spec.name} has no pool {pool}",
            details=f"its pools: {', '.join(each.name for each in spec.pools)}",
            resolution="name one of them",
        )
    return replace(wish, pool=PoolName(pool))
