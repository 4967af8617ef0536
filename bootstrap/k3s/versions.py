"""k3s's versions: their order, and the ladder of releases that an upgrade climbs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bootstrap.advice import Advice
from bootstrap.errors import PreflightError

VERSION = re.compile(
    r"v(?P<major>\d{1,9})\.(?P<minor>\d{1,9})\.(?P<patch>\d{1,9})"
    r"(?P<label>-(?P<stage>alpha|beta|rc)(?:\.?(?P<number>\d{1,9}))?)?\+k3s(?P<k3s>\d{1,9})",
    re.ASCII,
)
"""Also pre-releases: k3s's are called `-rc1`, Kubernetes' own `-alpha.1`, `-beta.0`, `-rc.0`."""

_STAGES = ("alpha", "beta", "rc")
_RELEASED = len(_STAGES)
"""A release comes after all its pre-releases."""


@dataclass(frozen=True, order=True)
class Minor:
    """A minor version of Kubernetes, such as v1.33, which is also the name of k3s's channel for it."""

    major: int
    minor: int

    def __str__(self) -> str:
        """As k3s's channels are named."""
        return f"v{self.major}.{self.minor}"


@dataclass(frozen=True, order=True)
class K3sVersion:
    """A k3s release, ordered as they follow each other.

    Attributes:
        minor: Kubernetes' minor version.
        patch: Kubernetes' patch level.
        stage: 0 alpha, 1 beta, 2 release candidate, 3 the release itself.
        number: Of the pre-release; -1 for one without, which comes before its numbered ones (SemVer 2.0, 11.4.4).
        k3s: k3s's own patch level.
        label: How the pre-release is written, such as `-rc1`; empty for a release.
    """

    minor: Minor
    patch: int
    stage: int
    number: int
    k3s: int
    label: str = field(default="", compare=False)

    def __str__(self) -> str:
        """As `k3s --version` and a node's kubeletVersion say it."""
        return f"{self.minor}.{self.patch}{self.label}+k3s{self.k3s}"

    @property
    def is_prerelease(self) -> bool:
        """Whether it is for trying out only: no channel but `testing` may lead to it."""
        return self.stage < _RELEASED


def parse_version(text: str) -> K3sVersion:
    """A version as k3s says it.

    Raises:
        PreflightError: It is none.
    """
    found = VERSION.fullmatch(text)
    if found is None:
        raise PreflightError(
            f"{text!r} is not a k3s version",
            resolution="write it as on the release page, with v and +k3sN: v1.34.1+k3s1",
        )
    stage, number = found["stage"], found["number"]
    return K3sVersion(
        minor=Minor(int(found["major"]), int(found["minor"])),
        patch=int(found["patch"]),
        stage=_STAGES.index(stage) if stage else _RELEASED,
        number=int(number) if number else -1,
        k3s=int(found["k3s"]),
        label=found["label"] or "",
    )


def is_release(text: str) -> bool:
    """Whether a text is called as releases and pre-releases are; a build of one's own may be called anything."""
    return VERSION.fullmatch(text) is not None


def is_prerelease(text: str) -> bool:
    """Whether a text is called as alphas, betas and release candidates are."""
    return is_release(text) and parse_version(text).is_prerelease


def is_newer(found: str, than: str) -> bool:
    """Whether what a binary says of itself is a version after another one; a text that is no version is not."""
    return is_release(found) and parse_version(found) > parse_version(than)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Releases one of which etcd's data has to pass on the way up.

    Attributes:
        first: The oldest that will do.
        last: The newest that will do, or None for all later ones of that minor. It is the one taken where the newest
            of its minor will not do.
        why: For the user.
    """

    first: K3sVersion
    last: K3sVersion | None
    why: str

    def serves(self, version: K3sVersion) -> bool:
        """Whether this is one of the releases."""
        newest = self.last or version
        return version.minor == self.first.minor and self.first <= version <= newest

    def taken(self, newest: K3sVersion) -> K3sVersion:
        """The release to stop at, where the newest of this minor version is known."""
        return newest if self.serves(newest) else (self.last or self.first)

    def passed_by(self, version: K3sVersion) -> bool:
        """Whether this release is beyond all that will do."""
        return version > self.last if self.last else version.minor > self.first.minor


STOPS = (
    # etcd's announcement of December 2025 (etcd.io/blog/2025/zombie_members_upgrade) and k3s's release notes of
    # v1.32.11+k3s3 ("K3s v1.34 Upgrade Warning"): from etcd 3.5 only 3.5.26 leads to 3.6 safely, else members that
    # were removed come back. v1.33.7+k3s3 is the first with it (k3s#13493), v1.33.10+k3s1 the last; v1.34 has 3.6, and
    # so have later ones of v1.33 (v1.33.13: 3.6.12, k3s#14183).
    Stop(
        first=parse_version("v1.33.7+k3s3"),
        last=parse_version("v1.33.10+k3s1"),
        why="an upgrade to etcd 3.6 is only safe from its etcd 3.5.26",
    ),
    # etcd.io/docs/v3.7/upgrades/upgrade_3_7: all members at 3.6.11 or later first. v1.36.1 has 3.6.7, v1.36.2 has
    # 3.6.12, and v1.37.0 has 3.7.1 (k3s's release notes).
    Stop(
        first=parse_version("v1.36.2+k3s1"), last=None, why="etcd 3.7 needs all members at etcd 3.6.11 or later first"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A release that all machines reach before the next; `why` where it is a stop of its own."""

    version: K3sVersion
    why: str = ""


