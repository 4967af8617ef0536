"""Looks into machines whose k3s settings Kubernetes alone does not tell; used before planning. Reads only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bootstrap.commands.observing.guests import logged_in
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.execution.guests.scripts import parse_guest_settings
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import GuestSettings, Observed
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.settings.drift import to_look_into
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports

_THREADS = 16
_SCRIPT_TIMEOUT_S = 30.0


def with_settings(spec: ClusterSpec, ports: Ports, observed: Observed) -> Observed:
    """What was observed, with the settings files of machines that differ or that hold secrets.

    One that cannot be logged in to is told apart by what Kubernetes says alone; who acts on it meets the reason.
    """
    view = ClusterView(spec, observed)
    try:
        everything = view.states
    except PreflightError:
        return observed  # anyone who plans meets it again, and says so
    names = to_look_into(view, everything)
    if not names:
        return observed
    wanted = [machine_state for machine_state in everything if machine_state.name in names]
    with ThreadPoolExecutor(max_workers=min(_THREADS, len(wanted)), thread_name_prefix="settings") as pool:
        found = pool.map(lambda machine_state: _look(machine_state, spec, ports, observed), wanted)
        return replace(observed, settings=tuple(each for each in found if each is not None))


def _look(machine_state: MachineState, spec: ClusterSpec, ports: Ports, observed: Observed) -> GuestSettings | None:
    name: MachineName = machine_state.name
    address = dict(observed.addresses).get(name) or (
        machine_state.kube_node.address if machine_state.kube_node else None
    )
    if machine_state.vm is None or address is None:
        return None
    try:
        with logged_in(machine_state.vm, address, spec, ports) as shell:
            text = shell.run(GuestScript(name="read-settings.sh"), timeout_s=_SCRIPT_TIMEOUT_S)
        return parse_guest_settings(name, text)
    except HomelabError:
        return None
