"""What commands that act have in common: one holder at a time, a plan made again under the lock, a run, a report."""

from __future__ import annotations

from collections.abc import Callable

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions, run_plan
from bootstrap.commands.locked.lock import ClusterLock
from bootstrap.commands.locked.unfinished import begin
from bootstrap.errors import HomelabError
from bootstrap.events import EventSink, Told, Warned
from bootstrap.execution.k3s.identity import new_token
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.planning.plan import Action, Plan
from bootstrap.ports import Ports
from bootstrap.records.state.intention import Intention
from bootstrap.records.state.state_items import AGENT_TOKEN, TOKEN
from bootstrap.records.state.token_history import ClusterTokens
from bootstrap.waiting import telling

Prepare = Callable[[], Plan]
"""Observes and plans; touches nothing."""


def run_locked(
    plan: Plan,
    spec: ClusterSpec,
    ports: Ports,
    *,
    again: Prepare,
    sink: EventSink,
    options: RunOptions,
    intention: Intention | None = None,
) -> Report:
    """Carry a plan out, as the only one who acts on the cluster.

    What was seen before the lock was had may be stale, so the plan is made again under it. A machine that the user has
    not seen go in the first plan never goes by the second.

    Args:
        plan: What the user has seen.
        spec: The cluster.
        ports: Where to act.
        again: Makes the plan again.
        sink: Hears events.
        options: How to run.
        intention: What is noted before the first change; who passes it forgets it when all has ended well (`finish`).

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: Lanes failed, or the run was interrupted; what is done stays, and the command again continues.
    """
    with ClusterLock(spec, ports, command=plan.command, sink=sink, stop=options.stop, times=options.lock) as lock:
        with telling(sink):
            fresh = again()
        _check_losses(plan, fresh)
        if fresh.lanes != plan.lanes:
            sink(Told(message=f"{spec.name} changed since the plan was made: it was replanned"))
        for note in fresh.notes:
            sink(Warned(subject=spec.name, message=note))
        if fresh.lanes:
            begin(plan.command, intention, spec.name, ports)
        tokens = cluster_tokens(spec.name, ports) if fresh.lanes else ClusterTokens(server="")
        report = run_plan(fresh, spec, ports, token=tokens.server, agent_token=tokens.agent, sink=sink, options=options)
    lock.check()
    report.raise_failures()
    return report


def _check_losses(plan: Plan, fresh: Plan) -> None:
    """Refuse to remove what was not shown: what the user has seen and confirmed is all that may go."""
    seen = {machine.spec.name for machine in plan.machines if machine.action is Action.DESTROY}
    new = [m.spec.name for m in fresh.machines if m.action is Action.DESTROY and m.spec.name not in seen]
    if new:
        raise HomelabError(
            f"{plan.cluster} changed: the plan is out of date, and it would now remove other machines; nothing was "
            "removed",
            details=", ".join(new),
            resolution=Advice("run `homelab-k8s {}` again to see and confirm the new plan", plan.command),
        )


def cluster_tokens(cluster: ClusterName, ports: Ports) -> ClusterTokens:
    """The cluster's tokens in their short form, made before the first machine boots and kept until `down`.

    A cluster that is known here without a token for agents is one of an earlier release: `rotate token` gives it one.
    """
    known = ports.state.read(cluster, TOKEN)
    if known:
        return ClusterTokens(server=known, agent=ports.state.read(cluster, AGENT_TOKEN) or "").short()
    tokens = ClusterTokens(server=new_token(), agent=new_token())
    # The agents' first: of a run that is killed in between both are made again.
    ports.state.write(cluster, AGENT_TOKEN, tokens.agent)
    ports.state.write(cluster, TOKEN, tokens.server)
    return tokens
