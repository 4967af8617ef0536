"""Plans `rotate token`: the cluster takes a new token, then its machines do, servers one by one, then the agents."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.model.cluster import ClusterSpec
from bootstrap.planning.day2_steps import RenewToken, RotateToken, SavePasswords
from bootstrap.planning.healthy_server import needed_server
from bootstrap.planning.members.existing_machines import Present, plan_on, present_machines
from bootstrap.planning.members.twins import check_twins
from bootstrap.planning.plan import Gate, Lane, LaneStep, Plan
from bootstrap.planning.provision.joining import API_REACHABLE, access_lane, met, met_step, ready, ready_step

if TYPE_CHECKING:
    from bootstrap.planning.view import ClusterView


ROTATED = Gate("token_rotated")


def plan_rotate(view: ClusterView, *, unfinished: bool) -> Plan:
    """Plan the rotation.

    Args:
        view: The cluster, as wanted and as seen.
        unfinished: Whether an earlier rotation was interrupted; then that one is completed.

    Raises:
        PreflightError: No server is Ready.
    """
    check_twins(view)
    machines = present_machines(view)
    first = needed_server(view).name
    running = [each for each in machines if not each.vm.idle]
    servers = sorted((each for each in running if each.is_server), key=lambda each: each.machine.name != first)
    leader, *others = servers
    lanes = [_leading_lane(view.spec, leader, others)]
    lanes += [_lane(other, after=before) for before, other in pairwise(servers)]
    lanes += [_lane(agent, after=servers[-1]) for agent in running if not agent.is_server]
    return plan_on(
        "rotate",
        view,
        machines,
        lanes=tuple(lanes),
        concerned=lambda _machine: "restarts k3s with the new token",
        notes=_notes(machines, unfinished=unfinished),
    )


def _leading_lane(spec: ClusterSpec, leader: Present, others: list[Present]) -> Lane:
    # After an interrupted rotation only the server that took the new token knows that it counts: ask them all.
    known = tuple(met(other.machine.name) for other in others)
    return access_lane(
        spec,
        leader.machine,
        LaneStep(step=RotateToken(machine=leader.machine), needs=known, opens=(ROTATED,)),
        RenewToken(machine=leader.machine),
        # Before another server starts with it.
        SavePasswords(machine=leader.machine.name),
        ready_step(leader.machine),
    )


def _lane(each: Present, *, after: Present) -> Lane:
    needs = (API_REACHABLE, ROTATED, ready(after.machine.name))
    renew = LaneStep(step=RenewToken(machine=each.machine), needs=needs)
    return Lane.of(each.machine.name, met_step(each.machine.name), renew, ready_step(each.machine))


def _notes(machines: tuple[Present, ...], *, unfinished: bool) -> tuple[str, ...]:
    notes = ["an interrupted rotation is completed; no further token is created"] if unfinished else []
    # A server checks new machines against what it read at its start (k3s: pkg/server/handlers/token.go only writes).
    notes.append("until all servers have restarted, machines can still join with the old token")
    notes += [
        Advice("{} is {}: it gets the new token from `homelab-k8s up`", each.machine.name, each.vm.idle)
        for each in machines
        if each.vm.idle
    ]
    return tuple(notes)
