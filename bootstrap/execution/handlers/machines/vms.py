"""Handlers of the steps that make, configure, power and remove VMs. Each looks, acts if needed, reads back."""

from __future__ import annotations

import secrets
from dataclasses import replace

from bootstrap.errors import (
    HomelabError,
    HypervisorError,
    NotOursError,
    PermissionDeniedError,
    TaskFailedError,
    VmidTakenError,
    VmNotFoundError,
    VmOutOfSightError,
)
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests import host_keys
from bootstrap.execution.handlers.machines.foreign_disks import check_holds_none, detach_all
from bootstrap.model.ids import MachineName, Vmid
from bootstrap.model.machine import CloneAsked, MachineKind, MachineRecord, MachineSpec, RecordState, Role
from bootstrap.model.observed import OWNER_TAG, VmRecord, container_identity, has_tag
from bootstrap.planning.day2_steps import RestoreMarks
from bootstrap.planning.members.foreign import why_foreign
from bootstrap.planning.members.names_and_tags import lost_marks, marks_to_restore
from bootstrap.planning.plan import VmPlace
from bootstrap.planning.steps import CloneVm, ConfigureVm, CreateContainer, DestroyVm, StartVm, StopVm
from bootstrap.ports import CloneRequest, ContainerRequest
from bootstrap.proxmox.container_settings import container_settings
from bootstrap.proxmox.vm_settings import vm_settings
from bootstrap.records.vms.machine import identity_of, is_ours, owner_tags, render_record
from bootstrap.records.vms.notes import with_notes
from bootstrap.records.vms.seal import RecordKey
from bootstrap.waiting import NotYet


def make_vm(step: CloneVm | CreateContainer, context: RunContext) -> Done:
    """Make the machine's VM or container, or take the one that an earlier run left; taken vmids are passed over."""
    vmid: Vmid | None = step.vmid
    while vmid is not None:
        try:
            there = _look_or_make(step, vmid, context)
        except VmidTakenError as taken:
            context.warn(f"vmid {vmid} is in use; trying the next one ({taken})")
            vmid = context.findings.next_vmid()
            continue
        if there is None:
            vm = _settle(step, vmid, context)
            host_keys.forget(vm, context.spec, context.ports)  # an earlier one may have had vmid and MAC address, too
            _finish(step, vm, context)
            context.findings.cloned.put(step.machine.name, True)
            return Done(note=f"vmid {vmid} on {vm.pve_node}")
        if is_ours(there, context.spec.name) and there.record and there.record.machine == step.machine.name:
            vm = _settle(step, vmid, context)
            _finish(step, vm, context)
            return Done(changed=False, note=f"vmid {vmid} on {vm.pve_node}, created by an earlier run")
        context.warn(f"vmid {vmid} is in use by {there.name}; trying the next one")
        vmid = context.findings.next_vmid()
    vmids = context.spec.placement.vmids
    raise HomelabError(
        f"{step.machine.name}: the vmid range {vmids.first}-{vmids.last} is used up",
        resolution="widen proxmox.vmids in the inventory, or remove VMs from that range",
    )


def _look_or_make(step: CloneVm | CreateContainer, vmid: Vmid, context: RunContext) -> VmRecord | None:
    """The VM that is there already; None where it was made now."""
    turn = context.clones.turn(
        step.locks,
        full=isinstance(step, CreateContainer) or step.full,
        urgent=step.machine.role is Role.CONTROL_PLANE,
        clock=context.ports.clock,
        stop=context.stop,
    )
    # The look belongs to the turn: a hundred machines that look all at once would keep the servers waiting.
    with turn as taken:
        there = _look(vmid, step, context)
        taken.measured = there is None
        if there is None:
            if isinstance(step, CreateContainer):
                _create(step, vmid, context)
            else:
                _clone(step, vmid, context)
    return there


def _look(vmid: Vmid, step: CloneVm | CreateContainer, context: RunContext) -> VmRecord | None:
    try:
        return context.ports.hypervisor.read_vm(vmid, pve_node=step.pve_node)
    except VmNotFoundError:
        return None
    except VmOutOfSightError as error:
        if context.findings.places.get(step.machine.name) is not None:
            raise  # ours, half-made: another one beside it would be one too many
        raise VmidTakenError(str(error)) from error
    except PermissionDeniedError:
        # A token with rights on a pool alone gets 403 for a vmid that does not exist (PVE 8.4, observed);
        # the clone request itself then shows whether it is free.
        return None


def _clone(step: CloneVm, vmid: Vmid, context: RunContext) -> None:
    asked = CloneAsked(template=step.template, asked_s=int(context.ports.processes.unix_s()))
    record = replace(_record(step.machine, context, vmid, RecordState.CLONING), cloned=asked)
    request = CloneRequest(
        template=step.template,
        template_pve_node=step.template_pve_node,
        pve_node=step.pve_node,
        vmid=vmid,
        name=step.machine.name,
        description=render_record(record, key=record_key(context), identity=None),
        full=step.full,
        storage=step.storage,
        resource_pool=step.resource_pool,
    )
    context.ports.hypervisor.clone(request, warn=context.warn)


