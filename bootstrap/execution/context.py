"""What every step handler is given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bootstrap.events import EventSink, Waiting, Warned
from bootstrap.execution.clone_limiter import CloneTurns
from bootstrap.execution.guests.guest_agent_pacing import AgentPacing
from bootstrap.execution.guests.scripts import Output, run_script
from bootstrap.execution.hook_turns import HookTurns
from bootstrap.execution.run_facts import CLUSTER, ClusterAccess, Findings, GuestFacts
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.ports import GuestShell, KubeApi, Ports
from bootstrap.waiting import Condition, NotYet, PollThrottle, WaitContext, wait_for

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long each kind of wait may take, in seconds; `run_s` bounds the whole run.

    Attributes:
        first_ask_s: A guest agent is not asked sooner after power-on: no guest is up by then, and each unanswered
            call holds one of the Proxmox node's three API workers for 3 s (PVE 8.4, observed).
        journal_every_s: While a unit starts its journal is read this often: reading it at each look would double what
            a look costs.
        final_cause_s: A final cause that k3s's present run names is believed when it still stands after this
            long and was said again: k3s repeats its complaint every 2 to 10 s.
        settle_s: How long k3s has to run, started on older data or an older node, until its node counts as Ready.
        place_look_s: A machine that accepts no login has its address looked up again this often: it may have changed.
        objects_s: How long the objects of a wave of manifests may take until they are ready, image pulls included.
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
    objects_s: float = 600.0
    delete_kube_node_s: float = 30.0
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
    """The world that the steps of a lane act in.

    Attributes:
        lane: Whose steps; empty before the run gives it to a lane.
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
    hook_turns: HookTurns = field(default_factory=HookTurns)
    poll_throttle: PollThrottle = field(default_factory=PollThrottle)
    lane: str = ""

    def of_lane(self, lane: str) -> RunContext:
        """The same world for a lane."""
        return replace(self, lane=lane)

    @property
    def access(self) -> ClusterAccess:
        """How to join and to talk to the cluster, as an earlier step has found out."""
        return self.findings.access.need(CLUSTER)

    @property
    def kube(self) -> KubeApi:
        """The cluster's API."""
        return self.access.kube

    def guest(self, name: MachineName) -> GuestFacts:
        """A guest as an earlier step has found it."""
        return self.findings.guests.need(name)

    def shell(self, name: MachineName) -> GuestShell:
        """The login on a machine that an earlier step has made."""
        return self.findings.shells.need(name)

    def run(
        self,
        name: MachineName,
        script: str,
        *,
        timeout_s: float | None = None,
        files: Mapping[str, str] | None = None,
        **env: str,
    ) -> Output:
        """What a script printed on a machine; as `run_script`, with `Timeouts.script_s` where no time is given."""
        timeout_s = self.timeouts.script_s if timeout_s is None else timeout_s
        return run_script(self.shell(name), script, timeout_s=timeout_s, files=files, **env)

    def read_item(self, item: str) -> str | None:
        """An item of the cluster's state directory, or None."""
        return self.ports.state.read(self.spec.name, item)

    def write_item(self, item: str, text: str) -> None:
        """Put an item into the cluster's state directory."""
        self.ports.state.write(self.spec.name, item, text)

    def wait_for(
        self, what: str, poll: Callable[[], T | NotYet], *, timeout_s: float, every_s: float = 0.2, resolution: str = ""
    ) -> T:
        """Wait in this lane for `timeout_s` at most, or until the run's own end; see `bootstrap.waiting.Condition`."""
        condition = Condition(what=what, poll=poll, every_s=every_s, resolution=resolution)
        return wait_for(condition, self.wait_context(timeout_s))

    def wait_context(self, timeout_s: float) -> WaitContext:
        """How this lane waits for `timeout_s` at most, or until the run's own end."""
        clock = self.ports.clock
        return WaitContext(
            clock=clock,
            deadline_s=min(clock.now_s() + timeout_s, self.deadline_s),
            stop=self.stop,
            say=lambda what, problem, waited_s: self.emit(
                Waiting(lane=self.lane, what=what, problem=problem, waited_s=waited_s)
            ),
            poll_throttle=self.poll_throttle,
        )

    def warn(self, message: str, *, subject: str = "") -> None:
        """Warn about a subject, which is the lane's if none is named."""
        self.emit(Warned(subject=subject or self.lane, message=message))


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a step ended well: whether it changed anything, and a fact worth a line."""

    changed: bool = True
    note: str = ""
