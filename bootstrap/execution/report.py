"""How a run went: each lane's end, and where the time was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bootstrap.advice import PROGRAM, Advice, joined
from bootstrap.errors import HomelabError, InterruptedRunError, RunFailedError, some_of
from bootstrap.events import LaneStatus
from bootstrap.model.ids import ClusterName

MOST_NAMES = 5
"""Lanes that a brief names."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step that was run; times in seconds since the run began."""

    lane: str
    phase: str
    title: str
    began_s: float
    ended_s: float
    changed: bool


@dataclass(frozen=True, kw_only=True)
class LaneOutcome:
    """A lane's end.

    Attributes:
        step: Title of the step that failed or would have been next; empty when done.
        error: Why it failed, or None.
        cause: Why it was skipped.
    """

    lane: str
    status: LaneStatus
    step: str = ""
    error: HomelabError | None = None
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run's end; `took_s` is wall time in seconds."""

    command: str
    cluster: ClusterName
    outcomes: tuple[LaneOutcome, ...]
    steps: tuple[StepRecord, ...]
    took_s: float
    interrupted: bool

    def after(self, earlier: Report, *, at_s: float) -> Report:
        """This run with one that went well before it, as one.

        Args:
            earlier: How that one went.
            at_s: When this one began, in seconds since that one did.
        """
        later = tuple(replace(step, began_s=step.began_s + at_s, ended_s=step.ended_s + at_s) for step in self.steps)
        return replace(
            self,
            command=earlier.command,
            outcomes=(*earlier.outcomes, *self.outcomes),
            steps=(*earlier.steps, *later),
            took_s=at_s + self.took_s,
        )

    @property
    def ended_well(self) -> bool:
        """Whether every lane was done."""
        return not self.interrupted and len(self.of(LaneStatus.DONE)) == len(self.outcomes)

    def of(self, status: LaneStatus) -> tuple[LaneOutcome, ...]:
        """The lanes that ended so."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is status)

    @property
    def phases(self) -> tuple[tuple[str, float], ...]:
        """Each phase with the wall time during which a step of it ran, in order of appearance."""
        took_s: dict[str, float] = {}
        until_s: dict[str, float] = {}
        for step in sorted(self.steps, key=lambda step: step.began_s):
            counted_s = until_s.get(step.phase, step.began_s)
            took_s[step.phase] = took_s.get(step.phase, 0.0) + max(0.0, step.ended_s - max(step.began_s, counted_s))
            until_s[step.phase] = max(counted_s, step.ended_s)
        return tuple(took_s.items())

    @property
    def longest_lane(self) -> tuple[str, float] | None:
        """The lane whose own steps took longest in all, waits for other lanes not counted, with that time."""
        busy: dict[str, float] = {}
        for step in self.steps:
            busy[step.lane] = busy.get(step.lane, 0.0) + step.ended_s - step.began_s
        return max(busy.items(), key=lambda item: item[1], default=None)

    def _standing(self, outcome: LaneOutcome) -> str:
        """Where a lane stands, in one line."""
        if outcome.status is LaneStatus.DONE:
            return f"{outcome.lane}: done"
        if outcome.error is not None:
            return f"{outcome.lane}: failed at `{outcome.step}`: {outcome.error.brief}"
        passed = [step.title for step in self.steps if step.lane == outcome.lane and step.title != outcome.step]
        return f"{outcome.lane}: " + (f"up to `{passed[-1]}`" if passed else "not started") + f", next `{outcome.step}`"

    def raise_failures(self) -> None:
        """Raise what went wrong, as one error.

        Raises:
            InterruptedRunError: The run was interrupted.
            RunFailedError: Lanes failed.
        """
        if self.interrupted:
            # What is not done comes first: of hundreds of lanes only the first ones are shown.
            raise InterruptedRunError(
                f"{self.command} of {self.cluster} was interrupted",
                details="\n".join(
                    self._standing(outcome)
                    for outcome in sorted(self.outcomes, key=lambda outcome: outcome.status is LaneStatus.DONE)
                ),
                resolution=_again(self.command),
            )
        failures = self._failures()
        if len(failures) == 1:
            raise _with_lane(*failures[0], self.command)
        if failures:
            names = some_of([lane for lane, _ in failures], MOST_NAMES)
            resolutions = [*_distinct(failures), _way_on(self.command, failures)]
            raise RunFailedError(
                f"{self.command} of {self.cluster} failed on {len(failures)} of {len(self.outcomes)} tasks: {names}",
                failures,
                resolution=joined("\n", resolutions),
            )

    def _failures(self) -> tuple[tuple[str, HomelabError], ...]:
        """Each failed lane with its error; one that was only interrupted has not failed."""
        return tuple(
            (outcome.lane, outcome.error)
            for outcome in self.of(LaneStatus.FAILED)
            if outcome.error is not None and not isinstance(outcome.error, InterruptedRunError)
        )


def _distinct(failures: Iterable[tuple[str, HomelabError]]) -> list[str]:
    """Each piece of advice once, whichever machine it names, at most three: ten machines often fail for one reason."""
    found: dict[str, str] = {}
    for lane, error in failures:
        found.setdefault(re.sub(rf"\b{re.escape(lane)}\b", "", error.resolution), error.resolution)
    return list(filter(None, found.values()))[:3]


def _again(command: str) -> Advice:
    return Advice("`homelab-k8s {}` again continues from here", command)


def _way_on(command: str, failures: Sequence[tuple[str, HomelabError]]) -> str:
    """What to type next; that it continues is promised only where nothing has to be changed before."""
    stuck = [lane for lane, error in failures if not error.again_helps]
    if not stuck:
        return _again(command)
    if len(stuck) == len(failures):
        return Advice("after fixing that: `homelab-k8s {}` again", command)
    on = some_of(stuck, MOST_NAMES)
    return Advice("{}, but {} fails again until its cause is fixed", _again(command), on)


def _with_lane(lane: str, error: HomelabError, command: str) -> HomelabError:
    """One failure is shown as itself, with its lane named and the way on."""
    # Some errors' code says that nothing was touched, which in the middle of a run is no longer true.
    error.exit_code = 1  # type: ignore[misc]
    error.brief = error.brief_of(lane)
    if re.search(rf"`{PROGRAM} {re.escape(command)}\b|run the command again", error.resolution):
        return error  # It says itself what to type, and that once is enough.
    if error.again_helps:
        way_on = _way_on(command, [(lane, error)])
        error.resolution = Advice("{}; then {}", error.resolution, way_on) if error.resolution else way_on
    else:
        first = error.resolution or "fix this first, or it fails again"
        error.resolution = Advice("{}; then `homelab-k8s {}` again", first, command)
    return error
