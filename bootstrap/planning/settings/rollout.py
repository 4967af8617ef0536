"""How changed settings are rolled out: servers one at a time, then agents one at a time. Pure.

The next machine waits until the one before serves again (`/readyz`, etcd in it), reports the new settings and is Ready.
Nothing is drained: pods keep running while k3s restarts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from bootstrap.model.ids import MachineName
from bootstrap.model.machine import Taint
from bootstrap.planning.day2_steps import ApplySettings
from bootstrap.planning.plan import Action, Gate, Lane, LaneStep, PlannedMachine
from bootstrap.planning.provision.joining import API_REACHABLE, met, met_step
from bootstrap.planning.settings.drift import Drift
from bootstrap.planning.steps import AwaitReady


def settled(name: MachineName) -> Gate:
    """Open once a machine is Ready with the new settings."""
    return Gate("settings_applied", name)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A whole roll-out.

    Attributes:
        turns: Machines whose k3s restarts, in order: servers, the one that the run goes through last, then agents.
        after: Gates before the first of them, such as servers that are repaired.
        agents_after: Further gates before the first agent, such as the VIP.
    """

    turns: tuple[Drift, ...]
    after: tuple[Gate, ...] = ()
    agents_after: tuple[Gate, ...] = ()

    @classmethod
    def of(cls, found: Sequence[Drift], *, access: MachineName | None) -> Rollout:
        """The roll-out of all that restarts.

        The server that the run goes through comes last: where k3s does not start with the settings, that shows on
        another one, and the API still answers.
        """
        restarts = (drift for drift in found if drift.restarts)
        return cls(turns=tuple(sorted(restarts, key=lambda drift: (not drift.is_server, drift.name == access))))

    @property
    def names(self) -> frozenset[MachineName]:
        """Machines whose k3s restarts."""
        return frozenset(drift.name for drift in self.turns)

    @property
    def all(self) -> tuple[Gate, ...]:
        """Open once all machines run with the new settings."""
        return tuple(settled(drift.name) for drift in self.turns)

    @property
    def servers(self) -> tuple[Gate, ...]:
        """Open once all servers run with the new settings."""
        return tuple(settled(drift.name) for drift in self.turns if drift.is_server)

    def shown(self, machines: Iterable[PlannedMachine]) -> tuple[PlannedMachine, ...]:
        """The plan's machines, those that only restart with the reason for that."""
        reasons = {drift.name: drift.reason for drift in self.turns}
        return tuple(
            replace(each, action=Action.RESTART, reason=reasons[each.spec.name])
            if each.spec.name in reasons and each.action is Action.KEEP
            else each
            for each in machines
        )

    def lanes(self, others: Collection[Lane]) -> tuple[Lane, ...]:
        """The plan's other lanes with these: a machine that has one already is restarted at its end."""
        steps = self._steps()
        lanes = [_longer(lane, steps.pop(MachineName(lane.name), ())) for lane in others]
        return (*lanes, *(Lane(name=name, steps=own) for name, own in steps.items()))

    def _steps(self) -> dict[MachineName, tuple[LaneStep, ...]]:
        needs = (API_REACHABLE, *self.after, *(met(drift.name) for drift in self.turns))
        steps: dict[MachineName, tuple[LaneStep, ...]] = {}
        had_agent = False
        for drift in self.turns:
            if not drift.is_server and not had_agent:
                needs, had_agent = (*needs, *self.agents_after), True
            gates = (settled(drift.name),)
            last = LaneStep(step=AwaitReady(machine=drift.machine_state.machine), opens=gates)
            steps[drift.name] = (met_step(drift.name), LaneStep(step=_step(drift), needs=needs), last)
            needs = gates
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
    """A lane with further steps; where it has the first of them already, that one opens the gates of both."""
    if not steps:
        return lane
    first, *rest = steps
    has_it = any(each.step == first.step for each in lane.steps)
    own = [
        replace(each, opens=tuple(dict.fromkeys((*each.opens, *first.opens)))) if each.step == first.step else each
        for each in lane.steps
    ]
    return replace(lane, steps=(*own, *rest) if has_it else (*own, *steps))
