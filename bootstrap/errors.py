"""Every error the library raises, as a user reads it.

    HomelabError                    1
    ├── UsageError                  2    the command line contradicts itself
    ├── InventoryError              3    the inventory is wrong; carries every problem at once
    ├── PreflightError              4    a check failed before anything was touched
    │   └── CapacityError           4    it does not fit; carries the arithmetic
    ├── HypervisorError             1    Proxmox VE refused or failed
    │   ├── TransientError          1    ... in a way that may pass: the adapter retries it
    │   ├── AuthenticationError     4    the endpoint, the certificate or the token is wrong
    │   ├── PermissionDeniedError   1    the token lacks a privilege
    │   ├── VmNotFoundError         1
    │   ├── VmOutOfSightError       1    it may be on a Proxmox node that cannot be asked
    │   ├── VmidTakenError          1    another request was faster: take the next
    │   ├── TaskFailedError         1    a Proxmox task ended in anything but OK or WARNINGS
    │   ├── AgentNotConfiguredError 1    the VM's `agent` option is off: waiting does not help
    │   └── AgentNotRunningError    1    the guest agent does not answer (yet)
    ├── GuestError                  1    a machine answered, but not as it should
    │   ├── SshUnreachableError     1    no SSH (yet): waiting may help
    │   │   └── KeyRefusedError     1    sshd refuses our key: helps only while cloud-init is at work
    │   ├── HostKeyError            1    the host key is not the expected one
    │   ├── GuestSetupError         1    the template or the inventory makes such machines: they stay so
    │   └── ScriptError             1    a guest script failed
    ├── KubernetesError             1
    │   └── KubeUnreachableError    1    the Kubernetes API does not answer (yet)
    ├── DrainError                  1    pods cannot leave a Kubernetes node; it is as schedulable as before
    ├── ArtifactError               4    a k3s release is not available, or its checksum is wrong
    │   └── ArtifactUnreachableError 4   ... since the server does not answer
    ├── UnreadableError             1    a text of others is not of the form that it must have: call, field, value
    │                                    (of Proxmox VE, Kubernetes and guests it is their error as well)
    ├── NotOursError                1    ownership was checked and denied; nothing was done
    ├── ClusterBusyError            1    another run is in progress; nothing was changed
    ├── DeadlineError               1    a wait ran out of time
    ├── RunFailedError              1    some lanes of a run failed; carries each one's error
    └── InterruptedRunError       130    Ctrl-C

The numbers are the process's exit codes; in the middle of a run, where 4 (nothing was touched) would be wrong, a failed
lane's is 1. Third-party exceptions are converted once, in the adapter.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from bootstrap.advice import Advice, joined

MOST_LINES = 10
"""Lines of a list in an error: nobody reads hundreds, and the log of the run has them all."""

MOST_CAUSES = 5
"""Different failures that the error of a whole run shows."""

_NUMBER = re.compile(r"\d+")
_HEAD, _TAIL, _LINE = 200, 200, 4000
_TEXTS = ("brief", "details", "resolution")
"""Of an error's details so many lines at the beginning and at the end, of so many characters each, are kept."""
_AS_LINES = 1 << 22
"""A text of more characters is not taken apart into lines: there may be millions."""


def few_lines(lines: Sequence[str]) -> Advice:
    """The lines as one text; of more than `MOST_LINES` the first ones and `... and N more`."""
    left = len(lines) - MOST_LINES
    return joined("\n", [*lines[:MOST_LINES], f"... and {left} more"] if left > 0 else lines)


def some_of(names: Sequence[object], most: int) -> str:
    """Names joined by commas; of more than `most` the first ones `and N more`."""
    left = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {left} more" if left > 0 else "")


def head_and_tail(text: str, *, head: int = 10, tail: int = 40, line: int = 500) -> str:
    """The beginning and the end of a text of others, with a word on what is left out between.

    Args:
        text: Of any length; a machine that is not trusted may print without end.
        head: Lines kept at the beginning.
        tail: Lines kept at the end.
        line: Characters kept of each line, most of them at its beginning.
    """
    text = text.strip()
    if len(text) > _AS_LINES:
        ends = (head + tail) * line
        first, last = text[:ends].splitlines()[:head], text[-ends:].splitlines()[-tail:]
        left = len(text) - sum(map(len, (*first, *last)))
        lines = [*first, f"... {left} characters left out ...", *last]
    else:
        lines = text.splitlines()
        left = len(lines) - head - tail
        if left > 0:
            lines = [*lines[:head], f"... {left} lines left out ...", *lines[-tail:]]
    return "\n".join(_short_line(each, line) for each in lines)


def _short_line(text: str, most: int) -> str:
    end = most // 5
    left = len(text) - most
    return text if left <= 0 else f"{text[: most - end]} ... {left} characters left out ... {text[-end:]}"


