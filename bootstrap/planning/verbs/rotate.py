"""Plans `rotate token`: the cluster takes a new token, then its machines do, servers one by one, then the agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.planning.day2_steps import RenewToken, RotateToken, SavePasswords
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.existing_machines import Present, plan_on, present_machines
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.provision.joining import API_REACHABLE, init_step, ready
from bootstrap.planning.steps import AwaitGuest, AwaitReady

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


ROTATED = Gate("token_rotated")


def met(name: MachineName) -> Gate:
    """Open once a machine is logged in to."""
    return Gate("guest_met", name)


def plan_rotate(view: ClusterView, *, unfinished: bool) -> Plan:
    """Plan the rotation.

    Args:
        view: The cluster, as wanted and as seen.
        unfinished: Whether an earlier rotation was cut off; then that one is finished.

    Raises:
        PreflightError: No server is Ready.
    """
    check_twins(view)
    machines = present_machines(view)
    first = needed_server(view)
    running = [each for each in machines if not each.vm.idle]
    servers = [each for each in running if each.is_server]
    others = [each for each in servers if each.machine.name != first.name]
    leader = next(each for each in servers if each.machine.name == first.name)
    lanes = [_leading_lane(view.spec, leader, others)]
    previous = ready(first.name)
    for other in others:
        lanes.append(_lane(other, after=previous))
        previous = ready(other.machine.name)
    lanes += [_lane(agent, after=previous) for agent in running if not agent.is_server]
    return plan_on(
        "rotate",
        view,
        machines,
        lanes=tuple(lanes),
        concerned=lambda _machine: "restarts k3s with the new token",
        notes=_notes(machines, unfinished=unfinished),
    )


def _leading_lane(spec: ClusterSpec, leader: Present, others: list[Present]) -> Lane:
    # Which of the two tokens counts after a rotation that was cut off is on the server that took it: ask them all.
    known = tuple(met(other.machine.name) for other in others)
    return Lane(
        name=leader.machine.name,
        steps=(
            LaneStep(step=AwaitGuest(machine=leader.machine.name)),
            init_step(spec, leader.machine),
            LaneStep(step=RotateToken(machine=leader.machine), needs=known, opens=(ROTATED,)),
            LaneStep(step=RenewToken(machine=leader.machine)),
            # Before another server starts with it.
            LaneStep(step=SavePasswords(machine=leader.machine.name)),
            LaneStep(step=AwaitReady(machine=leader.machine), opens=(ready(leader.machine.name),)),
        ),
    )


def _lane(each: Present, *, after: Gate) -> Lane:
    name = each.machine.name
    return Lane(
        name=name,
        steps=(
            LaneStep(step=AwaitGuest(machine=name), opens=(met(name),)),
            LaneStep(step=RenewToken(machine=each.machine), needs=(API_REACHABLE, ROTATED, after)),
            LaneStep(step=AwaitReady(machine=each.machine), opens=(ready(name),)),
        ),
    )


def _notes(machines: tuple[Present, ...], *, unfinished: bool) -> tuple[str, ...]:
    notes = ["an interrupted rotation is completed; no further token is created"] if unfinished else []
    # A server holds who joins to what it has read at its start (k3s: pkg/server/handlers/token.go writes files alone).
    notes.append("until all servers have restarted, machines can still join with the old token")
    notes += [
        Advice("{} is {}: it gets the new token from `homelab-k8s up`", each.machine.name, each.vm.idle)
        for each in machines
        if each.vm.idle
    ]
    return tuple(notes)
