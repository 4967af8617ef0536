"""Joins what Kubernetes says of machines with their VMs and their k3s units: Ready alone can be stale."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.commands.observing.guests import Guest, ask, ask_all, guests_of
from bootstrap.errors import DeadlineError, HomelabError, KeyRefusedError, SshUnreachableError
from bootstrap.execution.guests.scripts import parse_lines, told
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import RecordState, Role
from bootstrap.model.observed import KubeNode, Observed, VmRecord
from bootstrap.model.reading import LAST_UNIX_S
from bootstrap.planning.healthy_server import healthy_server
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports
from bootstrap.records.state.state_items import KUBECONFIG
from bootstrap.waiting import Condition, NotYet, patience_to_look, report_fact, wait_for

RENEWAL_S = 12.0
"""A lease older than this has missed a renewal, which comes every 10 s: then the machine is asked."""
STARTS_WITHIN_S = 90.0
"""How long a server that starts is waited for before anything is decided. A first start takes 7 to 31 s on two busy
cores (k3s v1.36.3, observed), a boot before that as long."""
_MOST_ASKED = 200
"""Machines that are asked, all at once."""
_TRIES = 2
"""Restarts after which a unit that does not come up counts as one that loops."""
_LOOK_S = 2.0
_TIMEOUT_S = 15.0
_MOST = 200
"""Characters of one of systemd's words."""


@dataclass(frozen=True, kw_only=True)
class UnitState:
    """A k3s unit in systemd's words; `problem` where the machine could not be asked.

    Attributes:
        age_s: Seconds since its process was started; None where it was not.
        refused: Whether the machine refused our SSH key: it runs, and nothing more is known.
        prepared: Whether it has files, packages or kernel settings of an inventory.
    """

    unit: str
    active: str = ""
    sub: str = ""
    restarts: int = 0
    age_s: float | None = None
    problem: str = ""
    unreachable: bool = False
    refused: bool = False
    prepared: bool = False

    @property
    def is_down(self) -> bool:
        """Whether k3s does not run there for sure. An agent is `activating` for minutes while all is well."""
        return self.active in ("inactive", "failed", "deactivating") or self.sub.startswith("auto-restart")

    @property
    def starts(self) -> bool:
        """Whether it is starting; one that was restarted again and again does not count."""
        return self.active in ("activating", "reloading") and self.restarts <= _TRIES

    def __str__(self) -> str:
        """As in `k3s-agent is failed (dead) there`."""
        return f"{self.unit} is {self.active} ({self.sub}) there" if self.active else self.problem


def with_vms(view: ClusterView) -> ClusterView:
    """No Kubernetes node is Ready whose VM does not run."""
    idle = {name: vm.idle for name, vm in view.vm_of.items() if vm.idle}

    def joined(kube_node: KubeNode) -> KubeNode:
        if kube_node.name not in idle or not kube_node.ready:
            return kube_node
        return replace(kube_node, ready=False, stale=True, problem=f"its VM is {idle[kube_node.name]}")

    return _with_nodes(view, joined)


def with_units(view: ClusterView, ports: Ports, *, every: bool = False) -> ClusterView:
    """The k3s units are asked of machines whose lease has missed a renewal or whose node is not Ready.

    Which of them refused our SSH key is noted too. With `every`, all machines are asked: a lease that was renewed a
    moment ago says nothing of now.
    """
    doubtful = {name for name, kube_node in view.kube_nodes.items() if _is_doubtful(kube_node)}
    states = unit_states(view, ports, set(guests_of(view)) if every else doubtful)
    refusing = {name for name, state in states.items() if state.refused} | set(view.observed.refusing)

    def joined(kube_node: KubeNode) -> KubeNode:
        state = states.get(kube_node.name)
        if state is None or not (state.is_down or (state.unreachable and _is_doubtful(kube_node))):
            return kube_node
        since = f"its kubelet was last heard of {kube_node.lease_age_s:.0f} s ago" if kube_node.lease_age_s else ""
        problem = "; ".join(filter(None, (str(state), since if kube_node.ready else kube_node.problem)))
        return replace(kube_node, ready=False, stale=kube_node.ready or kube_node.stale, problem=problem)

    prepared = {name for name, state in states.items() if state.prepared} | set(view.observed.prepared)
    noted = replace(view.observed, refusing=tuple(sorted(refusing)), prepared=tuple(sorted(prepared)))
    view = replace(view, observed=noted)
    return _with_nodes(view, joined) if states else view


def _is_doubtful(kube_node: KubeNode) -> bool:
    return not kube_node.ready or (kube_node.lease_age_s is not None and kube_node.lease_age_s > RENEWAL_S)


def _with_nodes(view: ClusterView, joined: Callable[[KubeNode], KubeNode]) -> ClusterView:
    if view.observed.kube_nodes is None:
        return view
    return replace(view, observed=replace(view.observed, kube_nodes=tuple(map(joined, view.observed.kube_nodes))))


