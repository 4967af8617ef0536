"""Plans `restore`: k3s stops on all servers, one gets the snapshot's data, the others join it again.

There is no API from the first stop until the chosen server serves again. Pods keep running.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.observed import Snapshot
from bootstrap.planning.day2_steps import RejoinServer, RenewToken, RestoreSnapshot, StopK3s
from bootstrap.planning.members.existing_machines import Present, plan_on, present_machines
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.members.unreachable import require_reachable
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.provision.joining import API_REACHABLE, joined, kubeconfig_lane, ready, ready_step
from bootstrap.planning.provision.successors import pool_of
from bootstrap.planning.settings.snapshot_retention import folder_of
from bootstrap.planning.steps import AwaitGuest, StartVm, Step
from bootstrap.records.snapshot_note import in_bucket, is_local, needed_bucket

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


def stopped(name: MachineName) -> Gate:
    """Open once k3s is stopped on a server."""
    return Gate("k3s_stopped", name)


def plan_restore(view: ClusterView, snapshot: Snapshot, *, server: MachineName | None) -> Plan:
    """Plan a restore. It does not depend on what an interrupted one has done: all of it is repeated.

    Args:
        view: The cluster, as wanted and as seen.
        snapshot: What is restored.
        server: The server that gets it; None: the one that has it on its disk, else the first.

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
    # One etcd member at a time: of two servers that join at once, one fails (docs/k3s.md#joining).
    in_turn = [chosen, *(each for each in servers if each is not chosen)]
    lanes = (
        kubeconfig_lane(view.spec),
        _restoring_lane(chosen, servers, snapshot),
        *(_rejoining_lane(other, ready(before.machine.name)) for before, other in pairwise(in_turn)),
        *(_agent_lane(each) for each in machines if not (each.is_server or each.vm.idle)),
    )
    return plan_on(
        "restore",
        view,
        machines,
        lanes=lanes,
        concerned=lambda each: _what_happens(each, chosen, snapshot),
        notes=_notes(snapshot, chosen, machines),
    )


def _what_happens(each: Present, chosen: Present, snapshot: Snapshot) -> str:
    """What a restore does to a machine, for the user."""
    if each is chosen:
        return f"restores {snapshot.name}"
    return "joins again, without its data" if each.is_server else "restarts k3s"


def _check_servers_seen(view: ClusterView) -> None:
    """Refuse where a server is unreachable: it would come back with the old data and the old members of etcd."""
    named, unnamed = view.unreachable.named, view.unreachable.unnamed
    servers = [vm for name, vm in named.items() if pool_of(view.spec, name) is view.spec.control_plane]
    require_reachable(view, what=f"{view.spec.name} cannot be restored", of=[*servers, *unnamed])


def _chosen(spec: ClusterSpec, servers: Sequence[Present], snapshot: Snapshot, wanted: MachineName | None) -> Present:
    """The server that gets the data: the one asked for, the one that has the snapshot, or the first.

    Raises:
        PreflightError: There is no such server, or it does not have the snapshot.
    """
    by_name = {each.machine.name: each for each in servers}
    if not by_name:
        raise PreflightError(
            f"{spec.name} has no server to restore to",
            resolution=Advice("`homelab-k8s up` creates one; then restore the snapshot's file by its path"),
        )
    name = wanted or _on_disk_of(snapshot) or next(iter(by_name))
    if name != (_on_disk_of(snapshot) or name):
        raise PreflightError(
            f"{snapshot.name} is on {_on_disk_of(snapshot)}, not on {name}",
            resolution=Advice(
                "restore it there; or fetch it first: `homelab-k8s backup --to DIR` takes a new snapshot here"
            ),
        )
    if name not in by_name:
        raise PreflightError(f"{spec.name} has no server {name}", details=", ".join(by_name))
    return by_name[name]


def _on_disk_of(snapshot: Snapshot) -> MachineName | None:
    """The server that alone has a snapshot."""
    return None if is_local(snapshot) or in_bucket(snapshot) else snapshot.machine


def _stopping(each: Present) -> list[Step | LaneStep]:
    """Steps until k3s is stopped on a server; a VM that is off is started, so that its old data does not come back."""
    name = each.machine.name
    start: list[Step | LaneStep] = [StartVm(machine=name)] if each.vm.idle else []
    stop = LaneStep(step=StopK3s(machine=each.machine), opens=(stopped(name),))
    return [*start, AwaitGuest(machine=name), stop]


def _restoring_lane(chosen: Present, servers: Sequence[Present], snapshot: Snapshot) -> Lane:
    restore = RestoreSnapshot(
        machine=chosen.machine,
        source=Path(snapshot.location) if is_local(snapshot) else snapshot.name,
        s3=in_bucket(snapshot),
        folder=folder_of(snapshot) if in_bucket(snapshot) else "",
    )
    others = tuple(stopped(each.machine.name) for each in servers if each is not chosen)
    return Lane.of(
        chosen.machine.name,
        *_stopping(chosen),
        LaneStep(step=restore, needs=others, opens=(API_REACHABLE,)),
        ready_step(chosen.machine),
    )


def _rejoining_lane(other: Present, after: Gate) -> Lane:
    name = other.machine.name
    rejoin = LaneStep(step=RejoinServer(machine=other.machine), needs=(API_REACHABLE, after), opens=(joined(name),))
    return Lane.of(name, *_stopping(other), rejoin, ready_step(other.machine))


def _agent_lane(agent: Present) -> Lane:
    """Agents keep running; one whose token or node is not in the restored data is restarted."""
    renew = LaneStep(step=RenewToken(machine=agent.machine), needs=(API_REACHABLE,))
    return Lane.of(agent.machine.name, AwaitGuest(machine=agent.machine.name), renew, ready_step(agent.machine))


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
