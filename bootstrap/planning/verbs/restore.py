"""Plans `restore`: k3s stops on all servers, one gets the snapshot's data, the others join it again.

From the first stop until the chosen server serves again there is no API. Pods go on running all the while.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import RejoinServer, RenewToken, RestoreSnapshot, StopK3s
from bootstrap.planning.members.existing_machines import Present, plan_on, present_machines
from bootstrap.planning.members.pool_members import machine_name, ordinal_of
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.provision.joining import API_REACHABLE, joined, kubeconfig_lane, ready
from bootstrap.planning.settings.snapshot_retention import folder_of
from bootstrap.planning.steps import AwaitGuest, AwaitReady, StartVm
from bootstrap.records.snapshot_note import in_bucket, is_local, needed_bucket

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def stopped(name: MachineName) -> Gate:
    """Open once k3s is stopped on a server."""
    return Gate("k3s_stopped", name)


def plan_restore(view: ClusterView, snapshot: Snapshot, *, server: MachineName | None) -> Plan:
    """Plan a restore. It begins from anything, so that one that was killed is repeated whole.

    Args:
        view: The cluster, as wanted and as seen.
        snapshot: What is restored.
        server: The server that gets it; None to choose: the one that has it on its disk, else the first.

    Raises:
        PreflightError: There is no such server, or the bucket's keys are missing.
    """
    if in_bucket(snapshot):
        needed_bucket(view.spec)
    check_twins(view)
    _check_servers_seen(view)
    machines = present_machines(view)
    servers = [each for each in machines if each.is_server]
    chosen = _chosen(view.spec, servers, snapshot, server)
    agents = [each for each in machines if not each.is_server and not each.vm.idle]
    lanes = [kubeconfig_lane(view.spec), _restoring_lane(chosen, servers, snapshot)]
    previous = ready(chosen.machine.name)
    for other in servers:
        if other is not chosen:
            # One etcd member at a time: of two servers that join at once, one fails (docs/k3s.md#joining).
            lanes.append(_rejoining_lane(other, previous))
            previous = ready(other.machine.name)
    lanes += [_agent_lane(agent) for agent in agents]
    return plan_on(
        "restore",
        view,
        machines,
        lanes=tuple(lanes),
        concerned=lambda each: _what_happens(each, chosen, snapshot),
        notes=_notes(snapshot, chosen, machines),
    )


def _what_happens(each: Present, chosen: Present, snapshot: Snapshot) -> str:
    """What a restore does to a machine, for the user."""
    if each is chosen:
        return f"restores {snapshot.name}"
    return "joins again, without its data" if each.is_server else "restarts k3s"


def _check_servers_seen(view: ClusterView) -> None:
    """A server that comes back later has the data of before, and its own idea of who is in etcd."""
    unreachable = view.unreachable
    pool = view.spec.control_plane
    hidden = [
        vm for name, vm in unreachable.named.items() if machine_name(view.spec.name, pool, ordinal_of(name)) == name
    ]
    require_reachable(view, what=f"{view.spec.name} cannot be restored", of=[*hidden, *unreachable.unnamed])


def _chosen(spec: ClusterSpec, servers: Sequence[Present], snapshot: Snapshot, wanted: MachineName | None) -> Present:
    if not servers:
        raise PreflightError(
            f"{spec.name} has no server to restore to",
            resolution=Advice("`homelab-k8s up` creates one; then restore the snapshot's file by its path"),
        )
    # A snapshot on a server's own disk can be had nowhere else.
    has_it = snapshot.machine if not is_local(snapshot) and not in_bucket(snapshot) else None
    if wanted is not None and has_it is not None and wanted != has_it:
        raise PreflightError(
            f"{snapshot.name} is on {has_it}, not on {wanted}",
            resolution=Advice(
                "restore it there; or fetch it first: `homelab-k8s backup --to DIR` takes a new snapshot here"
            ),
        )
    name = wanted or has_it
    found = [each for each in servers if each.machine.name == name] if name else servers[:1]
    if not found:
        raise PreflightError(
            f"{spec.name} has no server {name}", details=", ".join(each.machine.name for each in servers)
        )
    return found[0]


def _stopping(each: Present) -> list[LaneStep]:
    """Until k3s is stopped on a server; a VM that is off or paused is started, lest it comes back with its old data."""
    steps = [] if not each.vm.idle else [LaneStep(step=StartVm(machine=each.machine.name))]
    return [
        *steps,
        LaneStep(step=AwaitGuest(machine=each.machine.name)),
        LaneStep(step=StopK3s(machine=each.machine), opens=(stopped(each.machine.name),)),
    ]


def _restoring_lane(chosen: Present, servers: Sequence[Present], snapshot: Snapshot) -> Lane:
    name = chosen.machine.name
    source = Path(snapshot.location) if is_local(snapshot) else snapshot.name
    restore = RestoreSnapshot(
        machine=chosen.machine,
        source=source,
        s3=in_bucket(snapshot),
        folder=folder_of(snapshot) if in_bucket(snapshot) else "",
    )
    others = tuple(stopped(each.machine.name) for each in servers if each is not chosen)
    return Lane(
        name=name,
        steps=(
            *_stopping(chosen),
            LaneStep(step=restore, needs=others, opens=(API_REACHABLE,)),
            LaneStep(step=AwaitReady(machine=chosen.machine), opens=(ready(name),)),
        ),
    )


def _rejoining_lane(other: Present, after: Gate) -> Lane:
    name = other.machine.name
    return Lane(
        name=name,
        steps=(
            *_stopping(other),
            LaneStep(step=RejoinServer(machine=other.machine), needs=(API_REACHABLE, after), opens=(joined(name),)),
            LaneStep(step=AwaitReady(machine=other.machine), opens=(ready(name),)),
        ),
    )


def _agent_lane(agent: Present) -> Lane:
    """Agents go on running; one whose token or node is not in the data any more is restarted."""
    return Lane(
        name=agent.machine.name,
        steps=(
            LaneStep(step=AwaitGuest(machine=agent.machine.name)),
            LaneStep(step=RenewToken(machine=agent.machine), needs=(API_REACHABLE,)),
            LaneStep(step=AwaitReady(machine=agent.machine)),
        ),
    )


def _notes(snapshot: Snapshot, chosen: Present, machines: Sequence[Present]) -> tuple[str, ...]:
    made = f" of {snapshot.made:%Y-%m-%d %H:%M:%S} UTC" if snapshot.made else ""
    notes = [
        f"all changes in Kubernetes since {snapshot.name}{made} are lost; the contents of volumes are not changed",
        f"the API is unavailable until {chosen.machine.name} serves the restored data",
    ]
    off = [each for each in machines if not each.is_server and each.vm.idle]
    notes += [
        Advice("{} is {}: `homelab-k8s up` starts it afterwards", each.machine.name, each.vm.idle) for each in off
    ]
    return tuple(notes)
