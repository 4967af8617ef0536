"""An agent's start, waited for where it shows: in the node that its kubelet registers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address

from bootstrap.execution.context import RunContext
from bootstrap.execution.k3s.node_looks import missing, unreported
from bootstrap.execution.k3s.service import begin_start
from bootstrap.model.machine import MachineSpec
from bootstrap.model.observed import KubeNode
from bootstrap.waiting import NotYet

LOOK_S = 1.0
"""How long one look at the Kubernetes node lasts; in between the machine itself is looked at."""


@dataclass(frozen=True, kw_only=True)
class Own:
    """What distinguishes a machine's own node from one that an earlier machine or start has left behind.

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
        return unreported(kube_node, self.since)


def start_agent(
    machine: MachineSpec,
    context: RunContext,
    *,
    restart: bool,
    version: str = "",
    stale_uid: str = "",
    any_report: bool = False,
) -> Own:
    """Start an agent's unit and wait until its own node has registered; the unit's state serves for diagnosis alone.

    systemd calls the unit `activating` until k3s says READY=1. Since autumn 2025 (1.33 and newer) an agent says that
    when its network policy controller has seen a heartbeat newer than its own start, which was up to 5 minutes after
    the node was Ready.

    Args:
        machine: Whose unit.
        context: The run.
        restart: Whether it is restarted where it runs.
        version: As in `Own`.
        stale_uid: As in `Own`.
        any_report: Whether a report from before the start counts, too.

    Returns:
        What the node was known by.

    Raises:
        GuestError: Its journal names a final cause.
        DeadlineError: It took too long; the details end with its journal.
    """
    starting = begin_start(machine, context, restart=restart)
    own = Own(
        address=context.guest(machine.name).address,
        version=version,
        stale_uid=stale_uid,
        since=None if any_report else starting.began,
    )

    def poll() -> bool | NotYet:
        lacks = missing(machine.name, own.lacks, context, timeout_s=LOOK_S)
        return NotYet("; ".join(filter(None, (starting.look(within_s="0"), lacks)))) if lacks else True

    starting.wait_for("to join", poll, every_s=0.05, timeout_s=context.timeouts.agent_join_s)
    return own
