"""`rebuild`: tears the cluster down and builds it again, with its identity and data where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.commands.act import run_locked
from bootstrap.commands.observe import observe_cluster
from bootstrap.commands.rebuilding import SNAPSHOT_NAME, read_rebuild, write_rebuild
from bootstrap.commands.run import RunOptions
from bootstrap.commands.up import check_privileges, check_version, choose_version, prepare_up, run_up
from bootstrap.events import EventSink, Told
from bootstrap.execution.identity import IDENTITY
from bootstrap.execution.report import Report
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Observed
from bootstrap.planning.access import needed_server
from bootstrap.planning.dual_stack import check_families
from bootstrap.planning.keeping_steps import SaveIdentity, TakeSnapshot
from bootstrap.planning.machines import settled
from bootstrap.planning.plan import Plan
from bootstrap.planning.rebuild import (
    Rebuild,
    Stage,
    kept_machines,
    plan_teardown,
    pool_sizes,
    without_machines,
)
from bootstrap.planning.up import plan_up
from bootstrap.ports import Ports

_SECRETS = ("token", "kubeconfig", IDENTITY)


@dataclass(frozen=True, kw_only=True)
class RebuildWish:
    """What is asked of `rebuild`.

    Attributes:
        keep_identity: Machines keep names, MAC and fixed addresses; the cluster its CAs and token.
        snapshot: A snapshot's file here that the data comes from.
        latest_to: Take a snapshot first, into this directory, and bring its data back.
    """

    keep_identity: bool = False
    snapshot: Path | None = None
    latest_to: Path | None = None


def prepare_rebuild(spec: ClusterSpec, ports: Ports, wish: RebuildWish) -> Plan:
    """Observe and plan both halves. Touches nothing.

    A rebuild that was interrupted is continued, with what was asked of it then.

    Raises:
        PreflightError: It cannot be done.
    """
    under_way = read_rebuild(spec.name, ports)
    if under_way is not None and under_way.stage is Stage.BUILDING:
        return replace(prepare_up(spec, ports), command="rebuild")
    observed = observe_cluster(spec, ports)
    check_version(observed)
    check_privileges(spec, ports, observed)
    if wish.snapshot is not None or wish.latest_to is not None:
        check_families(spec, observed)  # the data has its nodes and services with their address families
    rebuild = under_way or _begin(spec, ports, observed, wish)
    # What was noted is here already: the note comes after it.
    saves = under_way is None and (wish.keep_identity or wish.latest_to is not None)
    through = needed_server(spec, observed) if saves else None
    down = plan_teardown(
        spec, observed, rebuild, through=through, saves=_saves(through.name, wish) if through is not None else ()
    )
    up = plan_up(rebuild.apply(spec), without_machines(spec, observed), version=rebuild.version)
    return replace(down, follows=(up,), notes=up.notes)


def _saves(server: MachineName, wish: RebuildWish) -> tuple[TakeSnapshot | SaveIdentity, ...]:
    take = (TakeSnapshot(machine=server, name=SNAPSHOT_NAME, to=wish.latest_to),) if wish.latest_to is not None else ()
    save = (SaveIdentity(machine=server),) if wish.keep_identity else ()
    return (*take, *save)


def _begin(spec: ClusterSpec, ports: Ports, observed: Observed, wish: RebuildWish) -> Rebuild:
    keeps_data = wish.keep_identity or wish.snapshot is not None or wish.latest_to is not None
    # Data is read by the version that wrote it and by newer ones: unless the inventory names one, it stays.
    stays = keeps_data and spec.k3s.version is None and observed.kube_nodes
    version = choose_version(spec, ports, observed) if stays else ports.artifacts.resolve(spec.k3s)
    return Rebuild(
        stage=Stage.TEARING_DOWN,
        version=version,
        pools=pool_sizes(settled(spec, observed)),
        kept=kept_machines(spec, observed) if wish.keep_identity else (),
        snapshot=wish.snapshot or wish.latest_to,
    )


def run_rebuild(
    plan: Plan, spec: ClusterSpec, ports: Ports, wish: RebuildWish, *, sink: EventSink, options: RunOptions
) -> Report:
    """Carry a plan of `prepare_rebuild` out: down, then up.

    Returns:
        The report of the second half.

    Raises:
        ClusterBusyError: Somebody else works on the cluster; nothing was touched.
        HomelabError: Something failed; `rebuild` again continues.
    """
    under_way = read_rebuild(spec.name, ports)
    if under_way is None or under_way.stage is Stage.TEARING_DOWN:
        _tear_down(plan, spec, ports, wish, sink=sink, options=options)
        sink(Told(message=f"all machines of {spec.name} are gone; now it is built again"))
        plan = prepare_up(spec, ports)
    return run_up(plan, spec, ports, sink=sink, options=options)


def _tear_down(
    plan: Plan, spec: ClusterSpec, ports: Ports, wish: RebuildWish, *, sink: EventSink, options: RunOptions
) -> None:
    run_locked(plan, spec, ports, again=lambda: prepare_rebuild(spec, ports, wish), sink=sink, options=options)
    rebuild = read_rebuild(spec.name, ports)
    if rebuild is None:  # cannot be: the plan's first step writes it
        raise AssertionError(plan)
    if not rebuild.kept:
        for item in _SECRETS:
            ports.state.write(spec.name, item, "")
    write_rebuild(spec.name, replace(rebuild, stage=Stage.BUILDING), ports)
