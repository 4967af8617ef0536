"""Handlers of the steps that give the API an address of its own, which follows a living server."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.advice import Advice
from bootstrap.errors import GuestError, HomelabError
from bootstrap.execution.context import Done, RunContext
from bootstrap.k3s.environment import proxy_files
from bootstrap.k3s.keepalived import choose_peers, render_keepalived
from bootstrap.k3s.kubeconfig.build import API_PORT
from bootstrap.model.cluster import VipSpec
from bootstrap.model.ids import MachineName
from bootstrap.planning.day2_steps import ConfigureVip, RemoveVip, SpreadVip
from bootstrap.waiting import NotYet

APT_LOCK_S = 240
"""How long another apt on the machine is waited for: a first boot's daily update holds its locks."""

INSTALL_S = 420.0
"""For keepalived's packages, a few MB from the machine's own mirror; the wait for another apt is in it."""

VIP_S = 60.0
"""keepalived has the address 2 s after its start, or something is wrong."""


@dataclass(frozen=True, kw_only=True)
class VipState:
    """How a server stands to the VIP, by vip-state.sh.

    Attributes:
        interface: The one with the server's own address.
        active: Whether its keepalived runs.
        configured: Whether it has settings for this VIP, be it another one's until now.
        holder: Whether it has the VIP now.
    """

    interface: str
    active: bool
    configured: bool
    holder: bool


def configure_vip(step: ConfigureVip, context: RunContext) -> Done:
    """Install keepalived on a server; on the first one start it, and wait until the API answers at the VIP.

    On the others it is started by `spread_vip`: keepalived that starts before the others know of it hears none of them
    and takes the VIP as well.
    """
    vip = _vip(context)
    if not step.first:
        return Done(changed=_install(step.machine, context, settings=None))
    state = look(step.machine, context)
    if (state.active and state.configured) or _held_by_another(step, vip, context):
        changed = _install(step.machine, context, settings=None)
    else:
        others = tuple(name for name in step.servers if context.findings.guests.get(name) is not None)
        settings = _settings(step.machine, step.servers, others, state, context)
        changed = _install(step.machine, context, settings=settings)
    _await_vip(vip, context)
    return Done(changed=changed, note=f"https://{vip.address}:{API_PORT}")


def spread_vip(step: SpreadVip, context: RunContext) -> Done:
    """Start every server's keepalived with all the others as peers; running ones learn of the new ones first."""
    vip = _vip(context)
    _check_known(step, context)
    states = {name: look(name, context) for name in step.servers}
    changed = False
    for name in sorted(step.servers, key=lambda name: not states[name].active):
        settings = _settings(name, step.servers, step.servers, states[name], context)
        changed = _install(name, context, settings=settings) or changed
    if changed:
        _await_vip(vip, context)
    return Done(changed=changed, note=str(vip.address))


def remove_vip(step: RemoveVip, context: RunContext) -> Done:
    """Stop every server's keepalived, where its settings are ours."""
    told = [context.run(name, "remove-vip.sh").lines for name in step.servers]
    return Done(changed=any(lines.flag("changed") for lines in told))


def _check_known(step: SpreadVip, context: RunContext) -> None:
    """Raise GuestError where a server cannot be told: one that others forget would take the VIP as well."""
    unknown = [name for name in step.servers if context.findings.guests.get(name) is None]
    if unknown:
        raise GuestError(
            f"keepalived cannot be configured: the address of {', '.join(unknown)} is unknown",
            resolution=Advice("run `homelab-k8s up` to repair the machines first"),
        )


def look(machine: MachineName, context: RunContext) -> VipState:
    """How a server stands to the VIP now."""
    address, vip = context.guest(machine).address, _vip(context).address
    lines = context.run(machine, "vip-state.sh", ADDRESS=str(address), VIP=str(vip)).lines
    return VipState(
        interface=lines.one("interface"),
        active=lines.one("active_state") in ("active", "reloading"),
        configured=lines.flag("configured"),
        holder=lines.flag("holder"),
    )


def _vip(context: RunContext) -> VipSpec:
    if context.spec.vip is None:
        raise LookupError("the cluster has no VIP: the plan has a step too many")
    return context.spec.vip


def _held_by_another(step: ConfigureVip, vip: VipSpec, context: RunContext) -> bool:
    """Whether a server that was there before this run serves the VIP."""
    findings = context.findings
    before = [
        name
        for name in step.servers
        if name != step.machine and findings.places.get(name) is not None and not findings.cloned.get(name)
    ]
    # Asked only then: an address that no machine has costs 3 s.
    return bool(before) and not isinstance(_answers(vip, context), NotYet)


def _settings(
    machine: MachineName,
    servers: tuple[MachineName, ...],
    known: tuple[MachineName, ...],
    state: VipState,
    context: RunContext,
) -> str:
    address = context.guest(machine).address
    others = tuple(context.guest(name).address for name in known if name != machine)
    return render_keepalived(
        _vip(context),
        cluster=context.spec.name,
        interface=state.interface,
        address=address,
        place=servers.index(machine),
        peers=choose_peers(address, others=others, servers=len(servers)),
    )


def _install(machine: MachineName, context: RunContext, *, settings: str | None) -> bool:
    """Install keepalived and, with settings, run it with them; whether anything changed."""
    files = proxy_files(context.spec) | ({} if settings is None else {"keepalived.conf": settings})
    lines = context.run(machine, "install-vip.sh", timeout_s=INSTALL_S, files=files, LOCK_S=str(APT_LOCK_S)).lines
    return lines.flag("changed")


def _answers(vip: VipSpec, context: RunContext) -> bool | NotYet:
    try:
        context.ports.probes.certificate(vip.address, API_PORT)
    except HomelabError as error:
        return NotYet(error.details or error.brief)
    return True


def _await_vip(vip: VipSpec, context: RunContext) -> None:
    context.wait_for(
        f"the Kubernetes API at the VIP {vip.address}",
        lambda: _answers(vip, context),
        every_s=0.1,
        resolution="on the servers: journalctl -u keepalived. Is the VIP in the servers' network? Does a firewall let "
        "VRRP (IP protocol 112) through between them, and does Proxmox's IP filter on net0 know the VIP?",
        timeout_s=VIP_S,
    )
