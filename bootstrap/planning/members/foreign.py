"""VMs that say they are a cluster's machines, and bear no signature of it: foreign until somebody adopts them. Pure.

They may be an earlier release's, restored, or another computer's; or a neighbour has written what they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError, few_lines
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import MachineKind, MachineRecord
from bootstrap.model.observed import VmRecord
from bootstrap.model.words import count
from bootstrap.planning.day2_steps import AdoptVm, AuthorizeKey
from bootstrap.planning.members.desired_machines import (
    foreign_lookalikes,
    machine_of,
    namesakes,
    passed_over,
    why_stranger,
)
from bootstrap.planning.plan import Action, Lane, LaneStep, Plan, PlannedMachine, VmPlace
from bootstrap.planning.provision.successors import pool_of
from bootstrap.planning.templates.steps import AdoptTemplate
from bootstrap.records.machine import lacks_only_a_signature
from bootstrap.records.proof import NOT_IN_POOL
from bootstrap.records.template import TemplateVm

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


_HOUR_S, _DAY_S = 3600, 86400


def claims(view: ClusterView) -> tuple[VmRecord, ...]:
    """The VMs that lack nothing but a signature to be machines of the cluster."""
    return tuple(vm for vm in view.observed.vms if is_claim(vm, view.spec))


def is_claim(vm: VmRecord, spec: ClusterSpec) -> bool:
    """Whether a VM would be a machine of the cluster if it were signed."""
    return vm.doubt not in ("", NOT_IN_POOL) and lacks_only_a_signature(vm, spec.name)


def all_foreign(view: ClusterView) -> bool:
    """Whether all that says it is the cluster's is foreign."""
    return bool(claims(view)) and not view.vms


def check_claims(view: ClusterView, *, missing_key: Path | None = None) -> None:
    """Refuse to make a cluster again beside VMs that may well be its machines.

    Args:
        view: The cluster, as wanted and as seen.
        missing_key: Where the cluster's own SSH key belongs, if it is not there: it signs, and machines know no other.

    Raises:
        PreflightError: All that says it is this cluster's is foreign; nothing was touched.
    """
    if not all_foreign(view):
        return
    found = claims(view)
    doubts = few_lines([f"{_where(vm)}: {vm.doubt}" for vm in found])
    name = "if they are not yours: give this cluster another name"
    if missing_key is None:
        raise PreflightError(
            f"{_they_say(len(found), view.spec)}, but none is signed with its key; nothing was changed",
            details=doubts,
            resolution=Advice(
                "if they are yours (created by an earlier release, restored, or with another SSH key): "
                "`homelab-k8s adopt {}`; {}",
                view.spec.name,
                name,
            ),
        )
    raise PreflightError(
        f"{_they_say(len(found), view.spec)}, but the SSH key of {view.spec.name} is not on this computer; "
        "nothing was changed",
        details=f"there is no {missing_key}, and no new one is created: machines would refuse it\n{doubts}",
        resolution=Advice(
            "copy {} from a backup or from the computer that created them, or set the key as ssh.private_key\nif it "
            "is lost: `homelab-k8s adopt {}` creates a new one, signs them with it, and has their guest agents add it"
            "\n{}",
            missing_key,
            view.spec.name,
            name,
        ),
    )


def claim_notes(view: ClusterView) -> Iterator[str]:
    """One line that says how many there are, and what takes them over."""
    found = claims(view)
    if found:
        which = ", ".join(_where(vm) for vm in found)
        yield Advice(
            "{} and {} foreign, not signed with its key: {}; if they are yours, `homelab-k8s adopt {}` takes them over",
            _they_say(len(found), view.spec),
            "is" if len(found) == 1 else "are",
            which,
            view.spec.name,
        )


def strangers_notes(view: ClusterView) -> tuple[str, ...]:
    """One line for each VM that looks like ours and is not: it is left alone; and for what cannot be read at all.

    Those to adopt share one.
    """
    return (*claim_notes(view), *_left_alone(view), *_unreadable(view))


def strangers_problems(view: ClusterView) -> tuple[str, ...]:
    """What of it is trouble: that all which says it is the cluster's is foreign, and what cannot be read."""
    return (*(claim_notes(view) if all_foreign(view) else ()), *_unreadable(view))


def strangers_notices(view: ClusterView) -> tuple[str, ...]:
    """What of it is none: anyone who may write into any VM's notes could turn everybody's status red."""
    return (*(() if all_foreign(view) else claim_notes(view)), *_left_alone(view))


def _left_alone(view: ClusterView) -> Iterator[str]:
    looking = foreign_lookalikes(view)
    odd = [vm for vm in view.observed.vms if vm.problem and vm not in looking and _may_be_ours(vm, view.spec)]
    yield from _strangers(view)
    yield from map(passed_over, odd)


def _unreadable(view: ClusterView) -> Iterator[str]:
    yield from (f"ignored: {line}" for line in view.observed.passed_over)


def _may_be_ours(vm: VmRecord, spec: ClusterSpec) -> bool:
    """Whether a VM that cannot be read, or whose record cannot, may be a machine of the cluster."""
    called = not vm.name or pool_of(spec, MachineName(vm.name)) is not None
    return vm.vmid in spec.placement.vmids or spec.name in vm.tags or called


