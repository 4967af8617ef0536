"""What the user reads of settings that differ, and which differences are refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.k3s.registries import REGISTRIES
from bootstrap.model.ids import MachineName
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.settings.change import FIXED, shown_values
from bootstrap.planning.settings.cni import cni_lines
from bootstrap.planning.settings.drift import Drift, drifts
from bootstrap.planning.settings.hardening import foreign_hardening
from bootstrap.planning.settings.registries import foreign_registries

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def check_fixed(view: ClusterView) -> None:
    """Refuse to change what k3s cannot change in an existing cluster, and to overwrite files of the user's.

    Raises:
        PreflightError: Nothing was touched.
    """
    _check_registries(view)
    _check_hardening(view)
    lines = [*_fixed_notes(drifts(view, view.states)), *cni_lines(view)]
    if lines:
        raise PreflightError(
            f"the inventory of {view.spec.name} has settings that k3s cannot change in an existing cluster; nothing "
            "was changed",
            details="\n".join(lines),
            resolution=Advice("restore the old values in the inventory, or rebuild the cluster: `homelab-k8s rebuild`"),
        )


def _check_registries(view: ClusterView) -> None:
    """Refuse to overwrite a registries.yaml that is not ours. Raises PreflightError: nothing was touched."""
    found = {each.machine: foreign_registries(each, view.spec.k3s) for each in view.observed.settings}
    foreign = {machine: lines for machine, lines in found.items() if lines}
    if foreign:
        raise PreflightError(
            f"machines of {view.spec.name} have a {REGISTRIES} that this program did not write; nothing was changed",
            details="\n".join(line for lines in foreign.values() for line in lines),
            resolution=Advice(
                "copy what you need of it into k3s.registries of the inventory, then move it away on each of them: "
                "`homelab-k8s ssh {} -- sudo mv {} {}.old`",
                next(iter(foreign)),
                REGISTRIES,
                REGISTRIES,
            ),
        )


def _check_hardening(view: ClusterView) -> None:
    """Refuse to overwrite files of another's in the place of ours. Raises PreflightError: nothing was touched."""
    lines = [line for each in view.observed.settings for line in foreign_hardening(each, view)]
    if lines:
        raise PreflightError(
            f"servers of {view.spec.name} have an admission or audit configuration that this program did not write; "
            "nothing was changed",
            details="\n".join(lines),
            resolution=Advice(
                "move both files away: `homelab-k8s up` writes them. To keep your own, move them to another directory "
                "and name them by kube-apiserver-arg in k3s.server_config"
            ),
        )


def _fixed_notes(found: Sequence[Drift]) -> list[str]:
    """One line for each setting that differs from the inventory and cannot be changed."""
    lines = {
        f"{change.name} is {shown_values(change.have or (FIXED[change.key][1],))}, and the inventory says "
        f"{shown_values(change.want or (FIXED[change.key][1],))}: k3s cannot change that in an existing cluster"
        for drift in found
        for change in drift.changes
        if change.key in FIXED
    }
    return sorted(lines)


def notes_on_settings(view: ClusterView, all_states: Sequence[MachineState]) -> tuple[str, ...]:
    """One line for each difference, with the machines that have it and what fixes it."""
    found = drifts(view, all_states)
    machines: dict[str, list[MachineName]] = {}
    for drift in found:
        for change in drift.changes:
            if change.key not in FIXED:
                machines.setdefault(str(change), []).append(drift.name)
        if drift.pending and not drift.changes:
            machines.setdefault("settings were written, but k3s was not restarted", []).append(drift.name)
    lines = (
        Advice("{} ({}): `homelab-k8s up` restarts k3s there, one machine at a time", what, ", ".join(names))
        for what, names in machines.items()
    )
    undo = Advice("restore the old value in the inventory, or: `homelab-k8s rebuild`")
    fixed = (Advice("{}; {}", line, undo) for line in (*_fixed_notes(found), *cni_lines(view)))
    return (*lines, *fixed, *left_notes(found))


def left_notes(found: Sequence[Drift]) -> tuple[str, ...]:
    """One line for each of the inventory's settings that a file of the user's overrides."""
    return tuple(line for drift in found for line in drift.conflicts)
