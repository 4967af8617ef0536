"""Runs a plan: what all commands that act have in common."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from bootstrap.commands.locked.lock import LockTimes
from bootstrap.events import EventSink
from bootstrap.execution.context import KubeconfigTarget, RunContext, Timeouts
from bootstrap.execution.dispatch import perform
from bootstrap.execution.guests.guest_agent_pacing import AgentPacing
from bootstrap.execution.report import Report
from bootstrap.execution.run_facts import Findings
from bootstrap.execution.runner import Runner
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.plan import Plan
from bootstrap.ports import Ports


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a command runs; all optional.

    Attributes:
        stop: Set it to start nothing more; running steps end cleanly.
        lock: How the lock that keeps others away keeps time.
    """

    kubeconfig: KubeconfigTarget = field(default_factory=KubeconfigTarget)
    timeouts: Timeouts = field(default_factory=Timeouts)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: LockTimes = field(default_factory=LockTimes)


def run_plan(
    plan: Plan,
    spec: ClusterSpec,
    ports: Ports,
    *,
    token: str,
    agent_token: str = "",
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
        token=token,
        agent_token=agent_token,
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