def unit_states(view: ClusterView, ports: Ports, names: Collection[MachineName]) -> Mapping[MachineName, UnitState]:
    """The k3s units of machines that run and whose address is known, asked at once."""
    asked = [guest for name, guest in guests_of(view).items() if name in names and not guest.vm.idle][:_MOST_ASKED]

    def look(guest: Guest) -> UnitState:
        unit = guest.record.role.unit
        script = GuestScript(name="unit-state.sh", env=(("UNIT", unit), ("WITHIN_S", "0")))
        try:
            text = ask(guest, script, view.spec, ports, timeout_s=_TIMEOUT_S)
            return _unit_state(guest.name, unit, parse_lines(text))
        except KeyRefusedError as error:
            return UnitState(unit=unit, problem=f"no SSH: {error}", refused=True)
        except SshUnreachableError as error:
            return UnitState(unit=unit, problem=f"no SSH: {error}", unreachable=True)
        except HomelabError as error:
            return UnitState(unit=unit, problem=str(error))

    states = ask_all(asked, look, at_once=_MOST_ASKED)
    return {guest.name: state for guest, state in zip(asked, states, strict=True)}


def _unit_state(name: MachineName, unit: str, lines: Mapping[str, list[str]]) -> UnitState:
    """What unit-state.sh printed. Raises UnreadableGuestError."""
    now, since = (told(lines, key, machine=name) for key in ("time", "since"))
    known = bool(now.text("")) and bool(since.text(""))
    return UnitState(
        unit=unit,
        active=told(lines, "active_state", machine=name).text("", most=_MOST),
        sub=told(lines, "sub_state", machine=name).text("", most=_MOST),
        restarts=told(lines, "restarts", machine=name).integer(0, 2**31, default=0),
        prepared=told(lines, "prepared", machine=name).text("") == "1",
        age_s=float(now.integer(0, LAST_UNIX_S) - since.integer(0, LAST_UNIX_S)) if known else None,
    )


def when_served(view: ClusterView, ports: Ports, *, look: Callable[[], ClusterView]) -> ClusterView:
    """The cluster as `look` sees it once a server is Ready, if one is starting: after a kill, a restart or a boot."""
    coming = _coming(view, ports)
    if not coming:
        return view
    name = view.spec.name
    report_fact(f"no server of {name} is Ready yet: {coming[0]}; waiting up to {STARTS_WITHIN_S:.0f} s")
    seen = [view]

    def poll() -> ClusterView | NotYet:
        seen[:] = [look()]
        left = _coming(seen[0], ports)
        return NotYet(left[0]) if left else seen[0]

    condition = Condition(what=f"a server of {name} to be Ready", poll=poll, every_s=_LOOK_S)
    try:
        return wait_for(condition, patience_to_look(ports.clock, STARTS_WITHIN_S))
    except DeadlineError:
        return seen[0]


def _coming(view: ClusterView, ports: Ports) -> Sequence[str]:
    """Servers that start, each with what it does; empty where one is Ready, or none starts."""
    if healthy_server(view) is not None or not ports.state.read(view.spec.name, KUBECONFIG):
        return ()  # Without a kubeconfig there has never been a server.
    servers = {
        record.machine: vm
        for vm, record in view.machines
        if record.role is Role.CONTROL_PLANE and record.state is not RecordState.CLONING and not vm.idle
    }
    units = unit_states(view, ports, servers)
    said = (_sign_of_life(name, vm, units.get(name), view.observed) for name, vm in servers.items())
    return [each for each in said if each]


def _sign_of_life(name: MachineName, vm: VmRecord, state: UnitState | None, observed: Observed) -> str:
    """What a server does that is about to be Ready; empty where nothing shows that it is."""
    if (state is None or state.unreachable) and vm.uptime_s < STARTS_WITHIN_S:
        return f"the VM of {name} was started {vm.uptime_s} s ago"
    if state is None:
        return ""
    if state.starts:
        return f"{state.unit} on {name} is {state.active} ({state.sub})"
    if state.active == "active" and _claims_ready(observed, name):
        return f"{state.unit} on {name} has started, but its kubelet has not reported yet"
    if _was_up_since(state, observed):
        return f"{state.unit} on {name} has started {state.age_s:.0f} s ago"
    return ""


def _was_up_since(state: UnitState, observed: Observed) -> bool:
    """Whether its unit started after Kubernetes was asked without an answer."""
    young = state.age_s is not None and state.age_s < STARTS_WITHIN_S
    return state.active == "active" and young and observed.kube_nodes is None


def _claims_ready(observed: Observed, name: MachineName) -> bool:
    """Whether its node is Ready but for a lease that is too old: after a restart it takes seconds to renew it."""
    return any(node.name == name and node.stale for node in observed.kube_nodes or ())
