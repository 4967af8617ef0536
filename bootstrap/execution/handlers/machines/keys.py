"""Handler of the step that has a machine accept our SSH key which knows another one."""

from __future__ import annotations

from ipaddress import IPv4Address

from bootstrap.errors import GuestSetupError, HomelabError, InterruptedRunError, KeyRefusedError, SshUnreachableError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.authorized_keys import add_key
from bootstrap.execution.guests.host_keys import meet
from bootstrap.execution.handlers.machines.guests import own_address
from bootstrap.execution.handlers.machines.vms import owned_vm
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
from bootstrap.planning.day2_steps import AuthorizeKey
from bootstrap.planning.members.authorize import authorizing_command
from bootstrap.planning.members.desired_machines import login_user


def authorize_key(step: AuthorizeKey, context: RunContext) -> Done:
    """Add our key through the guest agent where the machine refuses it, and check that it is accepted then.

    Where that fails, a warning names the command with which root on the Proxmox node does it; the step ends well.

    Raises:
        NotOursError: It is not this cluster's machine any more.
    """
    vm = owned_vm(step.machine, context)
    try:
        _log_in(step, vm, context)
    except InterruptedRunError:
        raise
    except HomelabError as error:
        if not step.new_key and not isinstance(error, KeyRefusedError):
            return Done(changed=False, note=f"whether it does is not known: {error}")
    else:
        return Done(changed=False, note="it does already")
    try:
        path = _add(step, vm, context)
    except InterruptedRunError:
        raise
    except HomelabError as error:
        context.warn(_the_way(vm, error, context))
        return Done(changed=False, note="not yet")
    return Done(note=f"added to {path} by its guest agent; a login shows that it does")


def _add(step: AuthorizeKey, vm: VmRecord, context: RunContext) -> str:
    """Where the key was added, which the machine accepts now."""
    if vm.kind is MachineKind.LXC:
        raise GuestSetupError("a container has no guest agent")
    user, ports = login_user(context.spec, vm), context.ports
    path = add_key(vm, user=user, public_key=ports.shells.public_key, hypervisor=ports.hypervisor)
    try:
        _log_in(step, vm, context)
    except KeyRefusedError as error:
        raise GuestSetupError(
            f"the key was added to {path}, but sshd still refuses it", details=error.details
        ) from error
    return path


def _log_in(step: AuthorizeKey, vm: VmRecord, context: RunContext) -> None:
    """Log in and out again. Raises HomelabError; KeyRefusedError where the key is refused."""
    spec, ports = context.spec, context.ports
    address = own_address(ports.hypervisor.guest_interfaces(vm.vmid, pve_node=vm.pve_node), vm, context)
    if not isinstance(address, IPv4Address):
        raise SshUnreachableError(address)
    name = vm.record.machine if vm.record else step.machine
    meet(name, vm, address, spec=spec, ports=ports, warn=context.warn).close()


def _the_way(vm: VmRecord, error: HomelabError, context: RunContext) -> str:
    """One line: that the key is not accepted yet, why we could not add it, and the command that does."""
    user, public_key = login_user(context.spec, vm), context.ports.shells.public_key
    command = authorizing_command(vm.vmid, kind=vm.kind, user=user, public_key=public_key)
    why = "; ".join(filter(None, (error.brief, error.details.replace("\n", " | "))))
    return f"does not accept the SSH key yet ({why}): as root on {vm.pve_node}: `{command}`"
