"""What every step handler is given."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.events import EventSink, Waiting, Warned
from bootstrap.execution.clone_limiter import CloneTurns
from bootstrap.execution.guests.guest_agent_pacing import AgentPacing
from bootstrap.execution.run_facts import Findings
from bootstrap.model.cluster import ClusterSpec
from bootstrap.ports import Ports, Warn
from bootstrap.waiting import PollThrottle, WaitContext


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long each kind of wait may take, in seconds; `run_s` bounds the whole run.

    Attributes:
        first_ask_s: A guest agent is not asked sooner after power-on: no guest is up by then, and each unanswered
            call holds one of the Proxmox node's three API workers for 3 s (PVE 8.4, observed).
        journal_every_s: While a unit starts its journal is read this often: reading it at each look would double what
            a look costs.
        final_cause_s: A final cause that a run of k3s which goes on names is believed when it still stands after this
            long and was said again: k3s repeats its complaint every 2 to 10 s.
        settle_s: How long a k3s that was started on data or a node of before has to run for its node to count as Ready.
        place_look_s: A machine that takes no login is looked for again this often: it may have another address now.
        pause_look_s: While a machine is waited for, its VM is asked this often whether it is paused.
    """

    run_s: float = 3600.0
    lock_s: float = 600.0
    agent_s: float = 600.0
    ssh_s: float = 180.0
    cloud_init_s: float = 600.0
    script_s: float = 120.0
    server_s: float = 420.0
    agent_join_s: float = 300.0
    ready_s: float = 300.0
    delete_node_s: float = 30.0
    first_ask_s: float = 2.0
    journal_every_s: float = 4.0
    final_cause_s: float = 8.0
    settle_s: float = 3.0
    place_look_s: float = 5.0
    pause_look_s: float = 15.0


@dataclass(frozen=True, kw_only=True)
class KubeconfigTarget:
    """Where the user wants the kubeconfig: a file, the default file (None), or nowhere but our state.

    Attributes:
        switch: Make our context the current one, whatever the current one leads to.
    """

    path: Path | None = None
    merge: bool = True
    switch: bool = False


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The world a run acts in.

    Attributes:
        pacing: When to ask which guest agent.
        token: The cluster's token, ours, made before the first machine boots; never in an event or error.
        agent_token: The same that agents join with; empty where that is `token` or not known.
        deadline_s: End of the whole run in the clock's seconds.
        emit: Takes events from any thread.
        stop: Set on Ctrl-C.
    """

    spec: ClusterSpec
    ports: Ports
    findings: Findings
    pacing: AgentPacing
    token: str = field(repr=False)
    agent_token: str = field(default="", repr=False)
    kubeconfig: KubeconfigTarget = field(default_factory=KubeconfigTarget)
    timeouts: Timeouts = field(default_factory=Timeouts)
    deadline_s: float
    emit: EventSink
    stop: threading.Event
    clones: CloneTurns = field(default_factory=CloneTurns)
    poll_throttle: PollThrottle = field(default_factory=PollThrottle)

    def wait_context(self, lane: str, timeout_s: float) -> WaitContext:
        """How to wait in a lane for `timeout_s` at most, or until the run's own end."""
        clock = self.ports.clock
        return WaitContext(
            clock=clock,
            deadline_s=min(clock.now_s() + timeout_s, self.deadline_s),
            stop=self.stop,
            say=lambda what, problem, waited_s: self.emit(
                Waiting(lane=lane, what=what, problem=problem, waited_s=waited_s)
            ),
            poll_throttle=self.poll_throttle,
        )

    def warn(self, subject: str) -> Warn:
        """A port's way to warn about a machine."""
        return lambda message: self.emit(Warned(subject=subject, message=message))


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a step ended well: whether it changed anything, and a fact worth a line."""

    changed: bool = True
    note: str = ""