def is_full(error: OSError) -> bool:
    """Whether a file could not be written for want of room: a full disk, a quota, or a limit of the shell's."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class HomelabError(Exception):
    """What failed, what the other side said, and what to do next.

    Attributes:
        brief: One line: what failed and on which machine.
        details: What the other side said, verbatim; may have several lines; empty where it said nothing. Of
            more than some hundred lines the beginning and the end.
        resolution: What the user does next; empty where nothing is known to help.
        again_helps: Whether the same command may succeed with nothing changed in between, so that "again continues"
            is advice; where not, something has to be changed first. A type says it, and an adapter that knows better.
    """

    exit_code: ClassVar[int] = 1
    again_helps: bool = True

    def __init__(self, brief: str, *, details: str = "", resolution: str = "") -> None:
        brief = _short_line(brief, _LINE)
        super().__init__(brief)
        self.brief = brief
        self.details = head_and_tail(details, head=_HEAD, tail=_TAIL, line=_LINE)
        self.resolution = resolution if isinstance(resolution, Advice) else resolution.strip()

    def with_texts(self, change: Callable[[str], str], *, of: Sequence[str] = _TEXTS) -> Self:
        """A copy to be shown, with other texts. Whoever holds this error, to make advice of it, still has its own."""
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update((name, change(getattr(self, name))) for name in of)
        return copy

    def brief_of(self, lane: str) -> str:
        """The brief, which names the lane."""
        return self.brief if lane in self.brief else f"{lane}: {self.brief}"

    def __str__(self) -> str:
        """The brief and, after a colon, the first line of the details."""
        first = self.details.splitlines()[0] if self.details else ""
        return Advice("{}: {}", self.brief, first) if first else self.brief


class UsageError(HomelabError):
    """The command line asks for something that cannot be meant."""

    exit_code = 2
    again_helps = False


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake in an inventory.

    Attributes:
        path: Where, as keys joined by dots and indexes in brackets: `control_plane.cores`, `network.dns[1]`.
        line: Line number in the file from 1, or None when the value came from elsewhere (environment, flag).
        message: What is wrong, with the value found (never a secret's).
        hint: What would be right.
    """

    path: str
    line: int | None
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """As one line of text."""
        where = f"line {self.line}: " if self.line else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.path}: {self.message}{hint}" if self.path else f"{where}{self.message}{hint}"


class InventoryError(HomelabError):
    """The inventory is wrong; all its problems at once."""

    exit_code = 3
    again_helps = False

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__(
            f"{source}: {count}",
            details="\n".join(str(problem) for problem in problems),
            resolution=Advice("fix the inventory and run the command again; `homelab-k8s schema` prints all keys"),
        )
        self.source = source
        self.problems = problems


class PreflightError(HomelabError):
    """A check failed before anything was touched."""

    exit_code = 4
    again_helps = False


class CapacityError(PreflightError):
    """The machines do not fit; `details` has the arithmetic per Proxmox node."""


class HypervisorError(HomelabError):
    """Proxmox VE refused a request or failed at it."""


class TransientError(HypervisorError):
    """A failure that may pass by itself: connection lost, 595/596, lock timeouts, a proxy that restarts."""


class AuthenticationError(HypervisorError):
    """The endpoint cannot be talked to as it is configured: address, certificate, token."""

    exit_code = 4
    again_helps = False


class PermissionDeniedError(HypervisorError):
    """The token lacks a privilege."""

    again_helps = False


class VmNotFoundError(HypervisorError):
    """There is no VM of that vmid, on any Proxmox node."""


class VmOutOfSightError(HypervisorError):
    """A VM is not where it was, and may be on a Proxmox node that cannot be asked: it must not be taken for gone."""


class VmidTakenError(HypervisorError):
    """A VM of that vmid exists already."""


class TaskFailedError(HypervisorError):
    """A Proxmox task ended in an error; `details` has the end of its log."""

    def __init__(self, brief: str, *, exit_status: str, details: str = "", resolution: str = "") -> None:
        super().__init__(brief, details=details or exit_status, resolution=resolution)
        self.exit_status = exit_status


class AgentNotConfiguredError(HypervisorError):
    """The VM has no guest agent configured: no waiting will help."""

    again_helps = False


class AgentForbidsError(HypervisorError):
    """The guest agent's own settings do not allow the command: no waiting will help."""


class AgentNotRunningError(HypervisorError):
    """The guest agent does not answer; while a machine boots this is normal."""


class GuestError(HomelabError):
    """A machine was reached, but is not as it should be."""


class SshUnreachableError(GuestError):
    """SSH is refused, times out or is reset; while a machine boots this is normal."""


