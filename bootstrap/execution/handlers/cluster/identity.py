"""Handlers of the steps that change or keep what a cluster is known by: its token and its CAs."""

from __future__ import annotations

from bootstrap.advice import Advice
from bootstrap.errors import HomelabError, KubernetesError, ScriptError
from bootstrap.execution.context import Done, RunContext
from bootstrap.execution.handlers.k3s.join import correct_address
from bootstrap.execution.k3s.agent_start import start_agent
from bootstrap.execution.k3s.identity import new_token, put_passwords
from bootstrap.execution.k3s.node_looks import listed
from bootstrap.execution.k3s.service import await_api, start_unit
from bootstrap.k3s.ca_archive import check_identity
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.planning.day2_steps import RenewToken, RotateToken, SaveIdentity, SavePasswords
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
from bootstrap.waiting import NotYet

_WRITTEN_IN_S = 30.0
"""k3s writes its token files once its API answers."""


def rotate_token(step: RotateToken, context: RunContext) -> Done:
    """Give the cluster the token that the state directory holds for it.

    Whether it has is read from the servers, so that a run that was killed anywhere is continued.
    """
    name = step.machine.name
    wanted = _wanted_tokens(context).server
    taken = _with_token(wanted, context)
    if taken is not None:
        context.write_item(TOKEN, taken)
        return Done(changed=False, note="the cluster already has it")
    keep_old_token(short_form(_tokens_on(name, context).server), context)
    context.run(name, "rotate-token.sh", files={"new-token": wanted})
    now = _tokens_on(name, context).server
    if short_form(now) != wanted:
        raise HomelabError(
            f"{name}: the server accepted the new token, but still uses another",
            resolution=Advice("`homelab-k8s rotate token` again; see the k3s journal there"),
        )
    context.write_item(TOKEN, now)
    return Done()


def keep_old_token(token: str, context: RunContext) -> None:
    """Keep a token that counted until now, in its short form: older snapshots need it."""
    before = parse_old_tokens(context.read_item(OLD_TOKENS) or "")
    after = with_old_token(before, token, until_s=context.ports.processes.unix_s())
    context.write_item(OLD_TOKENS, render_old_tokens(after))


def _wanted_tokens(context: RunContext) -> ClusterTokens:
    """The tokens that the cluster is to have, in their short form; those of a rotation that was cut off, if one was.

    Kept before the cluster has them: a token that only the cluster knew would have to be looked for there.
    """
    server, agent = context.read_item(NEXT_TOKEN), context.read_item(NEXT_AGENT_TOKEN)
    if not (server and agent):  # an earlier release turned the servers' alone
        agent = new_token()
        context.write_item(NEXT_AGENT_TOKEN, agent)
    if not server:
        server = new_token()
        context.write_item(NEXT_TOKEN, server)
    return ClusterTokens(server=server, agent=agent)


def _with_token(token: str, context: RunContext) -> str | None:
    """The long form of a token, if a machine that we are logged in to has it as its cluster's."""
    for place in context.findings.places.values():
        known = _token_on(place.machine, context) if context.findings.shells.get(place.machine) else None
        if known is not None and short_form(known) == token:
            return known
    return None


def _token_on(machine: MachineName, context: RunContext) -> str | None:
    try:
        return _tokens_on(machine, context).server
    except ScriptError:
        return None  # an agent, which has no such file


def _tokens_on(machine: MachineName, context: RunContext) -> ClusterTokens:
    return parse_tokens(context.run(machine, "read-token.sh"), source=machine)


def renew_token(step: RenewToken, context: RunContext) -> Done:
    """Restart k3s with the valid token; one that has it, and whose node Kubernetes knows, is left alone."""
    machine = step.machine
    unit = machine.role.unit
    files = _token_files(machine.role, _tokens_now(context))
    lines = context.run(machine.name, "renew-token.sh", files=files, UNIT=unit, DONE="0").lines
    # Restored data may have the node as it was: with an old address, or not at all.
    moved = correct_address(machine, context)
    restart = lines.flag("restart") or moved or not _is_known(machine.name, context)
    if restart:
        _restart(machine, context)
        context.run(machine.name, "renew-token.sh", UNIT=unit, DONE="1")
    return Done(changed=restart)


def _tokens_now(context: RunContext) -> ClusterTokens:
    """The tokens that count, in their long form: the servers' as it is, and the agents' that a rotation brings."""
    server = context.read_item(TOKEN) or context.access.token
    agent = context.read_item(NEXT_AGENT_TOKEN) or context.read_item(AGENT_TOKEN)
    return ClusterTokens(
        server=check_token(server, source="the state directory"),
        agent=check_token(agent_token(agent, beside=server), source="the state directory") if agent else "",
    )


def _token_files(role: Role, tokens: ClusterTokens) -> dict[str, str]:
    """What a machine is given; a worker no more than the agents' token."""
    if role is Role.WORKER:
        return {"token": f"{tokens.of_agents}\n"}
    agents = {"agent-token": f"{short_form(tokens.agent)}\n"} if tokens.agent else {}
    return {"token": f"{tokens.server}\n", **agents}


def save_passwords(step: SavePasswords, context: RunContext) -> Done:
    """Save the passwords that a server runs with in the cluster's data, and check the agents' token."""
    tokens = _tokens_now(context)
    put_passwords(step.machine, tokens.server, context)

    def poll() -> bool | NotYet:
        if short_form(_tokens_on(step.machine, context).agent) == short_form(tokens.agent):
            return True
        return NotYet("it reports another one")

    context.wait_for(
        f"the token for agents on {step.machine}",
        poll,
        every_s=0.3,
        resolution=f"does a file in /etc/rancher/k3s/config.yaml.d on {step.machine} set agent-token? Take it out",
        timeout_s=_WRITTEN_IN_S,
    )
    context.write_item(AGENT_TOKEN, tokens.agent)
    return Done()


def _is_known(name: MachineName, context: RunContext) -> bool:
    """Whether Kubernetes has its node. One that was lost while its kubelet ran comes back with a restart only."""
    try:
        return listed(name, context.kube) is not None
    except KubernetesError:
        return True  # the wait for Ready that follows reports what is wrong


def _restart(machine: MachineSpec, context: RunContext) -> None:
    if machine.role is not Role.CONTROL_PLANE:
        start_agent(machine, context, restart=True)
        return
    start_unit(machine, context, restart=True)
    await_api(machine, context)


def save_identity(step: SaveIdentity, context: RunContext) -> Done:
    """Save CAs and token in the state directory, for a later first server."""
    token = short_form(_tokens_on(step.machine, context).server)
    tls = check_identity(context.run(step.machine, "read-identity.sh"), source=step.machine)
    text = render_identity(Identity(token=token, tls=tls))
    if context.read_item(IDENTITY) == text:
        return Done(changed=False)
    context.write_item(IDENTITY, text)
    return Done()
