"""The name, tags and notes that a machine's VM has in Proxmox VE: changing them makes no other machine of it. Pure.

`up` puts them back, and keeps those of the inventory in step. Users and tools find machines by them, and cloud-init
takes its host name from the VM's name at the next start (PVE::QemuServer::Cloudinit). Of a VM on a Proxmox node that
cannot be asked they are all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bootstrap.advice import Advice
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineKind, MachineRecord, RecordState
from bootstrap.model.observed import OWNER_TAG, VmRecord, has_tag
from bootstrap.planning.day2_steps import RestoreMarks
from bootstrap.planning.members.desired_machines import MachineState
from bootstrap.planning.plan import Action, Lane, LaneStep, PlannedMachine
from bootstrap.records.vms.machine import identity_of, render_record
from bootstrap.records.vms.notes import notes_in, with_notes
from bootstrap.records.vms.seal import RecordKey


def lost_marks(vm: VmRecord, wanted: RestoreMarks) -> str:
    """What of a machine's name, tags and notes is not as it should be, as in `is named nas`; empty for nothing."""
    record = vm.record
    if record is None or record.state is not RecordState.MADE:
        return ""  # a clone request sets no tags, and what leaves needs none
    named = "" if vm.name == record.machine else f"is named {vm.name or 'nothing'}"
    noted = "" if notes_in(vm.description) == wanted.notes else "has other notes than the inventory"
    return " and ".join(filter(None, (named, *_tag_problems(vm, record, wanted), noted)))


def _tag_problems(vm: VmRecord, record: MachineRecord, wanted: RestoreMarks) -> Iterator[str]:
    gone, stale = _lost_tags(vm, record, wanted), _stale_tags(vm, record, wanted)
    if gone:
        yield f"lacks the {_named_tags(gone)}"
    if stale:
        yield f"still has the {_named_tags(stale)}"
    if record.tags != wanted.tags and not (gone or stale):
        yield "has tags that its record does not name"


def _named_tags(tags: Sequence[str]) -> str:
    return f"{'tags' if len(tags) > 1 else 'tag'} {' and '.join(tags)}"


def marks_to_restore(vm: VmRecord, wanted: RestoreMarks, *, key: RecordKey) -> dict[str, str | int]:
    """The Proxmox config keys that restore a machine's name, tags and notes.

    Tags that users have added in Proxmox VE stay, and so does what they wrote into the description.

    Args:
        vm: The machine's VM.
        wanted: Its tags and notes by the inventory.
        key: Seals the record, which names the tags of the inventory.
    """
    record = vm.record
    if record is None or not lost_marks(vm, wanted):
        return {}
    settings: dict[str, str | int] = {}
    if vm.name != record.machine:
        settings["name" if vm.kind is MachineKind.VM else "hostname"] = record.machine
    gone, stale = _lost_tags(vm, record, wanted), _stale_tags(vm, record, wanted)
    if gone or stale:
        settings["tags"] = ";".join(sorted({*vm.tags, *gone} - set(stale)))
    described = vm.description
    if record.tags != wanted.tags:
        recorded = replace(record, tags=wanted.tags)
        described = render_record(recorded, key=key, identity=identity_of(vm), into=described)
    described = with_notes(described, wanted.notes)
    return settings if described == vm.description else settings | {"description": described}


def _lost_tags(vm: VmRecord, record: MachineRecord, wanted: RestoreMarks) -> list[str]:
    tags = {OWNER_TAG, str(record.cluster), *wanted.tags}
    return sorted(tag for tag in tags if not has_tag(vm, tag))


def _stale_tags(vm: VmRecord, record: MachineRecord, wanted: RestoreMarks) -> list[str]:
    """Tags that the inventory gave to it and no longer has; in whatever case Proxmox VE keeps them."""
    stale = {tag.lower() for tag in record.tags} - {tag.lower() for tag in wanted.tags}
    stale -= {OWNER_TAG, str(record.cluster)}
    return sorted(tag for tag in vm.tags if tag.lower() in stale)


def mark_notes(all_states: Sequence[MachineState]) -> tuple[str, ...]:
    """One line for each machine whose name, tags or notes are not as they should be in Proxmox VE."""
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
    lost = _lost(all_states)
    first = {str(each.name): (LaneStep(step=_marks(each)),) for each in all_states if each.name in lost}
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
    found = ((each.name, lost_marks(each.vm, _marks(each))) for each in all_states if each.vm and not each.held)
    return {name: text for name, text in found if text}


def _marks(machine_state: MachineState) -> RestoreMarks:
    machine = machine_state.machine
    return RestoreMarks(machine=machine.name, tags=machine.tags, notes=machine.notes)