def check_direction(highest: K3sVersion, target: K3sVersion) -> None:
    """Refuse to go down: Kubernetes cannot, and a k3s patch level that was left was left for a reason.

    Raises:
        PreflightError: The target is older than what runs.
    """
    if target >= highest:
        return
    raise PreflightError(
        f"{target} is older than {highest}, which is already running: k3s is never downgraded",
        details="a newer k3s may have changed the cluster's data; nothing was changed",
        resolution=Advice("to go back, `homelab-k8s restore` a snapshot taken with the older version"),
    )


def check_not_older(version: str, floor: str | None, *, what: str, remedy: str) -> None:
    """Refuse a k3s that is older than data, or than what ran: k3s itself would say nothing with sqlite.

    Args:
        version: What machines are to get.
        floor: What it must not be older than; None where that is not known.
        what: What the floor is: `which the snapshot was taken with`.
        remedy: What to change.

    Raises:
        PreflightError: It is older. Builds that are called otherwise than releases cannot be compared, and pass.
    """
    if floor is None or not is_release(version) or not is_newer(floor, version):
        return
    raise PreflightError(
        f"k3s {version} is older than {floor}, {what}; nothing was changed",
        details="an older k3s may fail to read data of a newer one, without any error",
        resolution=remedy,
    )


def minors_between(lowest: K3sVersion, target: K3sVersion, *, etcd: K3sVersion | None) -> tuple[Minor, ...]:
    """Minor versions of which the newest release has to be known for `ladder`, in order; arguments as there.

    Raises:
        PreflightError: There is another major version in between.
    """
    low, high = lowest.minor, target.minor
    if low.major != high.major:
        raise PreflightError(
            f"no upgrade path is known from {lowest} to {target}",
            resolution="upgrade within one major version of Kubernetes",
        )
    between = {Minor(low.major, minor) for minor in range(low.minor + 1, high.minor)}
    return tuple(sorted(between | {stop.first.minor for stop in _stops(etcd, target)}))


def ladder(
    lowest: K3sVersion, target: K3sVersion, *, newest: Mapping[Minor, K3sVersion], etcd: K3sVersion | None
) -> tuple[Rung, ...]:
    """The releases to climb, one after the other: each minor in turn, and where etcd has to stop.

    Args:
        lowest: The oldest that runs anywhere.
        target: Where to.
        newest: The newest release of each of `minors_between`.
        etcd: The oldest that runs on a server with embedded etcd; None with sqlite, which has no such stops.

    Returns:
        Empty where all run the target already.
    """
    stops = {stop.first.minor: stop for stop in _stops(etcd, target)}
    rungs: list[Rung] = []
    for number in range(lowest.minor.minor, target.minor.minor + 1):
        minor = Minor(target.minor.major, number)
        if minor in stops:
            stop = stops[minor]
            rungs.append(Rung(version=stop.taken(newest[minor]), why=stop.why))
        elif lowest.minor < minor < target.minor:
            rungs.append(Rung(version=newest[minor]))
    return (*rungs, Rung(version=target)) if target > lowest else ()


def _stops(etcd: K3sVersion | None, target: K3sVersion) -> tuple[Stop, ...]:
    """The stops on the way; one for each minor version at the most."""
    if etcd is None:
        return ()
    return tuple(stop for stop in STOPS if etcd < stop.first and stop.passed_by(target))
