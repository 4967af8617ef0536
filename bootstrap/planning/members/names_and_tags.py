"""The name and the tags that a machine's VM has in Proxmox VE: changing them makes no other machine of it. Pure.

`up` puts them back. Users and tools find machines by them, and cloud-init takes its host name from the VM's name at the
next start (PVE::QemuServer::Cloudinit). Of a VM on a Proxmox node that cannot be asked they are all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bootstrap.advice import Advice
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineRecord, RecordState
from bootstrap.model.observed import OWNER_TAG, VmRecord, has_tag
from bootstrap.planning.day2_steps import RestoreMarks
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.plan import Action, Lane, LaneStep, PlannedMachine


def lost_marks(vm: VmRecord) -> str:
    """What was changed of a machine's name and tags in Proxmox, as in `is named nas`; empty for nothing."""
    record = vm.record
    if record is None or record.state is not RecordState.MADE:
        return ""  # a clone request sets no tags, and what leaves needs none
    named = "" if vm.name == record.machine else f"is named {vm.name or 'nothing'}"
    gone = _lost_tags(vm, record)
    tagged = f"lacks the {'tags' if len(gone) > 1 else 'tag'} {' and '.join(gone)}" if gone else ""
    return " and ".join(filter(None, (named, tagged)))


def marks_to_restore(vm: VmRecord) -> dict[str, str | int]:
    """The Proxmox config keys that restore a machine's name and tags; tags that users have added stay."""
    record = vm.record
    if record is None or not lost_marks(vm):
        return {}
    settings: dict[str, str | int] = {}
    if vm.name != record.machine:
        settings["name" if vm.kind is MachineKind.VM else "hostname"] = record.machine
    gone = _lost_tags(vm, record)
    if gone:
        settings["tags"] = ";".join(sorted({*vm.tags, *gone}))
    return settings


def _lost_tags(vm: VmRecord, record: MachineRecord) -> list[str]:
    return sorted(tag for tag in {OWNER_TAG, str(record.cluster)} if not has_tag(vm, tag))


def mark_notes(all_states: Sequence[MachineState]) -> tuple[str, ...]:
    """One line for each machine whose name or tags were changed in Proxmox VE."""
    lost = _lost(all_states)
    return tuple(
        Advice(
            "{} (vmid {} on {}) {} in Proxmox: `homelab-k8s up` restores that",
            each.name,
            each.vm.vmid,
            each.vm.pve_node,
            lost[each.name],
        )
        for each in all_states
        if each.vm and each.name in lost
    )


def with_marks_restored(lanes: Sequence[Lane], all_states: Sequence[MachineState]) -> tuple[Lane, ...]:
    """The lanes; the names and tags of machines are restored before anything else."""
    first = {str(name): (LaneStep(step=RestoreMarks(machine=name)),) for name in _lost(all_states)}
    there = {lane.name for lane in lanes}
    return (
        *(replace(lane, steps=(*first.get(lane.name, ()), *lane.steps)) for lane in lanes),
        *(Lane(name=name, steps=steps) for name, steps in first.items() if name not in there),
    )


def shown_restored(
    machines: Sequence[PlannedMachine], all_states: Sequence[MachineState]
) -> tuple[PlannedMachine, ...]:
    """The plan's machines; the ones with nothing else to do show what is restored."""
    lost = _lost(all_states)
    return tuple(
        replace(each, action=Action.REPAIR, reason=f"{lost[each.spec.name]} in Proxmox")
        if each.action is Action.KEEP and each.spec.name in lost
        else each
        for each in machines
    )


def _lost(all_states: Sequence[MachineState]) -> dict[MachineName, str]:
    found = ((each.name, lost_marks(each.vm)) for each in all_states if each.vm and not each.held)
    return {name: text for name, text in found if text}
