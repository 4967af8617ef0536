"""What differs from the inventory and is left as it is by `up`: named, with what would mend it."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.machine import RecordState
from bootstrap.model.observed import Observed
from bootstrap.planning.machines import Standing, strangers, surplus, why_stranger


def notes_on_drift(spec: ClusterSpec, observed: Observed, all_standings: Sequence[Standing]) -> tuple[str, ...]:
    """One line for each difference that `up` does not touch."""
    return (
        *_sizes(all_standings),
        *_surplus(spec, observed),
        *_versions(spec, observed),
        *strangers_notes(spec, observed),
    )


def _sizes(all_standings: Sequence[Standing]) -> tuple[str, ...]:
    notes = []
    for standing in all_standings:
        vm, machine = standing.vm, standing.machine
        if vm is None or vm.record is None or vm.record.state is RecordState.CLONING:
            continue
        differs = [
            f"{have} {unit} instead of {want}"
            for have, want, unit in (
                (vm.cores, machine.cores, "cores"),
                (vm.memory_mib, machine.memory_mib, "MiB of memory"),
            )
            if have and have != want
        ]
        if differs:
            notes.append(f"{machine.name} has {' and '.join(differs)}; `up` does not resize what runs")
    return tuple(notes)


def _surplus(spec: ClusterSpec, observed: Observed) -> tuple[str, ...]:
    return tuple(
        f"{vm.name} (vmid {vm.vmid} on {vm.pve_node}) is ours but no longer in the inventory; `up` removes nothing"
        for vm in surplus(spec, observed)
    )


def _versions(spec: ClusterSpec, observed: Observed) -> tuple[str, ...]:
    wanted = spec.k3s.version
    if wanted is None:
        return ()
    others = sorted({node.version for node in observed.kube_nodes or () if node.version and node.version != wanted})
    if not others:
        return ()
    return (f"the cluster runs k3s {', '.join(others)}, the inventory says {wanted}; `up` does not upgrade",)


def strangers_notes(spec: ClusterSpec, observed: Observed) -> tuple[str, ...]:
    """One line for each VM that looks like ours and is not: it is left alone."""
    return tuple(
        f"{vm.name} (vmid {vm.vmid} on {vm.pve_node}) is left alone: {why_stranger(vm)}"
        for vm in strangers(spec, observed)
    )
