"""Runs a plan: the tokens that machines join with, the run, its end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from bootstrap.commands.locked.lock import LockTimes
from bootstrap.events import EventSink
from bootstrap.execution.context import KubeconfigTarget, RunContext, Timeouts
from bootstrap.execution.dispatch import perform
from bootstrap.execution.guests.guest_agent_pacing import AgentPacing
from bootstrap.execution.k3s.identity import new_token
from bootstrap.execution.report import Report
from bootstrap.execution.run_facts import Findings
from bootstrap.execution.runner import Runner
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import ClusterName
from bootstrap.planning.plan import Plan
from bootstrap.ports import Ports
from bootstrap.records.state.state_items import AGENT_TOKEN, TOKEN
from bootstrap.records.state.token_history import ClusterTokens


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a command runs; all optional.

    Attributes:
        stop: Set it to start nothing more; running steps end cleanly.
        lock: Timing of the lock.
    """

    kubeconfig: KubeconfigTarget = field(default_factory=KubeconfigTarget)
    timeouts: Timeouts = field(default_factory=Timeouts)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: LockTimes = field(default_factory=LockTimes)


def cluster_tokens(cluster: ClusterName, ports: Ports) -> ClusterTokens:
    """The cluster's tokens in their short form, made before the first machine boots and kept until `down`.

    A cluster that is known here without a token for agents is one of an earlier release: `rotate token` gives it one.
    """
    known = ports.state.read(cluster, TOKEN)
    if known:
        return ClusterTokens(server=known, agent=ports.state.read(cluster, AGENT_TOKEN) or "").short()
    tokens = ClusterTokens(server=new_token(), agent=new_token())
    # The agents' first: if the run is killed in between, both are made again.
    ports.state.write(cluster, AGENT_TOKEN, tokens.agent)
    ports.state.write(cluster, TOKEN, tokens.server)
    return tokens


def run_plan(
    plan: Plan,
    spec: ClusterSpec,
    ports: Ports,
    *,
    tokens: ClusterTokens,
    sink: EventSink,
    options: RunOptions,
) -> Report:
    """Run a plan and end its connections. Failures are in the report."""
    findings = Findings(plan)
    runner: Runner
    context = RunContext(
        spec=spec,
        ports=ports,
        findings=findings,
        pacing=AgentPacing(first_ask_s=options.timeouts.first_ask_s),
        token=tokens.server,
        agent_token=tokens.agent,
        kubeconfig=options.kubeconfig,
        timeouts=options.timeouts,
        deadline_s=ports.clock.now_s() + options.timeouts.run_s,
        emit=lambda event: runner.emit(event),
        stop=options.stop,
    )
    runner = Runner(
        plan,
        perform=lambda step, lane: perform(step, context.of_lane(lane)),
        sink=sink,
        clock=ports.clock,
        stop=options.stop,
    )
    try:
        return runner.run()
    finally:
        findings.close()
