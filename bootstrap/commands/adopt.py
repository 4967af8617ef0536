"""`adopt`: signs the records of machines that an earlier release made, that were restored, or whose key was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootstrap.advice import Advice
from bootstrap.commands.locked.carry_out import RunOptions, run_plan
from bootstrap.commands.locked.lock import ClusterLock, adopt_lock, is_unsigned_lock
from bootstrap.commands.observing.observe import observe_proxmox
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.commands.observing.ssh_keys import missing_key
from bootstrap.commands.verb import Verb
from bootstrap.events import EventSink, Warned
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import Vmid
from bootstrap.model.machine import MachineKind
from bootstrap.planning.members.authorize import authorizing_command
from bootstrap.planning.members.foreign import plan_adopt
from bootstrap.planning.plan import Plan
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports
from bootstrap.records.lock import lock_vmid


@dataclass(frozen=True)
class Adopt(Verb):
    """`adopt`.

    Attributes:
        vmids: Which VMs to sign; empty for all.
    """

    vmids: Sequence[Vmid] = ()

    def plan(self, spec: ClusterSpec, ports: Ports) -> Plan:
        """As `Verb.plan`: sees what says it is the cluster's and bears no signature of it."""
        observed = observe_proxmox(spec, ports)
        check_sight(spec, ports, observed.vms)
        plan = plan_adopt(ClusterView(spec, observed), vmids=self.vmids, templates=ports.templates.templates())
        lost = missing_key(spec, ports)
        if lost is not None and not plan.empty:
            note: str = Advice(
                "there is no {}: a new SSH key is created, which the machines do not accept yet: how to install it is "
                "printed at the end",
                lost,
            )
            plan = replace(plan, notes=(note, *plan.notes))
        marker = ports.markers.find(lock_vmid(spec.placement.vmids))
        if marker is None or self.vmids or not is_unsigned_lock(marker, spec, ports):
            return plan
        note = (
            f"the lock that VM {marker.vmid} ({marker.name}) on {marker.pve_node} holds is signed too: it has no disks"
        )
        return replace(plan, notes=(*plan.notes, note), marked=True)

    def run(self, plan: Plan, spec: ClusterSpec, ports: Ports, *, sink: EventSink, options: RunOptions) -> Report:
        """As `Verb.run`: signs what the user has seen, and nothing else."""
        lost = missing_key(spec, ports)
        if plan.marked:
            adopt_lock(spec, ports)  # else nobody could take it
        with ClusterLock(spec, ports, command=plan.command, sink=sink, stop=options.stop, times=options.lock) as lock:
            for note in plan.notes:
                sink(Warned(subject=spec.name, message=note))
            # Not made again: what was not shown is not signed, and each handler looks again at what was.
            report = run_plan(plan, spec, ports, token="", sink=sink, options=options)
        lock.check()
        report.raise_failures()
        if lost is not None:
            _tell_the_way(plan, spec, ports, sink)
        return report


def _tell_the_way(plan: Plan, spec: ClusterSpec, ports: Ports, sink: EventSink) -> None:
    """For each machine the command that has it accept the new key."""
    for machine in plan.machines:
        kind = machine.spec.kind
        user = "root" if kind is MachineKind.LXC else spec.ssh.user
        key = ports.shells.public_key
        command = authorizing_command(machine.place.vmid, kind=kind, user=user, public_key=key)
        message = f"does not accept the new SSH key yet: as root on {machine.place.pve_node}: `{command}`"
        sink(Warned(subject=machine.spec.name, message=message))
