"""An agent's start, waited for where it shows: in the node that its kubelet registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address

from bootstrap.errors import DeadlineError, KubeUnreachableError
from bootstrap.execution.context import RunContext
from bootstrap.execution.k3s.service import Starting, begin_start
from bootstrap.model.machine import MachineSpec
from bootstrap.model.observed import KubeNode
from bootstrap.ports import GuestShell, KubeApi
from bootstrap.waiting import Condition, NotYet, wait_for

LOOK_S = 1.0
"""How long one look at the Kubernetes node lasts; in between the machine itself is looked at."""


@dataclass(frozen=True, kw_only=True)
class Own:
    """What tells a machine's own node from one that an earlier machine or an earlier start has left behind.

    Attributes:
        address: The machine's, which is to be the node's InternalIP.
        version: Of the k3s that is installed; empty: any.
        stale_uid: Of a node that was deleted, and may still hang on a finalizer.
        since: When the unit was started, by the machine's own clock, as heartbeats are; None: any heartbeat counts.
    """

    address: IPv4Address
    version: str = ""
    stale_uid: str = ""
    since: datetime | None = None

    def lacks(self, kube_node: KubeNode | None) -> str:
        """What is missing, empty where the node is the machine's own and fresh. Ready is not asked for here."""
        if kube_node is None or (self.stale_uid and kube_node.uid == self.stale_uid):
            return "it has not registered with Kubernetes yet"
        if kube_node.address != self.address:
            return f"its Kubernetes node has the address {kube_node.address}, not {self.address}"
        if self.version and kube_node.version != self.version:
            return f"its kubelet is {kube_node.version or 'of unknown version'}, not {self.version}"
        # Whole seconds both: one second for two is the same start.
        if self.since is not None and (kube_node.heartbeat is None or kube_node.heartbeat < self.since):
            return "its kubelet has not reported since its start"
        return ""


def start_agent(
    machine: MachineSpec,
    shell: GuestShell,
    lane: str,
    context: RunContext,
    *,
    kube: KubeApi,
    restart: bool,
    own: Callable[[datetime], Own],
) -> None:
    """Start an agent's unit and wait until its own node has registered; the unit's state serves for diagnosis alone.

    systemd calls the unit `activating` until k3s says READY=1. Since autumn 2025 (1.33 and newer) an agent says that
    when its network policy controller has seen a heartbeat newer than its own start, which was up to 5 minutes after
    the node was Ready.

    Args:
        machine: Whose unit.
        shell: A login on it.
        lane: Whose wait this is.
        context: The run.
        kube: The API that the node registers with.
        restart: Whether it is restarted where it runs.
        own: What its node is to have, given when the start began by the machine's clock.

    Raises:
        GuestError: Its journal names a final cause.
        DeadlineError: It took too long; the details end with its journal.
    """
    unit = machine.role.unit
    starting = begin_start(machine, shell, context, restart=restart)
    wanted = own(starting.began)
    condition = Condition(
        what=f"{unit} on {machine.name} to join",
        poll=lambda: _joined(machine, kube, wanted, starting),
        every_s=0.05,
        resolution=f"on {machine.name}: journalctl -u {unit}",
    )
    try:
        wait_for(condition, context.wait_context(lane, context.timeouts.agent_join_s))
    except DeadlineError as error:
        starting.explain(error)
        raise


def _joined(machine: MachineSpec, kube: KubeApi, own: Own, starting: Starting) -> bool | NotYet:
    try:
        lacks = own.lacks(kube.await_node(machine.name, accept=lambda node: not own.lacks(node), timeout_s=LOOK_S))
    except KubeUnreachableError as error:
        lacks = str(error)  # The server that the run goes through may be the one that restarts.
    if not lacks:
        return True
    return NotYet("; ".join(filter(None, (starting.look(within_s="0"), lacks))))
