"""Plans `adopt`: what says it is the cluster's is signed, and machines that refuse our SSH key are given it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import MachineKind, MachineRecord
from bootstrap.model.observed import VmRecord
from bootstrap.planning.day2_steps import AdoptVm, AuthorizeKey
from bootstrap.planning.members.desired_machines import machine_of
from bootstrap.planning.members.foreign import claims, lookalike_notes, namesake_notes
from bootstrap.planning.plan import Action, Lane, LaneStep, Plan, PlannedMachine, VmPlace
from bootstrap.planning.templates.steps import AdoptTemplate
from bootstrap.planning.view import ClusterView
from bootstrap.records.vms.template import TemplateVm

_HOUR_S, _DAY_S = 3600, 86400


def plan_adopt(
    view: ClusterView,
    *,
    vmids: Collection[Vmid] = (),
    templates: Sequence[TemplateVm] = (),
    new_key: bool = False,
) -> Plan:
    """Plan the signing of what says it is the cluster's, and that it and what refuses our SSH key take it.

    Args:
        view: The cluster, as wanted and as seen.
        vmids: Which; empty for all.
        templates: Those there are; foreign ones in the cluster's range of vmids are signed, too.
        new_key: The SSH key is not there, and is created.

    Raises:
        PreflightError: One of `vmids` cannot be adopted.
    """
    wanted = vmids or view.spec.placement.vmids
    built = [one for one in templates if one.doubt and one.smbios_uuid and one.vmid in wanted]
    _check_adoptable(view, vmids, built)
    planned = (*_signed(view, vmids, new_key=new_key), *_given_the_key(view, vmids))
    return Plan(
        command="adopt",
        cluster=view.spec.name,
        machines=tuple(machine for machine, _ in planned),
        lanes=(*(lane for _, lane in planned), *map(_template_lane, built)),
        notes=(*map(_template_note, built), *lookalike_notes(view), *namesake_notes(view)),
        reserved_vmids=view.observed.used_vmids,
        vmids=view.spec.placement.vmids,
    )


def _check_adoptable(view: ClusterView, vmids: Collection[Vmid], templates: Sequence[TemplateVm]) -> None:
    """Refuse vmids of what cannot be signed and needs no key."""
    signed = {vm.vmid: record.machine for vm, record in view.machines}
    adoptable = {vm.vmid for vm in claims(view)} | {one.vmid for one in templates}
    adoptable |= {vmid for vmid, name in signed.items() if name in view.observed.refusing}
    others = [vmid for vmid in vmids if vmid not in adoptable]
    if others:
        why = {True: "already signed", False: "has no record that could be signed"}
        raise PreflightError(
            f"vmid {', '.join(map(str, others))} cannot be adopted",
            details=few_lines([f"{vmid}: {why[vmid in signed]}" for vmid in others]),
            resolution=Advice("`homelab-k8s adopt {} --dry-run` lists the VMs that can be", view.spec.name),
        )


def _signed(view: ClusterView, vmids: Collection[Vmid], *, new_key: bool) -> Iterator[tuple[PlannedMachine, Lane]]:
    """The VMs that are signed; those that run are given the key, too."""
    chosen = [(vm, vm.record) for vm in claims(view) if vm.record and (not vmids or vm.vmid in vmids)]
    names = Counter(vm.name for vm, _ in chosen)
    for vm, record in chosen:
        name = record.machine if names[vm.name] == 1 else MachineName(f"{record.machine}/{vm.vmid}")
        steps = [LaneStep(step=AdoptVm(machine=name, record=record))]
        if vm.running:
            steps.append(LaneStep(step=AuthorizeKey(machine=name, new_key=new_key)))
        yield _adopted(vm, record, name=name, reason=_facts(vm), steps=steps)


def _given_the_key(view: ClusterView, vmids: Collection[Vmid]) -> Iterator[tuple[PlannedMachine, Lane]]:
    """The machines that are signed, and refuse our SSH key."""
    for vm, record in view.machines:
        if record.machine in view.observed.refusing and (not vmids or vm.vmid in vmids):
            steps = [LaneStep(step=AuthorizeKey(machine=record.machine))]
            yield _adopted(vm, record, name=record.machine, reason="it refuses our SSH key", steps=steps)


def _adopted(
    vm: VmRecord, record: MachineRecord, *, name: MachineName, reason: str, steps: Sequence[LaneStep]
) -> tuple[PlannedMachine, Lane]:
    machine = replace(machine_of(vm, record), name=name)
    place = VmPlace.of(record.machine, vm)
    planned = PlannedMachine(spec=machine, place=place, action=Action.ADOPT, reason=reason)
    return planned, Lane(name=name, steps=tuple(steps))


def _template_note(one: TemplateVm) -> str:
    what = f"{one.record.image} with k3s {one.record.k3s} of homelab-k8s"
    return f"{one} claims to be {what}, and is signed, too: {one.doubt}"


def _template_lane(one: TemplateVm) -> Lane:
    step = AdoptTemplate(
        vmid=one.vmid, pve_node=one.pve_node, name=one.name, smbios_uuid=one.smbios_uuid or "", record=one.record
    )
    return Lane(name=f"{one.name}-{one.vmid}", steps=(LaneStep(step=step),))


def _facts(vm: VmRecord) -> str:
    """What shows whether a VM is ours: what it is, since when it runs, its resource pool, and the doubt."""
    what = "a container" if vm.kind is MachineKind.LXC else "a VM"
    runs = f"up {_age(vm.uptime_s)}" if vm.running else "powered off"
    state = f", {vm.state}" if vm.state else ""
    pool = f"in the resource pool {vm.resource_pool}" if vm.resource_pool else "not in a resource pool"
    return f"{what}{state}, {runs}, {pool}: {vm.doubt}"


def _age(seconds: int) -> str:
    if seconds < _HOUR_S:
        return f"{seconds // 60} min"
    return f"{seconds // _HOUR_S} h" if seconds < 2 * _DAY_S else f"{seconds // _DAY_S} days"
