"""Handlers of the steps that change or keep what a cluster is known by: its token and its CAs."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError, KubernetesError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.guests.scripts import parse_lines, run_script
from bootstrap.execution.handlers.k3s.join import CLUSTER, put_right
from bootstrap.execution.k3s.agent_start import Own, start_agent
from bootstrap.execution.k3s.identity import new_token, put_passwords
from bootstrap.execution.k3s.service import await_api, start_unit
from bootstrap.k3s.ca_archive import check_identity
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.planning.day2_steps import RenewToken, RotateToken, SaveIdentity, SavePasswords
from bootstrap.ports import GuestScript, GuestShell
from bootstrap.records.state.identity import Identity, render_identity
from bootstrap.records.state.state_items import AGENT_TOKEN, IDENTITY, NEXT_AGENT_TOKEN, NEXT_TOKEN, OLD_TOKENS, TOKEN
from bootstrap.records.state.token_history import (
    ClusterTokens,
    agent_token,
    check_token,
    parse_old_tokens,
    parse_tokens,
    render_old_tokens,
    short_form,
    with_old_token,
)
from bootstrap.waiting import Condition, NotYet, wait_for

_WRITTEN_IN_S = 30.0
"""k3s writes its token files once its API answers."""


def rotate_token(step: RotateToken, _lane: str, context: RunContext) -> Done:
    """Have the cluster take the token that the state directory holds for it.

    Whether it has is read from the servers, so that a run that was killed anywhere is continued.
    """
    state, cluster = context.ports.state, context.spec.name
    wanted = _wanted_tokens(context).server
    taken = _with_token(wanted, context)
    if taken is not None:
        state.write(cluster, TOKEN, taken)
        return Done(changed=False, note="the cluster already has it")
    shell = context.findings.shells.need(step.machine.name)
    old = short_form(_tokens_on(step.machine.name, shell, context).server)
    before = parse_old_tokens(state.read(cluster, OLD_TOKENS) or "")
    after = with_old_token(before, old, until_s=context.ports.processes.unix_s())
    state.write(cluster, OLD_TOKENS, render_old_tokens(after))
    script = GuestScript(name="rotate-token.sh", secret_files=(("new-token", wanted),))
    shell.run(script, timeout_s=context.timeouts.script_s)
    now = _tokens_on(step.machine.name, shell, context).server
    if short_form(now) != wanted:
        raise HomelabError(
            f"{step.machine.name}: the server accepted the new token, but still uses another",
            resolution=Advice("`homelab-k8s rotate token` again; see the k3s journal there"),
        )
    state.write(cluster, TOKEN, now)
    return Done()


def _wanted_tokens(context: RunContext) -> ClusterTokens:
    """The tokens that the cluster is to have, in their short form; those of a rotation that was cut off, if one was.

    Kept before the cluster has them: a token that only the cluster knew would have to be looked for there.
    """
    state, cluster = context.ports.state, context.spec.name
    server, agent = state.read(cluster, NEXT_TOKEN), state.read(cluster, NEXT_AGENT_TOKEN)
    if not (server and agent):  # an earlier release turned the servers' alone
        agent = new_token()
        state.write(cluster, NEXT_AGENT_TOKEN, agent)
    if not server:
        server = new_token()
        state.write(cluster, NEXT_TOKEN, server)
    return ClusterTokens(server=server, agent=agent)


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
        return _tokens_on(machine, shell, context).server
    except ScriptError:
        return None  # an agent, which has no such file


def _tokens_on(machine: MachineName, shell: GuestShell, context: RunContext) -> ClusterTokens:
    return parse_tokens(run_script(shell, "read-token.sh", context), source=machine)


def renew_token(step: RenewToken, lane: str, context: RunContext) -> Done:
    """Have k3s run with the token that counts; one that does, and whose node Kubernetes knows, is left alone."""
    machine = step.machine
    shell = context.findings.shells.need(machine.name)
    unit = machine.role.unit
    files = _token_files(machine.role, _tokens_now(context))
    script = GuestScript(name="renew-token.sh", env=(("UNIT", unit), ("DONE", "0")), secret_files=files)
    lines = parse_lines(shell.run(script, timeout_s=context.timeouts.script_s))
    # Restored data may have the node as it was: with the address of then, or not at all.
    moved = put_right(machine, lane, context)
    restart = lines.get("restart") == ["1"] or moved or not _is_known(machine.name, context)
    if restart:
        _restart(machine, shell, lane, context)
        run_script(shell, "renew-token.sh", context, UNIT=unit, DONE="1")
    return Done(changed=restart)


def _tokens_now(context: RunContext) -> ClusterTokens:
    """The tokens that count, in their long form: the servers' as it is, and the agents' that a rotation brings."""
    state, cluster = context.ports.state, context.spec.name
    server = state.read(cluster, TOKEN) or context.findings.access.need(CLUSTER).token
    agent = state.read(cluster, NEXT_AGENT_TOKEN) or state.read(cluster, AGENT_TOKEN)
    return ClusterTokens(
        server=check_token(server, source="the state directory"),
        agent=check_token(agent_token(agent, beside=server), source="the state directory") if agent else "",
    )


def _token_files(role: Role, tokens: ClusterTokens) -> tuple[tuple[str, str], ...]:
    """What a machine is given; a worker no more than the agents' token."""
    if role is Role.WORKER:
        return (("token", f"{tokens.of_agents}\n"),)
    agents = (("agent-token", f"{short_form(tokens.agent)}\n"),) if tokens.agent else ()
    return (("token", f"{tokens.server}\n"), *agents)


def save_passwords(step: SavePasswords, lane: str, context: RunContext) -> Done:
    """Have the passwords that a server runs with in the cluster's data, and see that the agents' is the one wanted."""
    shell = context.findings.shells.need(step.machine)
    tokens = _tokens_now(context)
    put_passwords(shell, tokens.server, lane=lane, context=context)

    def poll() -> bool | NotYet:
        if short_form(_tokens_on(step.machine, shell, context).agent) == short_form(tokens.agent):
            return True
        return NotYet("it reports another one")

    condition = Condition(
        what=f"the token for agents on {step.machine}",
        poll=poll,
        every_s=0.3,
        resolution=f"does a file in /etc/rancher/k3s/config.yaml.d on {step.machine} set agent-token? Take it out",
    )
    wait_for(condition, context.wait_context(lane, _WRITTEN_IN_S))
    context.ports.state.write(context.spec.name, AGENT_TOKEN, tokens.agent)
    return Done()


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
    token = short_form(_tokens_on(step.machine, shell, context).server)
    tls = check_identity(run_script(shell, "read-identity.sh", context), source=step.machine)
    text = render_identity(Identity(token=token, tls=tls))
    state, cluster = context.ports.state, context.spec.name
    if state.read(cluster, IDENTITY) == text:
        return Done(changed=False)
    state.write(cluster, IDENTITY, text)
    return Done()
