"""The lanes of an upgrade: who waits for whom while machines climb a ladder of releases. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bootstrap.k3s.versions import K3sVersion, Rung
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.planning.day2_steps import AwaitVersion, TakeSnapshot, Uncordon, UpgradeK3s
from bootstrap.planning.plan import Gate, Lane, LaneStep
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.provision.joining import API_REACHABLE, fetched, init_step
from bootstrap.planning.settings.snapshot_retention import kept_on_demand, upload_of
from bootstrap.planning.steps import AwaitGuest, FetchK3s, Step

SNAPSHOT_TAKEN = Gate("snapshot_taken")


def met(name: MachineName) -> Gate:
    """Open once a machine was logged in to."""
    return Gate("met", name)


def upgraded(name: MachineName, version: K3sVersion) -> Gate:
    """Open once a machine is Ready with a version, and pods may come to it."""
    return Gate("upgraded", f"{name}/{version}")


@dataclass(frozen=True, kw_only=True)
class Climber:
    """A machine that is to be upgraded; `arch` is amd64 or arm64."""

    machine: MachineSpec
    arch: str
    kube_node: KubeNode
    version: K3sVersion


def interrupted(climber: Climber, lowest: K3sVersion) -> bool:
    """Whether an upgrade that was killed left it half-way: such a machine may be not Ready and is done first."""
    return climber.kube_node.unschedulable or climber.version > lowest


@dataclass(frozen=True, kw_only=True)
class Climbing:
    """A whole upgrade.

    Attributes:
        climbers: In their order: servers first.
        rungs: The releases, each reached by all before the next.
        access: The server that the run goes through.
        schedulable: Nodes that pods can go to.
        max_unavailable: How many agents at a time.
        snapshot: What the snapshot is called, or None for none.
        rules: How machines are drained.
    """

    climbers: tuple[Climber, ...]
    rungs: tuple[Rung, ...]
    access: MachineSpec
    schedulable: frozenset[MachineName]
    max_unavailable: int
    snapshot: str | None
    rules: DrainRules

    def turns_of(self, climber: Climber) -> tuple[Rung, ...]:
        """The rungs on which something is to be done about a machine."""
        unfinished = climber.kube_node.unschedulable or not climber.kube_node.ready
        return tuple(
            rung
            for rung in self.rungs
            if climber.version < rung.version or (climber.version == rung.version and unfinished)
        )

    @property
    def working(self) -> tuple[Climber, ...]:
        """The machines that something is to be done about."""
        return tuple(climber for climber in self.climbers if self.turns_of(climber))

    @property
    def at_once(self) -> int:
        """How many agents at a time, so that pods always have somewhere to go."""
        return max(1, min(self.max_unavailable, len(self.schedulable) - 1))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if self.snapshot is None:
            yield "no snapshot is taken: there will be no way back to the current data"
        if self.at_once < self.max_unavailable:
            yield (
                f"{self.at_once} instead of {self.max_unavailable} workers at a time, so that pods have nodes to "
                "move to"
            )
        staying = [climber.machine.name for climber in self.working if not self._drains(climber)]
        if staying:
            yield (
                f"{', '.join(staying)}: not drained, since its pods have no other node to move to; they keep running "
                "while k3s restarts"
            )
        for climber in self.working:
            if climber.kube_node.unschedulable:
                yield f"{climber.machine.name} is cordoned, probably by an interrupted upgrade: it is uncordoned"

    def _drains(self, climber: Climber) -> bool:
        return bool(self.schedulable - {climber.machine.name})

    def lanes(self, spec: ClusterSpec) -> tuple[Lane, ...]:
        """The lanes: releases, the snapshot, the server that the run goes through, and every machine."""
        fetches = self._fetches()
        lanes = [Lane(name="k3s", steps=fetches)] if fetches else []
        saves = self.snapshot is not None and bool(fetches)  # to uncordon endangers no data
        if self.snapshot is not None and saves:
            upload, keep = upload_of(spec, asked=False), kept_on_demand(spec, upgrade=True)
            take = TakeSnapshot(machine=self.access.name, name=self.snapshot, upload=upload, keep=keep)
            step = LaneStep(step=take, needs=(API_REACHABLE,), opens=(SNAPSHOT_TAKEN,))
            lanes.append(Lane(name="snapshot", steps=(step,)))
        steps = self._steps(self._starts(fetches, saves=saves))
        through = init_step(spec, self.access)
        for climber in self.climbers:
            name = climber.machine.name
            first = LaneStep(step=AwaitGuest(machine=name), opens=(met(name),))
            if name == self.access.name:
                lanes.append(Lane(name=name, steps=(first, through, *steps.get(name, ()))))
            elif name in steps:
                lanes.append(Lane(name=name, steps=(first, *steps[name])))
        return tuple(lanes)

    def _fetches(self) -> tuple[LaneStep, ...]:
        wanted = {
            (rung.version, climber.arch)
            for climber in self.working
            for rung in self.turns_of(climber)
            if self._upgrades(climber, rung)
        }
        return tuple(
            LaneStep(step=FetchK3s(version=str(version), arch=arch), opens=(fetched(str(version), arch),))
            for version, arch in sorted(wanted)
        )

    def _starts(self, fetches: Sequence[LaneStep], *, saves: bool) -> tuple[Gate, ...]:
        """What has to be so before the first machine is touched."""
        return (
            API_REACHABLE,
            *((SNAPSHOT_TAKEN,) if saves else ()),
            *(gate for fetch in fetches for gate in fetch.opens),
            *(met(climber.machine.name) for climber in self.working),
        )

    def _steps(self, starts: tuple[Gate, ...]) -> dict[MachineName, tuple[LaneStep, ...]]:
        """Each machine's steps on all rungs: servers one after another, then agents; then the next rung."""
        steps: dict[MachineName, tuple[LaneStep, ...]] = {}
        before = starts
        for rung in self.rungs:
            turns = [climber for climber in self.climbers if rung in self.turns_of(climber)]
            servers = [climber for climber in turns if climber.machine.role is Role.CONTROL_PLANE]
            agents = [climber for climber in turns if climber.machine.role is not Role.CONTROL_PLANE]
            needs = before
            for climber in servers:
                self._add(steps, climber, rung, needs)
                needs = (upgraded(climber.machine.name, rung.version),)
            for number, climber in enumerate(agents):
                ahead = agents[number - self.at_once] if number >= self.at_once else None
                waits = needs if ahead is None else (upgraded(ahead.machine.name, rung.version),)
                self._add(steps, climber, rung, waits)
            if turns:
                before = tuple(upgraded(climber.machine.name, rung.version) for climber in turns)
        return steps

    def _add(
        self,
        steps: dict[MachineName, tuple[LaneStep, ...]],
        climber: Climber,
        rung: Rung,
        needs: tuple[Gate, ...],
    ) -> None:
        name = climber.machine.name
        turn = [LaneStep(step=step) for step in self._turn(climber, rung, first=name not in steps)]
        turn[0] = replace(turn[0], needs=needs)
        turn[-1] = replace(turn[-1], opens=(upgraded(name, rung.version),))
        steps[name] = (*steps.get(name, ()), *turn)

    def _turn(self, climber: Climber, rung: Rung, *, first: bool) -> tuple[Step, ...]:
        """What is done about a machine on a rung; `first`: it is as it was observed."""
        name, version = climber.machine.name, str(rung.version)
        drains = climber.version < rung.version and self._drains(climber)
        climbs: tuple[Step, ...] = ()
        if self._upgrades(climber, rung):
            climbs = (
                UpgradeK3s(machine=climber.machine, version=version),
                AwaitVersion(machine=name, version=version),
            )
        cordoned = drains or (first and climber.kube_node.unschedulable)
        return (
            *((self.rules.step(name),) if drains else ()),
            *climbs,
            *((Uncordon(machine=name),) if cordoned else ()),
        )

    def _upgrades(self, climber: Climber, rung: Rung) -> bool:
        return climber.version < rung.version or not climber.kube_node.ready
