"""Handlers of the steps that change or keep what a cluster is known by: its token and its CAs."""

from __future__ import annotations

import secrets

from bootstrap.errors import HomelabError, KubernetesError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.identity import IDENTITY, Identity, render_identity
from bootstrap.execution.joining import Own, start_agent
from bootstrap.execution.k3s_steps import CLUSTER, put_right
from bootstrap.execution.scripts import parse_lines
from bootstrap.execution.units import await_api, run_script, start_unit
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.planning.keeping_steps import RenewToken, RotateToken, SaveIdentity
from bootstrap.planning.tokens import (
    NEXT_TOKEN,
    OLD_TOKENS,
    TOKEN,
    check_token,
    parse_old_tokens,
    render_old_tokens,
    short_form,
    with_old_token,
)
from bootstrap.ports import GuestScript, GuestShell

_BYTES = 32


def rotate_token(step: RotateToken, _lane: str, context: RunContext) -> Done:
    """Have the cluster take the token that the state directory holds for it.

    Whether it has is read from the servers, so that a run that was killed anywhere is continued.
    """
    state, cluster = context.ports.state, context.spec.name
    wanted = state.read(cluster, NEXT_TOKEN)
    if not wanted:
        wanted = secrets.token_hex(_BYTES)
        # Before the cluster has it: a token that only the cluster knew would have to be looked for there.
        state.write(cluster, NEXT_TOKEN, wanted)
    taken = _with_token(wanted, context)
    if taken is not None:
        state.write(cluster, TOKEN, taken)
        return Done(changed=False, note="the cluster has it already")
    shell = context.findings.shells.need(step.machine.name)
    old = short_form(check_token(run_script(shell, "read-token.sh", context), source=step.machine.name))
    before = parse_old_tokens(state.read(cluster, OLD_TOKENS) or "")
    after = with_old_token(before, old, until_s=context.ports.processes.unix_s())
    state.write(cluster, OLD_TOKENS, render_old_tokens(after))
    script = GuestScript(name="rotate-token.sh", secret_files=(("new-token", wanted),))
    shell.run(script, timeout_s=context.timeouts.script_s)
    now = check_token(run_script(shell, "read-token.sh", context), source=step.machine.name)
    if short_form(now) != wanted:
        raise HomelabError(
            f"{step.machine.name}: the server said that it took the new token, but still has another",
            resolution="`homelab-k8s rotate token` again; the journal of k3s there tells more",
        )
    state.write(cluster, TOKEN, now)
    return Done()


def _with_token(token: str, context: RunContext) -> str | None:
    """The long form of a token, if a machine that we are logged in to has it as its cluster's."""
    for place in context.findings.places.values():
        shell = context.findings.shells.get(place.machine)
        known = _token_on(place.machine, shell, context) if shell is not None else None
        if known is not None and short_form(known) == token:
            return known
    return None


def _token_on(machine: MachineName, shell: GuestShell, context: RunContext) -> str | None:
    try:
        told = run_script(shell, "read-token.sh", context)
    except ScriptError:
        return None  # an agent, which has no such file
    return check_token(told, source=machine)


def renew_token(step: RenewToken, lane: str, context: RunContext) -> Done:
    """Have k3s run with the token that counts; one that does, and whose node Kubernetes knows, is left alone."""
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    known = context.ports.state.read(context.spec.name, TOKEN) or context.findings.access.need(CLUSTER).token
    token = check_token(known, source="the state directory")
    unit = machine.role.unit
    script = GuestScript(
        name="renew-token.sh", env=(("UNIT", unit), ("DONE", "0")), secret_files=(("token", f"{token}\n"),)
    )
    lines = parse_lines(shell.run(script, timeout_s=context.timeouts.script_s))
    # Restored data may have the node as it was: with the address of then, or not at all.
    moved = put_right(machine, lane, context)
    restart = lines.get("restart") == ["1"] or moved or not _is_known(machine.name, context)
    if restart:
        _restart(machine, shell, lane, context)
        run_script(shell, "renew-token.sh", context, UNIT=unit, DONE="1")
    return Done(changed=restart)


def _is_known(name: MachineName, context: RunContext) -> bool:
    """Whether Kubernetes has its node. One that was lost while its kubelet ran comes back with a restart only."""
    try:
        kube_nodes = context.findings.access.need(CLUSTER).kube.kube_nodes()
    except KubernetesError:
        return True  # the wait for Ready that follows tells what is wrong
    return any(kube_node.name == name for kube_node in kube_nodes)


def _restart(machine: MachineSpec, shell: GuestShell, lane: str, context: RunContext) -> None:
    if machine.role is Role.CONTROL_PLANE:
        start_unit(machine, shell, lane, context, restart=True, timeout_s=context.timeouts.server_s)
        await_api(machine, shell, lane, context)
        return
    address = context.findings.guests.need(machine.name).address
    start_agent(
        machine,
        shell,
        lane,
        context,
        kube=context.findings.access.need(CLUSTER).kube,
        restart=True,
        own=lambda began: Own(address=address, since=began),
    )


def save_identity(step: SaveIdentity, _lane: str, context: RunContext) -> Done:
    """Have CAs and token in the state directory, for a first server to come."""
    shell = context.findings.shells.need(step.machine)
    token = short_form(check_token(run_script(shell, "read-token.sh", context), source=step.machine))
    tls = run_script(shell, "read-identity.sh", context).strip()
    text = render_identity(Identity(token=token, tls=tls))
    state, cluster = context.ports.state, context.spec.name
    if state.read(cluster, IDENTITY) == text:
        return Done(changed=False)
    state.write(cluster, IDENTITY, text)
    return Done()