def _create(step: CreateContainer, vmid: Vmid, context: RunContext) -> None:
    """Its record says at once that it is made: nothing is left to configure, and there is none before it is whole.

    So that it can be sealed at once, its MAC address is ours to make up, as Proxmox VE would.

    In a resource pool the tags are left: Proxmox VE checks those of the request before the container is in its pool, so
    that a token with rights on the pool alone would be refused (PVE::LXC: check_ct_modify_config_perm).
    """
    mac = step.machine.mac or _random_mac()
    settings = container_settings(
        context.spec,
        replace(step.machine, mac=mac),
        ostemplate=step.ostemplate,
        storage=step.storage,
        bridge=step.bridge,
        public_key=context.ports.shells.public_key,
    )
    state = RecordState.MADE
    if step.resource_pool is not None:
        del settings["tags"]
        state = RecordState.CLONING
    request = ContainerRequest(
        pve_node=step.pve_node,
        vmid=vmid,
        name=step.machine.name,
        description=with_notes(
            render_record(
                _record(step.machine, context, vmid, state), key=record_key(context), identity=container_identity(mac)
            ),
            step.machine.notes,
        ),
        settings=settings,
        resource_pool=step.resource_pool,
    )
    context.ports.hypervisor.create_container(request, warn=context.warn)


def _random_mac() -> str:
    """A MAC address with Proxmox VE's own prefix, as it makes one up itself."""
    return ":".join(["BC", "24", "11", *(f"{byte:02X}" for byte in secrets.token_bytes(3))])


def record_key(context: RunContext) -> RecordKey:
    """The key that the cluster's records are sealed with."""
    return context.ports.keys.need(context.spec.name)


def _record(machine: MachineSpec, context: RunContext, vmid: Vmid, state: RecordState) -> MachineRecord:
    return MachineRecord(
        cluster=context.spec.name,
        machine=machine.name,
        role=machine.role,
        pool=machine.pool,
        vmid=vmid,
        state=state,
        address=machine.address,
        replaces=machine.replaces,
        tags=machine.tags if state is RecordState.MADE else (),  # a clone request sets none
    )


def _finish(step: CloneVm | CreateContainer, vm: VmRecord, context: RunContext) -> None:
    """Set the tags of a container that is in its resource pool now, and that it is made."""
    if isinstance(step, CloneVm) or vm.record is None or vm.record.state is not RecordState.CLONING:
        return
    record = _record(step.machine, context, vm.vmid, RecordState.MADE)
    made = render_record(record, key=record_key(context), identity=identity_of(vm), into=vm.description)
    settings = {"tags": owner_tags(context.spec.name, step.machine.tags), "description": made}
    context.ports.hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings=settings)


def _settle(step: CloneVm | CreateContainer, vmid: Vmid, context: RunContext) -> VmRecord:
    """Wait until it is whole (an earlier run's may still be under way) and note where it is."""
    what, tool = ("the container", "pct") if isinstance(step, CreateContainer) else ("the clone of", "qm")
    name = step.machine.name

    def unlocked() -> VmRecord | NotYet:
        vm = context.ports.hypervisor.read_vm(vmid, pve_node=step.pve_node)
        return NotYet(f"VM is locked ({vm.lock})") if vm.lock else vm

    vm = context.wait_for(
        f"{what} {name} (vmid {vmid} on {step.pve_node})",
        unlocked,
        every_s=0.5,
        resolution=f"if no clone task is running any more, on {step.pve_node}: {tool} unlock {vmid} && {tool} destroy "
        f"{vmid}",
        timeout_s=context.timeouts.lock_s,
    )
    place = VmPlace(machine=name, pve_node=vm.pve_node, vmid=vmid, identity=vm.identity)
    context.findings.places.put_first(name, place)
    return vm


def configure_vm(step: ConfigureVm, context: RunContext) -> Done:
    """Set hardware, cloud-init, tags and record. The disk grows first: the record says that all is done."""
    hypervisor = context.ports.hypervisor
    vm = owned_vm(step.machine.name, context)
    if vm.record is not None and vm.record.state is RecordState.MADE and has_tag(vm, OWNER_TAG):
        return Done(changed=False)
    if step.disk and vm.disk is None:
        raise HomelabError(
            f"{step.machine.name}: its clone was interrupted before its disk was created (vmid {vm.vmid} on "
            f"{vm.pve_node})",
            resolution=f"as root on {vm.pve_node}: qm destroy {vm.vmid}; then run the command again",
        )
    if step.disk and step.machine.disk_gib > vm.disk_gib:
        hypervisor.grow_disk(
            vm.vmid,
            pve_node=vm.pve_node,
            disk=step.disk,
            size_gib=step.machine.disk_gib,
            warn=context.warn,
        )
    settings = vm_settings(
        context.spec,
        step.machine,
        vm=vm,
        record=replace(
            _record(step.machine, context, vm.vmid, RecordState.MADE), cloned=vm.record.cloned if vm.record else None
        ),
        key=record_key(context),
        public_key=context.ports.shells.public_key,
        scsi_controller=step.scsi_controller,
        template_tags=step.template_tags,
    )
    hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings=settings)
    return Done()


