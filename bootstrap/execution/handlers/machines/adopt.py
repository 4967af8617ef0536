"""Handlers of the steps that sign what was foreign."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import HypervisorError, NotOursError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers.machines.vms import record_key
from bootstrap.planning.day2_steps import AdoptVm
from bootstrap.planning.members.foreign import is_claim
from bootstrap.planning.templates.steps import AdoptTemplate
from bootstrap.records.vms.machine import identity_of, is_ours, render_record
from bootstrap.records.vms.template import render_template


def adopt_vm(step: AdoptVm, context: RunContext) -> Done:
    """Sign the record, if it says what the user has seen and the VM is the one that was seen.

    Raises:
        NotOursError: It has changed since.
    """
    hypervisor, spec = context.ports.hypervisor, context.spec
    place = context.findings.places.need(step.machine)
    vm = hypervisor.read_vm(place.vmid, pve_node=place.pve_node)
    same = (vm.name, vm.identity, vm.record) == (place.machine, place.identity, step.record)
    if same and is_ours(vm, spec.name):
        return Done(changed=False)
    if not same or not is_claim(vm, spec):
        raise NotOursError(
            f"vmid {vm.vmid} on {vm.pve_node} ({vm.name}) changed since it was shown and was not adopted",
            resolution=Advice("`homelab-k8s adopt {}` shows its current state", spec.name),
        )
    text = render_record(step.record, key=record_key(context), identity=identity_of(vm), into=vm.description)
    hypervisor.configure(vm.vmid, pve_node=vm.pve_node, settings={"description": text})
    after = hypervisor.read_vm(vm.vmid, pve_node=vm.pve_node)
    if not is_ours(after, spec.name):
        raise HypervisorError(
            f"VM {vm.vmid} ({vm.name}) on {vm.pve_node} was signed but is still reported as foreign",
            details=after.doubt,
            resolution="check whether something else changes that VM, then run the command again",
        )
    return Done(note=f"vmid {vm.vmid} on {vm.pve_node}")


def adopt_template(step: AdoptTemplate, context: RunContext) -> Done:
    """Sign a template's record, if it and the template are what the user has seen.

    Raises:
        NotOursError: It has changed since.
    """
    maker = context.ports.templates
    there = next((one for one in maker.templates() if one.vmid == step.vmid), None)
    if there is None or (there.name, there.smbios_uuid, there.record) != (step.name, step.smbios_uuid, step.record):
        raise NotOursError(
            f"vmid {step.vmid} on {step.pve_node} ({step.name}) changed since it was shown and was not adopted",
            resolution=Advice("`homelab-k8s adopt {}` shows its current state", context.spec.name),
        )
    if not there.doubt:
        return Done(changed=False)
    key = context.ports.keys.for_templates()
    text = render_template(step.record, key=key, name=step.name, identity=step.smbios_uuid, into=there.description)
    maker.describe(step.vmid, pve_node=there.pve_node, description=text)
    return Done(note=f"vmid {step.vmid} on {there.pve_node}")
