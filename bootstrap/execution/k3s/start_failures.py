"""Why a unit that is being started does not come up, judged over all looks at its journal."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.k3s.diagnosis.causes import SAME_ENDS, Cause
from bootstrap.k3s.diagnosis.unit import Diagnosis, Run, diagnose, last_words

RECURS = 2
"""How often the present run says the same until it is believed: a node password is refused once after a name was
used again, and k3s's next try succeeds."""

_OUT_OF_MEMORY = Cause(
    brief="the kernel killed k3s: the machine is out of memory",
    resolution="give the pool more memory in the inventory, then `homelab-k8s replace NAME`",
    final=True,
    ends=SAME_ENDS,
)


class StartFailures:
    """What the runs of one start have shown so far.

    A run that ended is judged once, the present one at each look. A cause that no waiting changes settles the
    matter when it recurs, so that no timeout has to run out; another one is reported and waited for.

    Args:
        stands_s: For how long the present run has to say the same, besides saying it again.
    """

    def __init__(self, *, stands_s: float) -> None:
        self._stands_s = stands_s
        self._judged: set[str] = set()
        self._end: Diagnosis | None = None
        self._same_ends = 0
        self._now: Diagnosis | None = None
        self._since_s = 0.0
        self._runs: tuple[Run, ...] = ()

    def hear(self, runs: Sequence[Run], *, now_s: float, result: str) -> None:
        """Take a look's runs in.

        Args:
            runs: The last ones, the oldest first.
            now_s: The time of the look, in the clock's seconds.
            result: systemd's word for how the unit ended last, such as `exit-code` or `oom-kill`.
        """
        self._runs = tuple(runs)
        for run in runs:
            if run.ended and run.id not in self._judged:
                self._judged.add(run.id)
                self._count(diagnose(run.lines, ended=True) or _wordless(result))
        current = next((run for run in reversed(runs) if not run.ended), None)
        self._hear_now(diagnose(current.lines) if current else None, now_s)
        self._settle(now_s)

    settled: Diagnosis | None = None
    """The cause that no waiting changes, once there is one."""

    @property
    def found(self) -> Diagnosis | None:
        """The cause as far as it is known: of the present run, else of the last end."""
        return self.settled or self._now or self._end

    @property
    def said(self) -> str:
        """In a few words, empty where nothing is known."""
        found = self.found
        if found is None:
            return ""
        often = f" ({self._same_ends} times)" if found is self._end and self._same_ends > 1 else ""
        return found.cause.brief + often

    @property
    def evidence(self) -> str:
        """The lines that name the cause; where none is known, the last ones that are bad news."""
        found = self.found
        return "\n".join((found.evidence if found else ()) or last_words(self._runs))

    def _hear_now(self, now: Diagnosis | None, now_s: float) -> None:
        """Take in what the present run says; another cause than before begins to stand now."""
        if now is None or self._now is None or now.cause != self._now.cause:
            self._since_s = now_s
        self._now = now

    def _count(self, end: Diagnosis) -> None:
        again = self._end is not None and end.cause.same_as(self._end.cause)
        self._same_ends = self._same_ends + 1 if again else 1
        self._end = end

    def _settle(self, now_s: float) -> None:
        now, end = self._now, self._end
        if now is not None:
            stands = now.times >= RECURS and now_s - self._since_s >= self._stands_s
            self.settled = now if now.cause.final and stands else None
        elif end is not None and end.cause.ends is not None and self._same_ends >= end.cause.ends:
            self.settled = end


def _wordless(result: str) -> Diagnosis:
    if result == "oom-kill":
        return Diagnosis(cause=_OUT_OF_MEMORY, evidence=())
    word = f" (systemd says: {result})" if result not in ("", "unknown", "success") else ""
    return Diagnosis(cause=Cause.unknown(f"no reason in the journal{word}"), evidence=())
