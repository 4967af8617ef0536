"""Whether a machine is Ready now: by its own node, and by a k3s that stays up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address

from bootstrap.execution.context import RunContext
from bootstrap.execution.guests.scripts import Lines
from bootstrap.execution.guests.scripts import told as value_told
from bootstrap.execution.k3s.node_looks import unreported
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.model.reading import LAST_UNIX_S

REPORTED_S = 15.0
"""A kubelet compares what Kubernetes has of it with what is so every 10 s, and reports what differs."""


class Readiness:
    """Distinguishes a node that is Ready from a stale one, and a k3s that runs from one that ends again and again.

    The node of restored data, of a machine that was rebuilt or of one that was powered on, is stale:
    Ready, with the address it had. k3s was seen to say READY=1 and to end seconds later, four times (1.36), since the
    node had another address than the machine. What a fresh clone registers is never stale.

    Args:
        machine: The machine.
        context: The run.
    """

    def __init__(self, machine: MachineSpec, context: RunContext) -> None:
        name = machine.name
        guest = context.findings.guests.get(name)
        fresh = bool(context.findings.cloned.get(name)) and not context.findings.restored.get(name)
        self._machine = machine
        self._context = context
        self._clock = context.ports.clock
        self._asked = not fresh and context.findings.shells.get(name) is not None
        self._address = guest.address if guest is not None else None
        self._addresses = frozenset[IPv4Address]()
        self._since: datetime | None = None
        self._age_s = 0.0
        self._mark: tuple[str, str] | None = None
        self._marked_s = self._clock.now_s()
        self._long = False

    @property
    def every_s(self) -> float:
        """The pause between two looks: where the machine is asked, it is not asked all the time."""
        return 0.3 if self._asked else 0.05

    def look(self) -> str:
        """Ask the machine about its k3s; what is missing, empty where it runs and has stood for some seconds."""
        if not self._asked:
            return ""
        lines = self._context.run(self._machine.name, "unit-state.sh", UNIT=self._machine.role.unit).lines
        since_s, now_s = (
            value_told(lines, key, machine=self._machine.name).integer(0, LAST_UNIX_S, default=0)
            for key in ("since", "time")
        )
        self._since = datetime.fromtimestamp(since_s, tz=UTC) if since_s else None
        self._age_s = float(now_s - since_s) if since_s else 0.0
        self._addresses = addresses_in(lines)
        return self._ended(lines) or self._young(lines)

    def _ended(self, lines: Lines) -> str:
        active, sub = lines.one("active_state"), lines.one("sub_state")
        # An agent's unit stays `activating` for minutes while its node is Ready, see `agent_start`.
        starts = self._machine.role is not Role.CONTROL_PLANE and (active, sub) == ("activating", "start")
        if starts or active in ("active", "reloading"):
            return ""
        return f"{self._machine.role.unit} there is {active} ({sub})"

    def _young(self, lines: Lines) -> str:
        """A process that runs for some seconds, by the machine's clock or, as that may be set meanwhile, by ours."""
        restarts = lines.one("restarts")
        mark = (lines.one("since"), restarts)
        now_s, settle_s = self._clock.now_s(), self._context.timeouts.settle_s
        if mark != self._mark:
            self._mark, self._marked_s = mark, now_s
        age_s = self._age_s
        self._long = age_s >= REPORTED_S
        if max(age_s, now_s - self._marked_s) >= settle_s:
            return ""
        again = f", restarted {restarts} times by systemd" if restarts not in ("", "0") else ""
        return f"{self._machine.role.unit} there was started {max(age_s, 0):.0f} s ago{again}"

    def lacks(self, kube_node: KubeNode | None) -> str:
        """What is missing for the node to be Ready, by the last look at k3s; empty where nothing is."""
        problem = self._moved(kube_node)
        return problem if problem or kube_node is None else unreported(kube_node, self._since)

    def _moved(self, kube_node: KubeNode | None) -> str:
        """The same but for the report."""
        if kube_node is None:
            return "it has not registered yet"
        if not kube_node.ready:
            return kube_node.problem or "not Ready"
        # An address that the machine has counts, and not one alone: the user may have set another as `node-ip`.
        if not self._asked or kube_node.address in (self._address, *self._addresses):
            return ""
        return f"its Kubernetes node has the address {kube_node.address}, which the machine does not have"

    def lives(self, kube_node: KubeNode | None) -> bool:
        """Whether a node, as it is listed, is Ready by a k3s that was not started a moment ago.

        Data that comes back under a kubelet has an old report. It reports again at once only what differs,
        else within 5 minutes; but it renews its lease all the time.
        """
        if not self._long or kube_node is None or self._moved(kube_node):
            return False
        return self._since is not None and kube_node.renewed is not None and kube_node.renewed >= self._since


def addresses_in(lines: Mapping[str, Sequence[str]]) -> frozenset[IPv4Address]:
    """The addresses of a machine, as `unit-state.sh` printed them."""
    told = {value_told({"address": [text]}, "address", machine="the machine") for text in lines.get("address", ())}
    return frozenset(address.parsed(IPv4Address, "an IPv4 address") for address in told)
