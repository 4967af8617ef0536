"""The lanes of an upgrade: who waits for whom while machines go from one release to the next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.k3s.versions import K3sVersion, Rung
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName
from bootstrap.model.machine import MachineSpec, Role
from bootstrap.model.observed import KubeNode
from bootstrap.planning.day2_steps import AwaitVersion, TakeSnapshot, Uncordon, UpgradeK3s
from bootstrap.planning.plan import Gate, Lane, LaneStep
from bootstrap.planning.provision.decommission import DrainRules
from bootstrap.planning.provision.joining import API_REACHABLE, fetch_step, init_step, met, met_step
from bootstrap.planning.settings.snapshot_retention import kept_on_demand, upload_of
from bootstrap.planning.steps import Step

SNAPSHOT_TAKEN = Gate("snapshot_taken")


def upgraded(name: MachineName, version: K3sVersion) -> Gate:
    """Open once a machine is Ready with a version, and pods may be scheduled to it."""
    return Gate("upgraded", f"{name}/{version}")


@dataclass(frozen=True, kw_only=True)
class UpgradeCandidate:
    """A machine that is to be upgraded; `arch` is amd64 or arm64."""

    machine: MachineSpec
    arch: str
    kube_node: KubeNode
    version: K3sVersion

    @property
    def name(self) -> MachineName:
        """The machine's."""
        return self.machine.name

    @property
    def is_server(self) -> bool:
        """Whether it is one of the control plane."""
        return self.machine.role is Role.CONTROL_PLANE


def interrupted(candidate: UpgradeCandidate, lowest: K3sVersion) -> bool:
    """Whether an upgrade was killed in the middle of it: such a machine may be not Ready and is done first."""
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
        """The releases on which something is done about a machine."""
        unfinished = candidate.kube_node.unschedulable or not candidate.kube_node.ready
        return tuple(
            rung
            for rung in self.rungs
            if candidate.version < rung.version or (candidate.version == rung.version and unfinished)
        )

    @property
    def working(self) -> tuple[UpgradeCandidate, ...]:
        """The machines that something is done about."""
        return tuple(candidate for candidate in self.candidates if self.turns_of(candidate))

    @property
    def at_once(self) -> int:
        """How many agents at a time, so that pods always have somewhere to go."""
        return max(1, min(self.max_unavailable, len(self.schedulable) - 1))

    def notes(self) -> Iterator[str]:
        """What the user should know."""
        if self.snapshot is None:
            yield "no snapshot is taken: there will be no way back to the current data"
        if self.at_once < self.max_unavailable:
            yield (
                f"{self.at_once} instead of {self.max_unavailable} workers at a time, so that pods have nodes to "
                "move to"
            )
        elif self.at_once > 1:
            yield f"{self.at_once} workers at a time; servers one at a time"
        staying = [candidate.name for candidate in self.working if not self._drains(candidate)]
        if staying:
            yield (
                f"{', '.join(staying)}: not drained, since its pods have no other node to move to; they keep running "
                "while k3s restarts"
            )
        for candidate in self.working:
            if candidate.kube_node.unschedulable:
                yield f"{candidate.name} is cordoned, probably by an interrupted upgrade: it is uncordoned"

    def _drains(self, candidate: UpgradeCandidate) -> bool:
        return bool(self.schedulable - {candidate.name})

    def lanes(self, spec: ClusterSpec) -> tuple[Lane, ...]:
        """The lanes: releases, the snapshot, the server that the run goes through, and every machine."""
        fetches = self._fetches()
        lanes = [Lane.of("k3s", *fetches)] if fetches else []
        saves = self.snapshot is not None and bool(fetches)  # uncordoning endangers no data
        if self.snapshot is not None and saves:
            upload, keep = upload_of(spec, asked=False), kept_on_demand(spec, upgrade=True)
            take = TakeSnapshot(machine=self.access.name, name=self.snapshot, upload=upload, keep=keep)
            lanes.append(Lane.of("snapshot", LaneStep(step=take, needs=(API_REACHABLE,), opens=(SNAPSHOT_TAKEN,))))
        steps = self._steps(self._starts(fetches, saves=saves))
        for name in (candidate.name for candidate in self.candidates):
            through = (init_step(spec, self.access, serves=True),) if name == self.access.name else ()
            if through or steps[name]:
                lanes.append(Lane.of(name, met_step(name), *through, *steps[name]))
        return tuple(lanes)

    def _fetches(self) -> tuple[LaneStep, ...]:
        wanted = {
            (rung.version, candidate.arch)
            for candidate in self.working
            for rung in self.turns_of(candidate)
            if self._upgrades(candidate, rung)
        }
        return tuple(fetch_step(str(version), arch) for version, arch in sorted(wanted))

    def _starts(self, fetches: Sequence[LaneStep], *, saves: bool) -> tuple[Gate, ...]:
        """Gates before the first machine."""
        return (
            API_REACHABLE,
            *((SNAPSHOT_TAKEN,) if saves else ()),
            *(gate for fetch in fetches for gate in fetch.opens),
            *(met(candidate.name) for candidate in self.working),
        )

    def _steps(self, starts: tuple[Gate, ...]) -> Mapping[MachineName, Sequence[LaneStep]]:
        """Each machine's steps on all releases: servers one after another, then agents; then the next release."""
        steps: dict[MachineName, list[LaneStep]] = {candidate.name: [] for candidate in self.candidates}
        before = starts
        for rung in self.rungs:
            turns = [candidate for candidate in self.candidates if rung in self.turns_of(candidate)]
            for candidate, needs in self._waits(turns, rung, before):
                steps[candidate.name] += self._turn(candidate, rung, needs, first=not steps[candidate.name])
            before = tuple(upgraded(candidate.name, rung.version) for candidate in turns) or before
        return steps

    def _waits(
        self, turns: Sequence[UpgradeCandidate], rung: Rung, before: tuple[Gate, ...]
    ) -> Iterator[tuple[UpgradeCandidate, tuple[Gate, ...]]]:
        """The machines that have a turn on a release, each with what it waits for."""
        agents: list[tuple[Gate, ...]] = []
        for candidate in turns:
            gate = (upgraded(candidate.name, rung.version),)
            if candidate.is_server:
                yield candidate, before
                before = gate
            else:
                yield candidate, before if len(agents) < self.at_once else agents[-self.at_once]
                agents.append(gate)

    def _turn(self, candidate: UpgradeCandidate, rung: Rung, needs: tuple[Gate, ...], *, first: bool) -> list[LaneStep]:
        """What is done about a machine on a release; `first`: it is as it was observed."""
        name, version = candidate.name, str(rung.version)
        steps: list[Step] = []
        drains = candidate.version < rung.version and self._drains(candidate)
        if drains:
            steps.append(self.rules.step(name))
        if self._upgrades(candidate, rung):
            steps.append(UpgradeK3s(machine=candidate.machine, version=version))
            steps.append(AwaitVersion(machine=name, version=version))
        if drains or (first and candidate.kube_node.unschedulable):
            steps.append(Uncordon(machine=name))
        turn = [LaneStep(step=step) for step in steps]
        turn[0] = replace(turn[0], needs=needs)
        turn[-1] = replace(turn[-1], opens=(upgraded(name, rung.version),))
        return turn

    def _upgrades(self, candidate: UpgradeCandidate, rung: Rung) -> bool:
        return candidate.version < rung.version or not candidate.kube_node.ready