class KeyRefusedError(SshUnreachableError):
    """The machine refuses our SSH key; until cloud-init has put it there this is normal."""


class HostKeyError(GuestError):
    """The SSH host key is not the one that Proxmox VE reported, or that was seen the first time."""

    again_helps = False


class GuestSetupError(GuestError):
    """A machine is as its template, the inventory or our key makes it, and that is wrong: it stays so."""

    again_helps = False


class LeftAloneError(GuestError):
    """Nothing was done on a machine, since another one failed: the runner skips it and counts no failure."""


class ScriptError(GuestError):
    """A guest script ended with a status other than 0."""

    def __init__(self, brief: str, *, status: int, details: str = "", resolution: str = "") -> None:
        super().__init__(brief, details=details, resolution=resolution)
        self.status = status


class KubernetesError(HomelabError):
    """The Kubernetes API refused a request."""


class KubeUnreachableError(KubernetesError):
    """The Kubernetes API does not answer."""


class DrainError(HomelabError):
    """Pods cannot leave a Kubernetes node, which is as schedulable as before; `details` names them and why."""


class ArtifactError(HomelabError):
    """A k3s binary is not available, or is not the one its checksum list names."""

    exit_code = 4
    again_helps = False


class ArtifactUnreachableError(ArtifactError):
    """The server that has a release does not answer, or its answer broke off."""

    again_helps = True


class UnreadableError(HomelabError):
    """An answer, a record or a file is not of the form that it must have; `details` has the field and what it holds."""

    again_helps = False


class UnreadableAnswerError(UnreadableError, HypervisorError):
    """An answer of Proxmox VE that it does not give by its documentation."""


class UnreadableObjectError(UnreadableError, KubernetesError):
    """An answer of the Kubernetes API that is no such object."""


class UnreadableGuestError(UnreadableError, GuestError):
    """What a machine or its guest agent answered is not of the form of our scripts and of QEMU's agent."""


class NotOursError(HomelabError):
    """A VM does not carry our tag and our record: it is left alone."""

    again_helps = False


class ClusterBusyError(HomelabError):
    """Another run is in progress; nothing was changed."""


class DeadlineError(HomelabError):
    """A wait ran out of time; `details` has the last problem seen."""


class RunFailedError(HomelabError):
    """Lanes of a run failed; the others finished.

    Attributes:
        failures: Each failed lane's name with its error, in plan order.
    """

    def __init__(self, brief: str, failures: tuple[tuple[str, HomelabError], ...], *, resolution: str = "") -> None:
        super().__init__(brief, details=_causes(failures), resolution=resolution)
        self.failures = failures
        self.exit_code = failures[0][1].exit_code if len(failures) == 1 else 1  # type: ignore[misc]
        self.again_helps = any(error.again_helps for _, error in failures)

    @property
    def full_details(self) -> str:
        """All that is known of every failed lane; of hundreds of lanes this is for the log."""
        return "\n".join(
            "\n".join([error.brief_of(lane), *(f"  {line}" for line in error.details.splitlines())])
            for lane, error in self.failures
        )


def _causes(failures: Sequence[tuple[str, HomelabError]]) -> str:
    """What failed on which lanes and why; lanes with the same failure are one entry, of which there are a few.

    As in:

        demo-workers-1, demo-workers-2 and 38 more: cannot clone template 9000 to VM 7001 (demo-workers-1) on pve1
          qemu-img: error while writing: No space left on device
    """
    groups: dict[tuple[str, str], list[tuple[str, HomelabError]]] = {}
    for lane, error in failures:
        first = error.details.splitlines()[0] if error.details else ""
        alike = tuple(_NUMBER.sub("#", text.replace(lane, "")) for text in (error.brief, first))
        groups.setdefault((alike[0], alike[1]), []).append((lane, error))
    lines: list[str] = []
    for same in list(groups.values())[:MOST_CAUSES]:
        lane, error = same[0]
        names = some_of([name for name, _ in same], 2)
        lines.append(f"{names}: {error.brief.removeprefix(f'{lane}: ')}")
        lines += [f"  {line}" for line in error.details.splitlines()[:1]]
    if len(groups) > MOST_CAUSES:
        rest = sum(len(same) for same in list(groups.values())[MOST_CAUSES:])
        lines.append(f"... and {rest} more, see the log")
    return "\n".join(lines)


class InterruptedRunError(HomelabError):
    """Ctrl-C: running steps ended cleanly, the rest was not started.

    `details` may say where each lane stands, a line each; it is cut as `few_lines` does.
    """

    exit_code = 130

    def __init__(self, brief: str, *, details: str = "", resolution: str = "") -> None:
        super().__init__(brief, details=few_lines(details.splitlines()), resolution=resolution)
