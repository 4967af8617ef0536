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
class UpgradeCandidate:
    """A machine that is to be upgraded; `arch` is amd64 or arm64."""

    machine: MachineSpec
    arch: str
    kube_node: KubeNode
    version: K3sVersion


def interrupted(candidate: UpgradeCandidate, lowest: K3sVersion) -> bool:
    """Whether an upgrade that was killed left it half-way: such a machine may be not Ready and is done first."""
    return candidate.kube_node.unschedulable or candidate.version > lowest


@dataclass(frozen=True, kw_only=True)
class UpgradeRollout:
    """A whole upgrade.

    Attributes:
        candidates: In their order: servers first.
        rungs: The releases, each reached by all before the next.
        access: The server that the run goes through.
        schedulable: Nodes that pods can go to.
        max_unavailable: How many agents at a time.
        snapshot: What the snapshot is called, or None for none.
        rules: How machines are drained.
    """

    candidates: tuple[UpgradeCandidate, ...]
    rungs: tuple[Rung, ...]
    access: MachineSpec
    schedulable: frozenset[MachineName]
    max_unavailable: int
    snapshot: str | None
    rules: DrainRules

    def turns_of(self, candidate: UpgradeCandidate) -> tuple[Rung, ...]:
        """The rungs on which something is to be done about a machine."""
        unfinished = candidate.kube_node.unschedulable or not candidate.kube_node.ready
        return tuple(
            rung
            for rung in self.rungs
            if candidate.version < rung.version or (candidate.version == rung.version and unfinished)
        )

    @property
    def working(self) -> tuple[UpgradeCandidate, ...]:
        """The machines that something is to be done about."""
        return tuple(candidate for candidate in self.candidates if self.turns_of(candidate))

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
        staying = [candidate.machine.name for candidate in self.working if not self._drains(candidate)]
        if staying:
            yield (
                f"{', '.join(staying)}: not drained, since its pods have no other node to move to; they keep running "
                "while k3s restarts"
            )
        for candidate in self.working:
            if candidate.kube_node.unschedulable:
                yield f"{candidate.machine.name} is cordoned, probably by an interrupted upgrade: it is uncordoned"

    def _drains(self, candidate: UpgradeCandidate) -> bool:
        return bool(self.schedulable - {candidate.machine.name})

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
        for candidate in self.candidates:
            name = candidate.machine.name
            first = LaneStep(step=AwaitGuest(machine=name), opens=(met(name),))
            if name == self.access.name:
                lanes.append(Lane(name=name, steps=(first, through, *steps.get(name, ()))))
            elif name in steps:
                lanes.append(Lane(name=name, steps=(first, *steps[name])))
        return tuple(lanes)

    def _fetches(self) -> tuple[LaneStep, ...]:
        wanted = {
            (rung.version, candidate.arch)
            for candidate in self.working
            for rung in self.turns_of(candidate)
            if self._upgrades(candidate, rung)
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
            *(met(candidate.machine.name) for candidate in self.working),
        )

    def _steps(self, starts: tuple[Gate, ...]) -> dict[MachineName, tuple[LaneStep, ...]]:
        """Each machine's steps on all rungs: servers one after another, then agents; then the next rung."""
        steps: dict[MachineName, tuple[LaneStep, ...]] = {}
        before = starts
        for rung in self.rungs:
            turns = [candidate for candidate in self.candidates if rung in self.turns_of(candidate)]
            servers = [candidate for candidate in turns if candidate.machine.role is Role.CONTROL_PLANE]
            agents = [candidate for candidate in turns if candidate.machine.role is not Role.CONTROL_PLANE]
            needs = before
            for candidate in servers:
                self._add(steps, candidate, rung, needs)
                needs = (upgraded(candidate.machine.name, rung.version),)
            for number, candidate in enumerate(agents):
                ahead = agents[number - self.at_once] if number >= self.at_once else None
                waits = needs if ahead is None else (upgraded(ahead.machine.name, rung.version),)
                self._add(steps, candidate, rung, waits)
            if turns:
                before = tuple(upgraded(candidate.machine.name, rung.version) for candidate in turns)
        return steps

    def _add(
        self,
        steps: dict[MachineName, tuple[LaneStep, ...]],
        candidate: UpgradeCandidate,
        rung: Rung,
        needs: tuple[Gate, ...],
    ) -> None:
        name = candidate.machine.name
        turn = [LaneStep(step=step) for step in self._turn(candidate, rung, first=name not in steps)]
        turn[0] = replace(turn[0], needs=needs)
        turn[-1] = replace(turn[-1], opens=(upgraded(name, rung.version),))
        steps[name] = (*steps.get(name, ()), *turn)

    def _turn(self, candidate: UpgradeCandidate, rung: Rung, *, first: bool) -> tuple[Step, ...]:
        """What is done about a machine on a rung; `first`: it is as it was observed."""
        name, version = candidate.machine.name, str(rung.version)
        drains = candidate.version < rung.version and self._drains(candidate)
        climbs: tuple[Step, ...] = ()
        if self._upgrades(candidate, rung):
            climbs = (
                UpgradeK3s(machine=candidate.machine, version=version),
                AwaitVersion(machine=name, version=version),
            )
        cordoned = drains or (first and candidate.kube_node.unschedulable)
        return (
            *((self.rules.step(name),) if drains else ()),
            *climbs,
            *((Uncordon(machine=name),) if cordoned else ()),
        )

    def _upgrades(self, candidate: UpgradeCandidate, rung: Rung) -> bool:
        return candidate.version < rung.version or not candidate.kube_node.ready
