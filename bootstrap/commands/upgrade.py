"""`upgrade`: every machine to a newer k3s, one minor version after another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.run import run_locked
from bootstrap.commands.locked.unfinished import finish
from bootstrap.commands.observing.needs import check_artifacts
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.commands.observing.ssh_keys import check_keys
from bootstrap.commands.up import check_privileges, check_version
from bootstrap.errors import ArtifactError, UsageError
from bootstrap.events import EventSink
from bootstrap.execution.context import Timeouts
from bootstrap.execution.report import Report
from bootstrap.inventory.answers import parse_channel
from bootstrap.k3s.versions import K3sVersion, is_newer, is_release, parse_version
from bootstrap.model.cluster import ClusterSpec, K3sSpec
from bootstrap.planning.day2_steps import UpgradeK3s
from bootstrap.planning.members.desired_machines import with_existing_sizes
from bootstrap.planning.plan import Plan, steps_of
from bootstrap.planning.provision.unfinished import Intention
from bootstrap.planning.steps import FetchK3s
from bootstrap.planning.verbs.upgrade import Upgrading, plan_upgrade, standpoint
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports

MACHINE_S = 900.0
"""What one machine may take on one rung, at the most, on top of what any run may take."""


@dataclass(frozen=True, kw_only=True)
class UpgradeOptions:
    """What is asked of `upgrade`; with neither `to` nor `channel`, it is what the inventory means.

    Attributes:
        to: A version, `vX.Y.Z+k3sN`.
        channel: A release channel instead: stable, latest, vX.Y.
        how: Snapshot, drains, machines at a time.
    """

    to: str | None = None
    channel: str | None = None
    how: Upgrading = field(default_factory=Upgrading)


def prepare_upgrade(spec: ClusterSpec, ports: Ports, verb_options: UpgradeOptions) -> Plan:
    """Observe, find out which releases lie on the way and whether they are to be had, and plan. Touches nothing.

    Raises:
        UsageError: The wish contradicts itself, or there is no such channel.
        PreflightError: It cannot be done: machines that are not as they should be, or a downgrade.
        ArtifactError: A release on the way is not to be had.
    """
    target = _target(spec, ports, verb_options)
    observed = observe_cluster(spec, ports)
    check_sight(spec, ports, observed.vms)
    spec = with_existing_sizes(spec, observed)
    check_version(observed)
    check_keys(spec, ports, observed)
    start = standpoint(ClusterView(spec, observed))
    newest = {
        minor: parse_version(ports.artifacts.newest(spec.k3s, minor=str(minor))) for minor in start.minors(target)
    }
    plan = plan_upgrade(ClusterView(spec, observed), target=target, newest=newest, upgrading=verb_options.how)
    if plan.lanes:
        check_privileges(spec, ports, observed)
    check_artifacts(plan, spec, ports)
    return plan


def run_upgrade(
    plan: Plan, spec: ClusterSpec, ports: Ports, verb_options: UpgradeOptions, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_upgrade` out.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: A machine could not be drained, or did not come back; `upgrade` again continues.
    """
    versions = [step.version for step in steps_of(plan, FetchK3s)]
    if versions:  # what the user has seen, even if a channel has moved on since
        verb_options = replace(verb_options, to=str(max(map(parse_version, versions))), channel=None)
    report = run_locked(
        plan,
        spec,
        ports,
        again=lambda: prepare_upgrade(spec, ports, verb_options),
        sink=sink,
        options=_with_time(options, machines=len(steps_of(plan, UpgradeK3s))),
        intention=_intention(ports, verb_options),
    )
    finish(spec.name, ports)
    return report


def _intention(ports: Ports, verb_options: UpgradeOptions) -> Intention | None:
    if verb_options.to is None:
        return None  # no release is to be fetched: what is left to do are trifles
    again = f"upgrade --to {verb_options.to}"
    return Intention(command="upgrade", again=again, since=ports.processes.utc_text(), version=verb_options.to)


def _target(spec: ClusterSpec, ports: Ports, verb_options: UpgradeOptions) -> K3sVersion:
    if verb_options.to is not None and verb_options.channel is not None:
        raise UsageError("pass either a version or a channel")
    k3s = spec.k3s
    if verb_options.to is not None:
        return parse_version(verb_options.to)
    if verb_options.channel is not None:
        k3s = replace(k3s, version=None, channel=parse_channel(verb_options.channel, flag="--channel"))
    return parse_version(ports.artifacts.resolve(k3s))


def _with_time(options: RunOptions, *, machines: int) -> RunOptions:
    """Options with time for every machine, unless the user has said how long it may take."""
    if options.timeouts.run_s != Timeouts().run_s:
        return options
    return replace(options, timeouts=replace(options.timeouts, run_s=options.timeouts.run_s + machines * MACHINE_S))


def behind_channel(k3s: K3sSpec, ports: Ports, version: str) -> str | None:
    """What an inventory that states no version points to, where that is older than a version; else None. Reads only."""
    try:
        pointed = ports.artifacts.resolve(k3s)
    except ArtifactError:
        return None  # nobody can be asked: what runs is kept anyway
    return pointed if is_release(pointed) and is_newer(version, pointed) else None
