"""Reads settings on machines, where Kubernetes alone does not show them; used before planning. Reads only."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.commands.observing.guests import Guest, ask, ask_all
from bootstrap.errors import HomelabError, PreflightError
from bootstrap.execution.guests.scripts import parse_guest_settings, parse_guest_system
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import MachineSpec
from bootstrap.model.observed import GuestSettings
from bootstrap.model.settings.system import GuestSystem
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.settings.drift import to_look_into
from bootstrap.planning.settings.system import comparable, system_of
from bootstrap.planning.settings.system_files import looked_at, system_env
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


def with_systems(view: ClusterView, ports: Ports) -> ClusterView:
    """The view with in what machines differ from the inventory's packages and kernel settings.

    They are only asked where the inventory has any. One that cannot be logged in to is left out.
    """
    try:
        wanted = {each.name: each for each in comparable(view, view.states)}
    except PreflightError:
        return view  # planning meets it again, and says so
    guests = [guest for guest in (_guest(view, each) for each in wanted.values()) if guest is not None]
    found = ask_all(guests, lambda guest: _look_at_system(guest, wanted[guest.name].machine, view.spec, ports))
    return replace(view, observed=replace(view.observed, systems=tuple(each for each in found if each is not None)))


def _look_at_system(guest: Guest, machine: MachineSpec, spec: ClusterSpec, ports: Ports) -> GuestSystem | None:
    system = system_of(spec, machine)
    env = {**system_env(system), "LOOK": "1", "LOCK_S": "0"}
    files = tuple(looked_at(system).items())
    script = GuestScript(name="prepare-system.sh", env=tuple(env.items()), secret_files=files)
    try:
        return parse_guest_system(guest.name, ask(guest, script, spec, ports))
    except HomelabError:
        return None


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