def restore_marks(step: RestoreMarks, context: RunContext) -> Done:
    """Restore the VM's name from its record, and its tags and notes from the inventory. None of this needs a restart.

    Source: PVE::QemuServer (vmconfig_hotplug_pending: name, tags and description are applied at once).
    """
    vm = owned_vm(step.machine, context)
    settings = marks_to_restore(vm, step, key=record_key(context))
    if not settings:
        return Done(changed=False)
    context.ports.hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings=settings)
    return Done(note=f"vmid {vm.vmid} {lost_marks(vm, step)}")


def start_vm(step: StartVm, context: RunContext) -> Done:
    """Start or resume the VM."""
    vm = owned_vm(step.machine, context)
    if vm.halted:
        return _resume(vm, step.machine, context)
    if vm.running:
        return Done(changed=False)
    try:
        context.ports.hypervisor.start(vm.vmid, pve_node=vm.pve_node, warn=context.warn)
    except TaskFailedError as error:
        # It can fail on what comes after QEMU's start, such as a timeout of its monitor: what counts is that it runs.
        if not owned_vm(step.machine, context).running:
            raise
        context.warn(f"{error}; but the VM is running")
    started_s = context.ports.clock.now_s()
    context.findings.started_s.put_first(step.machine, started_s)
    if vm.kind is MachineKind.VM:
        context.pacing.started(step.machine, vm.pve_node, at_s=started_s)
    return Done()


def _resume(vm: VmRecord, name: MachineName, context: RunContext) -> Done:
    """Let a paused VM go on. After an I/O error QEMU pauses it again at once, as long as its storage has no room."""
    context.ports.hypervisor.resume(vm.vmid, pve_node=vm.pve_node, warn=context.warn)
    after = owned_vm(name, context)
    if not after.halted:
        return Done(note=f"it was paused ({vm.halted})" if vm.halted != "paused" else "it was paused")
    storages = ", ".join(sorted({drive.partition(":")[0] for _, drive in after.drives if ":" in drive}))
    raise HypervisorError(
        f"VM {vm.vmid} ({name}) on {vm.pve_node} is paused and does not resume",
        details=f"QEMU's status is {after.halted}" + (f"; its disks are on {storages}" if storages else ""),
        resolution=f"check whether {storages or 'its storage'} is full (`pvesm status` on {vm.pve_node}) and free some "
        "space",
    )


def stop_vm(step: StopVm, context: RunContext) -> Done:
    """Power the VM off, after checking once more that it is ours."""
    try:
        vm = owned_vm(step.machine, context)
    except VmNotFoundError:
        return Done(changed=False, note="already removed")
    if not vm.running and not vm.ha_managed:  # HA may be about to start it: stopping changes what HA wants
        return Done(changed=False)
    if not step.detach_disks:
        check_holds_none(vm)
    context.ports.hypervisor.stop(vm.vmid, pve_node=vm.pve_node, warn=context.warn)
    return Done()


def destroy_vm(step: DestroyVm, context: RunContext) -> Done:
    """Destroy the VM, after checking once more that it is ours."""
    try:
        vm = owned_vm(step.machine, context)
    except VmNotFoundError:
        return Done(changed=False, note="already removed")
    if vm.record is not None and vm.record.state is RecordState.CLONING and ("protection", "1") in vm.settings:
        # Its template's protection, not the user's: it was never configured.
        context.ports.hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings={"delete": "protection"})
    if step.detach_disks:
        detach_all(vm, context)
    else:
        check_holds_none(vm)
    context.ports.hypervisor.destroy(vm.vmid, pve_node=vm.pve_node, warn=context.warn)
    host_keys.forget(vm, context.spec, context.ports)
    from_ha = ", removed from Proxmox HA" if vm.ha_managed else ""
    return Done(note=f"vmid {vm.vmid} on {vm.pve_node}{from_ha}")


def owned_vm(name: MachineName, context: RunContext) -> VmRecord:
    """Read a machine's VM again and make sure that it is ours and the very one that was seen when planning.

    Raises:
        NotOursError: It is not; nothing may be done to it.
        VmNotFoundError: It is gone.
        VmOutOfSightError: It may be on a Proxmox node that cannot be asked: not gone.
    """
    place = context.findings.places.need(name)
    vm = context.ports.hypervisor.read_vm(place.vmid, pve_node=place.pve_node)
    why = ""
    if not is_ours(vm, context.spec.name):
        why = why_foreign(vm)
    elif vm.record is not None and vm.record.machine != place.machine:
        why = f"it is {vm.record.machine} now"
    elif vm.identity != place.identity:
        what = "SMBIOS UUID" if vm.kind is MachineKind.VM else "identity"
        why = f"its {what} is {vm.identity}, not {place.identity}: another VM has the VMID"
    if why:
        raise NotOursError(
            f"{name}: vmid {vm.vmid} on {vm.pve_node} is not a machine of this cluster (any more) and was not changed",
            details=why,
            resolution=f"check VM {vm.vmid} in Proxmox; run the command again once it is clear who owns it",
        )
    return vm