def namesake_notes(view: ClusterView) -> tuple[str, ...]:
    """One line for each VM that is somebody's and is called as a machine of ours would be."""
    return tuple(f"{_where(vm)} is ignored: {why_stranger(vm)}" for vm in namesakes(view))


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
        PreflightError: One of `vmids` says no such thing.
    """
    foreign = [one for one in templates if one.doubt and one.smbios_uuid]
    built = [one for one in foreign if one.vmid in (vmids or view.spec.placement.vmids)]
    locked = [vm for vm, record in view.machines if record.machine in view.observed.refusing]
    _check_adoptable(view, vmids, known={one.vmid for one in built} | {vm.vmid for vm in locked})
    chosen, locked = ([vm for vm in vms if not vmids or vm.vmid in vmids] for vms in (claims(view), locked))
    names = Counter(vm.name for vm in chosen)
    planned = [
        *(_planned(vm, vm.record, new_key=new_key, alone=names[vm.name] == 1) for vm in chosen if vm.record),
        *(_given_key(vm, vm.record) for vm in locked if vm.record),
    ]
    return Plan(
        command="adopt",
        cluster=view.spec.name,
        machines=tuple(machine for machine, _ in planned),
        lanes=(
            *(Lane(name=machine.spec.name, steps=steps) for machine, steps in planned),
            *map(_template_lane, built),
        ),
        notes=(*map(_template_note, built), *_strangers(view), *namesake_notes(view)),
        reserved_vmids=view.observed.used_vmids,
        vmids=view.spec.placement.vmids,
    )


def _lane(name: str, step: AdoptVm | AdoptTemplate) -> Lane:
    return Lane(name=name, steps=(LaneStep(step=step),))


def _template_note(one: TemplateVm) -> str:
    return (
        f"{one.name} (vmid {one.vmid} on {one.pve_node}) claims to be {one.record.image} with k3s "
        f"{one.record.k3s} of homelab-k8s, and is signed, too: {one.doubt}"
    )


def _check_adoptable(view: ClusterView, vmids: Iterable[Vmid], *, known: Collection[Vmid]) -> None:
    """Refuse vmids that say no such thing; those of `known` do."""
    claiming = {vm.vmid for vm in claims(view)}
    others = [vmid for vmid in vmids if vmid not in claiming and vmid not in known]
    if not others:
        return
    signed = {vm.vmid for vm in view.vms}
    why = {vmid: "already signed" if vmid in signed else "has no record that could be signed" for vmid in others}
    raise PreflightError(
        f"vmid {', '.join(map(str, others))} cannot be adopted",
        details=few_lines([f"{vmid}: {text}" for vmid, text in why.items()]),
        resolution=Advice("`homelab-k8s adopt {} --dry-run` lists the VMs that can be", view.spec.name),
    )


def _strangers(view: ClusterView) -> Iterator[str]:
    looking = (vm for vm in foreign_lookalikes(view) if not is_claim(vm, view.spec))
    yield from (f"{_where(vm)} is ignored: {why_stranger(vm)}" for vm in looking)


def _template_lane(one: TemplateVm) -> Lane:
    step = AdoptTemplate(
        vmid=one.vmid, pve_node=one.pve_node, name=one.name, smbios_uuid=one.smbios_uuid or "", record=one.record
    )
    return _lane(f"{one.name}-{one.vmid}", step)


def _planned(
    vm: VmRecord, record: MachineRecord, *, new_key: bool, alone: bool
) -> tuple[PlannedMachine, tuple[LaneStep, ...]]:
    name = record.machine if alone else MachineName(f"{record.machine}/{vm.vmid}")
    machine = replace(machine_of(vm, record), name=name)
    place = VmPlace.of(record.machine, vm)
    return (
        PlannedMachine(spec=machine, place=place, action=Action.ADOPT, reason=_facts(vm)),
        (
            LaneStep(step=AdoptVm(machine=name, record=record)),
            *((LaneStep(step=AuthorizeKey(machine=name, new_key=new_key)),) if vm.running else ()),
        ),
    )


def _given_key(vm: VmRecord, record: MachineRecord) -> tuple[PlannedMachine, tuple[LaneStep, ...]]:
    """A machine that is signed, and refuses our SSH key."""
    return (
        PlannedMachine(
            spec=machine_of(vm, record),
            place=VmPlace.of(record.machine, vm),
            action=Action.ADOPT,
            reason="it refuses our SSH key",
        ),
        (LaneStep(step=AuthorizeKey(machine=record.machine)),),
    )


def _facts(vm: VmRecord) -> str:
    """What tells a machine of ours from somebody's VM: what it is, since when it runs, where it is, and what lacks."""
    what = "a container" if vm.kind is MachineKind.LXC else "a VM"
    runs = f"up {_age(vm.uptime_s)}" if vm.running else "powered off"
    state = f", {vm.record.state.value}" if vm.record else ""
    pool = f"in the resource pool {vm.resource_pool}" if vm.resource_pool else "not in a resource pool"
    return f"{what}{state}, {runs}, {pool}: {vm.doubt}"


def _age(seconds: int) -> str:
    if seconds < _HOUR_S:
        return f"{seconds // 60} min"
    return f"{seconds // _HOUR_S} h" if seconds < 2 * _DAY_S else f"{seconds // _DAY_S} days"


def _where(vm: VmRecord) -> str:
    return f"{vm.name} (vmid {vm.vmid} on {vm.pve_node})"


def _they_say(number: int, spec: ClusterSpec) -> str:
    if number == 1:
        return f"1 VM claims to be a machine of {spec.name}"
    return f"{count(number, 'VM')} claim to be machines of {spec.name}"
