"""`adopt`: signs the records of machines that were restored or whose key was lost, and adds the SSH key to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.marker import adopt_lock, is_unsigned_lock
from bootstrap.commands.observing.observe import observe_proxmox, with_refusing
from bootstrap.commands.observing.preflight import missing_key
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.commands.verb import Verb
from bootstrap.errors import PermissionDeniedError
from bootstrap.events import EventSink
from bootstrap.execution.report import Report
from bootstrap.model.access.rights import RightsNeeded
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import Vmid
from bootstrap.planning.day2_steps import AuthorizeKey
from bootstrap.planning.members.adopt import plan_adopt
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.ports import Ports
from bootstrap.proxmox.rights.grants import FILE_WRITE
from bootstrap.records.vms.lock import lock_vmid


@dataclass(frozen=True)
class Adopt(Verb):
    """`adopt`.

    Attributes:
        vmids: Which VMs to sign; empty for all.
    """

    ends_others: ClassVar[bool] = False
    has_joins: ClassVar[bool] = False

    vmids: Sequence[Vmid] = ()

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: finds VMs that claim to be the cluster's without its signature, or refuse our SSH key."""
        view = observe_proxmox(spec, ports)
        check_sight(spec, ports, view.observed.vms)
        lost = missing_key(spec, ports)
        if lost is None:
            view = with_refusing(view, ports)
        plan = plan_adopt(view, vmids=self.vmids, templates=ports.templates.templates(), new_key=lost is not None)
        notes: list[str] = [Advice("there is no {}: a new SSH key is created", lost)] if lost is not None else []
        if not plan.empty and (lost is not None or view.observed.refusing):
            notes += _lacking(plan, spec, ports)
        plan = plan if plan.empty else replace(plan, notes=(*notes, *plan.notes))
        marker = ports.markers.find(lock_vmid(spec.placement.vmids))
        if marker is None or self.vmids or not is_unsigned_lock(marker, spec, ports):
            return plan
        note = (
            f"the lock that VM {marker.vmid} ({marker.name}) on {marker.pve_node} holds is signed too: it has no disks"
        )
        return replace(plan, notes=(*plan.notes, note), marked=True)

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`: signs what the user has seen and adds the SSH key, nothing else."""
        if plan.marked:
            adopt_lock(spec, ports)  # else no run could take it
        return super().run(plan, spec, ports, sink=sink, options=options)

    def confirmed(self, plan: Plan, spec: ClusterSpec, ports: Ports) -> Plan:
        """The plan as shown: what was not shown is not signed, and each handler looks again at what was."""
        return plan


def _lacking(plan: Plan, spec: ClusterSpec, ports: Ports) -> Iterator[str]:
    """That the token may not write files in guests: the user may grant it before `adopt` runs."""
    asked = {step.machine for step in steps_of(plan, AuthorizeKey)}
    vmids = tuple(machine.place.vmid for machine in plan.machines if machine.spec.name in asked)
    try:
        missing = ports.hypervisor.missing_privileges(
            RightsNeeded(own_vmids=vmids, resource_pool=spec.placement.resource_pool, writes_guest_files=True)
        )
    except PermissionDeniedError:
        return  # a token that may not even ask about itself
    for lack in missing if vmids else ():
        if not {FILE_WRITE, "VM.Monitor"}.isdisjoint(lack.privileges):
            yield (
                f"the token may not write files in machines ({lack.path}: {', '.join(lack.privileges)}), so that for "
                f"each the command is printed that adds the key; or grant it first, as root on a Proxmox node: "
                f"{lack.remedy}"
            )
