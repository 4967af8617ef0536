"""In what machines differ from a hardened cluster's settings and files, and what the user reads of that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bootstrap.k3s.hardening.cis import ADMISSION, ARGUMENTS, AUDIT_POLICY, PROTECT, is_hardened, overridden
from bootstrap.k3s.hardening.files import hardening_checksum
from bootstrap.k3s.registries import FOREIGN
from bootstrap.model.machine import MachineKind, MachineSpec
from bootstrap.model.observed import GuestSettings
from bootstrap.model.settings.hardening import Hardening
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.settings.change import HARDENING, Change

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView

_CIS: Final = (Hardening.CIS.value,)
_OTHER: Final = ("other files",)
_GUIDES: Final = {**ARGUMENTS, PROTECT: ("true",)}


def hardening_changes(files: GuestSettings, view: ClusterView, machine: MachineSpec) -> Iterator[Change]:
    """The change of our files on a server, if there is one; nothing where another's is in the place of one."""
    have, want = files.hardening, hardening_checksum(view.spec, machine)
    if have not in (want, FOREIGN):
        yield Change(key=HARDENING, have=_OTHER * bool(have), want=_CIS * bool(want))


def foreign_hardening(files: GuestSettings, view: ClusterView) -> tuple[str, ...]:
    """A line where another's file is in the place of ours."""
    if files.hardening != FOREIGN or not is_hardened(view.spec):
        return ()
    return (f"{files.machine}: {ADMISSION} or {AUDIT_POLICY} was not written by this program",)


def told_together(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes with those that hardening brings or takes as one: its arguments would fill lines."""
    rest: list[Change] = []
    whole: list[Change] = []
    for change in changes:
        guides = {*_GUIDES.get(change.key, ())}
        gone, come = guides & {*change.have} - {*change.want}, guides & {*change.want} - {*change.have}
        if change.key == HARDENING:
            whole.append(change)
        elif come and not guides & {*change.have}:
            whole.append(Change(key=HARDENING, have=(), want=_CIS))
            rest.extend(_besides(change, guides))
        elif gone and not guides & {*change.want}:
            whole.append(Change(key=HARDENING, have=_CIS, want=()))
            rest.extend(_besides(change, guides))
        else:
            rest.append(_shorter(change) if guides else change)
    # What runs says more than the files do, which follow it.
    told = next((each for each in reversed(whole) if each.have != _OTHER), next(iter(whole), None))
    return tuple(sorted((*rest, *([told] if told is not None else [])), key=lambda change: change.key))


def _besides(change: Change, guides: set[str]) -> Iterator[Change]:
    """The change without the guide's values, if there is more in it."""
    left = replace(
        change,
        have=tuple(each for each in change.have if each not in guides),
        want=tuple(each for each in change.want if each not in guides),
    )
    if left.have != left.want:
        yield left


def _shorter(change: Change) -> Change:
    """The change without what stays; as it is where nothing but the order changes."""
    stay = {*change.have} & {*change.want}
    left = next(_besides(change, stay), None)
    return left if left is not None else change


def hardening_notes(view: ClusterView, all_states: Sequence[MachineState], coming: Sequence[Change]) -> Iterator[str]:
    """What a plan says of hardening.

    Args:
        view: The cluster.
        all_states: Its machines.
        coming: The changes that will be rolled out.
    """
    if not is_hardened(view.spec):
        return
    if any(change.key == HARDENING and not change.have for change in coming):
        yield (
            "hardening: new pods outside kube-system must meet the restricted Pod Security Standard; running ones "
            "stay until they are created again. A namespace's label pod-security.kubernetes.io/enforce=baseline (or "
            "privileged) allows more (docs/hardening.md)"
        )
    yield from overridden_notes(view, all_states)
    containers = [each.name for each in all_states if each.machine.kind is MachineKind.LXC]
    if containers:
        yield (
            f"hardening: {PROTECT} and the kernel settings are left out on containers ({', '.join(containers)}), which "
            "have their Proxmox node's kernel (docs/lxc.md)"
        )


def overridden_notes(view: ClusterView, all_states: Sequence[MachineState]) -> Iterator[str]:
    """One line for each setting of the user's that takes the guide's place."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for each in all_states:
        for what in overridden(view.spec, each.machine):
            found.setdefault(what, []).append(each.name)
    for (key, guides, users), names in found.items():
        yield f"hardening: {key} {users} of the inventory takes the place of {guides} ({', '.join(names)})"
