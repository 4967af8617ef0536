"""Finds out from k3s's own lines why its unit does not come up. Pure.

The words are those of a real k3s v1.36.3 (each failure made to happen), of v1.21 and of the sources up to July 2026.
Nothing that belongs to a good start is a cause: those have dozens of lines at level=error and klog's E.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bootstrap.k3s.diagnosis.causes import CAUSES, Cause
from bootstrap.k3s.diagnosis.lines import Entry, Severity, parse_entries

EVIDENCE = 3
"""Lines that are shown at the most."""
_LINE = 500
"""Characters of such a line that are shown: an event's can be of thousands."""
_HEADLINE = 160
_LAST = 5
_MARK = re.compile(r"-- run (\S+) (ended|goes on)")
# From here on it has its configuration: what kept it from getting that is past.
_JOINED = re.compile(r"^Running kubelet ")
_SHUTDOWN = re.compile(r'^Shutdown request received: "?(.*?)"?$')
_OF_GOOD_STARTS = re.compile(
    # What good starts and orderly ends write at level=error and as klog's E.
    r"^Sending HTTP/\S+ 503 response|^Failed to set sysctl|Failed to check local etcd status|Remotedialer"
    r"|Empty dialer response|context canceled|connection refused|connection reset|rlimit on max file handles"
    r"|exiting analyzeLines|oom score|not registered yet|Unhandled Error|UnhandledError|manifest file is empty"
    r"|no endpoints available|nodePortAddresses|garbage collection failed once|checkpoint is not found|not found"
    r"|eviction manager|Skipping pod synchronization|Error syncing pod|CreatePodSandbox|RunPodSandbox|sandbox for pod"
    r"|Post-timeout activity|Timeout or abort while handling|stale data|lease|Unable to write event"
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One start of a unit, until it ended if it did.

    Attributes:
        id: systemd's InvocationID.
        lines: What k3s wrote, the last several hundred lines.
    """

    id: str
    lines: tuple[str, ...]
    ended: bool


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a run's lines say.

    Attributes:
        evidence: The lines that say so, as k3s wrote them.
        times: How many lines of the run say so.
    """

    cause: Cause
    evidence: tuple[str, ...]
    times: int = 1


def parse_runs(text: str) -> tuple[Run, ...]:
    """What `journal.sh` printed, the oldest run first; lines without a run's mark are the present one's."""
    runs: list[Run] = []
    lines: list[str] = []
    head = ("", False)
    for line in text.splitlines():
        mark = _MARK.fullmatch(line)
        if mark is None:
            lines.append(line)
            continue
        if lines:
            runs.append(Run(id=head[0], lines=tuple(lines), ended=head[1]))
        head, lines = (mark[1], mark[2] == "ended"), []
    if lines:
        runs.append(Run(id=head[0], lines=tuple(lines), ended=head[1]))
    return tuple(runs)


def diagnose(lines: Iterable[str], *, ended: bool = False) -> Diagnosis | None:
    """Why a run does not come up, or why it ended; None where its lines do not say.

    Args:
        lines: Of one run, other programs' among them or not.
        ended: Whether it has ended: then there is a reason, and one that is not known is quoted.
    """
    entries = parse_entries(lines)
    return _of_end(entries) if ended else _known(entries)


def last_words(runs: Sequence[Run]) -> tuple[str, ...]:
    """What is shown where no cause is known: the newest lines that are bad news, else the newest of all."""
    entries = [entry for run in runs for entry in parse_entries(run.lines)]
    bad = [each for each in entries if each.severity >= Severity.WARNING and not _OF_GOOD_STARTS.search(each.text)]
    return _evidence(bad or entries)


def _of_end(entries: Sequence[Entry]) -> Diagnosis | None:
    severe = [entry for entry in entries if entry.severity >= Severity.ERROR]
    words = [entry for entry in severe if entry.severity is Severity.FATAL or _SHUTDOWN.match(entry.text)]
    if words:
        # Its own last words count for more than what it came over before, such as a server that was away at first.
        return _known(words[-1:]) or _known(severe) or _unknown(words)
    return _known(entries) or _of_kubelet(entries)


def _of_kubelet(entries: Sequence[Entry]) -> Diagnosis | None:
    """The kubelet ends the whole process right after its error."""
    last = [each for each in entries[-_LAST:] if each.severity >= Severity.ERROR]
    bad = [each for each in last if not _OF_GOOD_STARTS.search(each.text)]
    return _unknown(bad) if bad else None


def _known(entries: Sequence[Entry]) -> Diagnosis | None:
    """The cause that the newest entry with a cause names."""
    telling: list[Entry] = []
    cause: Cause | None = None
    for entry in reversed(entries):
        if _JOINED.match(entry.text):
            break
        found = _cause_of(entry)
        if found is not None and cause in (None, found):
            cause = found
            telling.append(entry)
    if cause is None:
        return None
    return Diagnosis(cause=cause, evidence=_evidence(reversed(telling)), times=len(telling))


def _cause_of(entry: Entry) -> Cause | None:
    return next((cause for pattern, cause in CAUSES if pattern.search(entry.text)), None)


def _unknown(ends: Sequence[Entry]) -> Diagnosis:
    said = _SHUTDOWN.sub(r"\1", ends[-1].text).removeprefix("Error: ")
    brief = said if len(said) <= _HEADLINE else f"{said[:_HEADLINE]}..."
    return Diagnosis(cause=Cause.unknown(brief), evidence=_evidence(ends))


def _evidence(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The newest of them, of several that say the same one."""
    newest = {entry.text: entry for entry in entries}
    return tuple(_cut(entry.raw) for entry in newest.values())[-EVIDENCE:]


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[:_LINE]}..."
