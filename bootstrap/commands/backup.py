"""`backup`: the cluster's data as it is now, on a server, and where the user wants it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.locked.run import run_locked
from bootstrap.commands.observing.observe import observe_cluster
from bootstrap.commands.observing.privileges import check_sight
from bootstrap.events import EventSink
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.members.desired_machines import with_existing_sizes
from bootstrap.planning.plan import Plan
from bootstrap.planning.verbs.backup import plan_backup
from bootstrap.planning.view import ClusterView
from bootstrap.ports import Ports


@dataclass(frozen=True, kw_only=True)
class BackupOptions:
    """What is asked of `backup`.

    Attributes:
        name: What the snapshot's name begins with.
        to: A directory here that it is fetched into as well, or None.
        s3: Whether it goes to the inventory's bucket as well.
    """

    name: str = "manual"
    to: Path | None = None
    s3: bool = False


def prepare_backup(spec: ClusterSpec, ports: Ports, verb_options: BackupOptions) -> Plan:
    """Observe and plan. Touches nothing.

    Raises:
        PreflightError: It cannot be done.
    """
    observed = observe_cluster(spec, ports)
    check_sight(spec, ports, observed.vms)
    to = verb_options.to.expanduser().absolute() if verb_options.to is not None else None
    return plan_backup(
        ClusterView(with_existing_sizes(spec, observed), observed), name=verb_options.name, to=to, s3=verb_options.s3
    )


def run_backup(
    plan: Plan, spec: ClusterSpec, ports: Ports, verb_options: BackupOptions, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_backup` out. A snapshot that was cut off is taken anew by the next run.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: It failed.
    """
    return run_locked(
        plan, spec, ports, again=lambda: prepare_backup(spec, ports, verb_options), sink=sink, options=options
    )
