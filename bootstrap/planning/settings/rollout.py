"""How changed settings reach machines that run: servers one at a time, then agents in turn. Pure.

The gate between two machines is that of an upgrade: the one before serves again (`/readyz`, etcd in it), runs with the
new settings by its own word, and is Ready. Nothing is drained: pods go on running while k3s restarts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Role, Taint
from bootstrap.planning.day2_steps import ApplySettings
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, PlannedMachine, VmPlace
from bootstrap.planning.provision.joining import API_REACHABLE
from bootstrap.planning.settings.drift import Drift
from bootstrap.planning.steps import AwaitGuest, AwaitReady


def met(name: MachineName) -> Gate:
    """Open once a machine was logged in to."""
    return Gate("settings_met", name)


def settled(name: MachineName) -> Gate:
    """Open once a machine is Ready with the new settings."""
    return Gate("settings_applied", name)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A whole roll-out.

    Attributes:
        turns: Machines whose k3s restarts, in their order: servers, the one the run goes through last, then agents.
        after: Gates before the first of them, such as servers that are being repaired.
        agents_after: Further gates before the first agent, such as the VIP.
    """

    turns: tuple[Drift, ...]
    after: tuple[Gate, ...] = ()
    agents_after: tuple[Gate, ...] = ()

    @classmethod
    def of(
        cls,
        found: Sequence[Drift],
        *,
        access: MachineName | None,
        after: tuple[Gate, ...] = (),
        agents_after: tuple[Gate, ...] = (),
    ) -> Rollout:
        """The roll-out of all that restarts.

        The server that the run goes through comes last: settings that k3s does not start with stop at another one, and
        the API goes on answering.
        """
        restarts = [drift for drift in found if drift.restarts]

        def turn(drift: Drift) -> tuple[bool, bool]:
            machine = drift.machine_state.machine
            return machine.role is not Role.CONTROL_PLANE, machine.name == access

        return cls(turns=tuple(sorted(restarts, key=turn)), after=after, agents_after=agents_after)

    @property
    def names(self) -> frozenset[MachineName]:
        """Machines whose k3s restarts."""
        return frozenset(drift.machine_state.name for drift in self.turns)

    @property
    def all(self) -> tuple[Gate, ...]:
        """Open once all machines run with the new settings."""
        return tuple(settled(drift.machine_state.name) for drift in self.turns)

    @property
    def servers(self) -> tuple[Gate, ...]:
        """Open once all servers run with the new settings."""
        machines = (drift.machine_state.machine for drift in self.turns)
        return tuple(settled(machine.name) for machine in machines if machine.role is Role.CONTROL_PLANE)

    def planned(self, name: MachineName) -> PlannedMachine:
        """How the plan shows one of its machines."""
        drift = next(drift for drift in self.turns if drift.machine_state.name == name)
        machine, vm = drift.machine_state.machine, drift.machine_state.vm
        if vm is None:  # cannot be: what has no VM is made, and gets its settings then
            raise AssertionError(drift)
        place = VmPlace.of(machine.name, vm)
        return PlannedMachine(spec=machine, place=place, action=Action.RESTART, reason=drift.reason)

    def lanes(self, others: Collection[Lane]) -> tuple[Lane, ...]:
        """The plan's other lanes with these: a machine that has one already is restarted at its end."""
        steps = self._steps()
        lanes = [_longer(lane, steps.pop(MachineName(lane.name), ())) for lane in others]
        return (*lanes, *(Lane(name=name, steps=own) for name, own in steps.items()))

    def _steps(self) -> dict[MachineName, tuple[LaneStep, ...]]:
        starts = (API_REACHABLE, *self.after, *(met(drift.machine_state.name) for drift in self.turns))
        steps: dict[MachineName, tuple[LaneStep, ...]] = {}
        needs, had_agent = starts, False
        for drift in self.turns:
            machine = drift.machine_state.machine
            if machine.role is not Role.CONTROL_PLANE and not had_agent:
                needs, had_agent = (*needs, *self.agents_after), True
            steps[machine.name] = (
                LaneStep(step=AwaitGuest(machine=machine.name), opens=(met(machine.name),)),
                LaneStep(step=_step(drift), needs=needs),
                LaneStep(step=AwaitReady(machine=machine), opens=(settled(machine.name),)),
            )
            needs = (settled(machine.name),)
        return steps


def _step(drift: Drift) -> ApplySettings:
    return ApplySettings(
        machine=drift.machine_state.machine,
        changes=tuple(map(str, drift.changes)),
        stale_labels=drift.stale_labels,
        stale_taints=tuple(taint for text in drift.stale_taints if (taint := parse_taint(text)) is not None),
    )


def parse_taint(text: str) -> Taint | None:
    """A taint as k3s writes it, `key=value:effect` or `key:effect`; None for anything else."""
    what, colon, effect = text.rpartition(":")
    key, _, value = what.partition("=")
    return Taint(key=key, value=value, effect=effect) if colon and key else None


def _longer(lane: Lane, steps: tuple[LaneStep, ...]) -> Lane:
    if not steps:
        return lane
    first, *rest = steps
    there = [each for each in lane.steps if each.step == first.step]
    if not there:
        return replace(lane, steps=(*lane.steps, *steps))
    opened = replace(there[0], opens=(*there[0].opens, *first.opens))
    before = tuple(opened if each is there[0] else each for each in lane.steps)
    return replace(lane, steps=(*before, *rest))


def shown(machines: Sequence[PlannedMachine], rollout: Rollout) -> tuple[PlannedMachine, ...]:
    """The plan's machines, with those of the roll-out as it shows them."""
    return tuple(
        rollout.planned(each.spec.name) if each.spec.name in rollout.names and each.action is Action.KEEP else each
        for each in machines
    )
