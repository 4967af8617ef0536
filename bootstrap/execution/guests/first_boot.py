"""What is waited for on a machine that boots for the first time: its SSH host key, and the end of cloud-init."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import AgentNotRunningError, GuestError, PermissionDeniedError
from bootstrap.execution.context import RunContext
from bootstrap.execution.guests.host_keys import HOST_KEY_FILE, host_key
from bootstrap.execution.guests.scripts import WITHIN_S, Lines, run_script
from bootstrap.model.machine import MachineKind
from bootstrap.model.observed import VmRecord
from bootstrap.ports import GuestShell
from bootstrap.waiting import NotYet


def await_host_key(vm: VmRecord, name: str, context: RunContext) -> str | None:
    """Its `host_key`, once its guest agent reports one; a container's is in the log of its creation."""
    if vm.kind is MachineKind.LXC:
        return host_key(vm, context.spec, context.ports)

    def poll() -> str | NotYet | None:
        try:
            found = host_key(vm, context.spec, context.ports)
        except AgentNotRunningError as error:
            return NotYet(error.details or error.brief)
        return NotYet(f"{HOST_KEY_FILE} is still empty") if found == "" else found

    try:
        return context.wait_for(
            f"the SSH host key of {name}, read through its guest agent",
            poll,
            every_s=0.5,
            resolution=f"does cloud-init in the template create {HOST_KEY_FILE}? Its log is /var/log/cloud-init.log",
            timeout_s=context.timeouts.agent_s,
        )
    except PermissionDeniedError as error:
        refused = GuestError(
            f"{name}: its SSH host key cannot be read through the guest agent",
            details=str(error),
            resolution=Advice(
                "{}; or set ssh.host_keys: accept-new to trust the first key that is seen", error.resolution
            ),
        )
        refused.again_helps = False
        raise refused from error


def await_cloud_init(
    shell: GuestShell, name: str, context: RunContext, *, failure: type[GuestError], advice: str
) -> Lines:
    """What cloud-init ended with, once it has.

    Args:
        shell: A login on the machine.
        name: The machine's, for texts.
        context: The run.
        failure: The error to raise where cloud-init failed.
        advice: What to do then.
    """

    def poll() -> Lines | NotYet:
        told = run_script(shell, "cloud-init-result.sh", timeout_s=context.timeouts.script_s, WITHIN_S=WITHIN_S)
        lines = told.lines
        return lines if lines.flag("done") else NotYet("cloud-init is still running")

    lines = context.wait_for(
        f"cloud-init on {name}",
        poll,
        every_s=0.3,
        resolution=f"ssh {context.spec.ssh.user}@{name} and read /var/log/cloud-init-output.log",
        timeout_s=context.timeouts.cloud_init_s,
    )
    if lines.get("status") == ["error"]:
        raise failure(f"{name}: cloud-init failed", details="\n".join(lines.get("error", [])), resolution=advice)
    return lines
