"""Reads k3s settings on machines, where Kubernetes alone does not show them; used before planning. Reads only."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.commands.observing.guests import Guest, ask, ask_all
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.execution.guests.scripts import parse_guest_settings
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.observed import GuestSettings
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.settings.drift import to_look_into
from bootstrap.planning.view import ClusterView
from bootstrap.ports import GuestScript, Ports


def with_settings(view: ClusterView, ports: Ports) -> ClusterView:
    """The view with the settings files of machines that differ or that hold secrets.

    A machine that cannot be logged in to is judged by what Kubernetes reports; a command that acts on it meets the
    reason.
    """
    try:
        everything = view.states
    except PreflightError:
        return view  # planning meets it again, and says so
    names = to_look_into(view)
    if not names:
        return view
    guests = [_guest(view, state) for state in everything if state.name in names]
    wanted = [guest for guest in guests if guest is not None]
    found = ask_all(wanted, lambda guest: _look(guest, view.spec, ports))
    return replace(view, observed=replace(view.observed, settings=tuple(each for each in found if each is not None)))


def _guest(view: ClusterView, state: MachineState) -> Guest | None:
    """The machine at its own address, or at the one that Kubernetes knows."""
    vm = state.vm
    address = dict(view.observed.addresses).get(state.name) or (state.kube_node.address if state.kube_node else None)
    return Guest(vm, vm.record, address) if vm and vm.record and address else None


def _look(guest: Guest, spec: ClusterSpec, ports: Ports) -> GuestSettings | None:
    try:
        return parse_guest_settings(guest.name, ask(guest, GuestScript(name="read-settings.sh"), spec, ports))
    except HomelabError:
        return None
