"""k3s's versions: their order, and the ladder of releases that an upgrade climbs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bootstrap.errors import PreflightError

_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-rc(\d+))?\+k3s(\d+)")
_RELEASED = 10**6
"""A release comes after all its candidates."""


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
        candidate: Number of the release candidate; a million for the release itself.
        k3s: k3s's own patch level.
    """

    minor: Minor
    patch: int
    candidate: int
    k3s: int

    def __str__(self) -> str:
        """As `k3s --version` and a node's kubeletVersion say it."""
        candidate = "" if self.candidate == _RELEASED else f"-rc{self.candidate}"
        return f"{self.minor}.{self.patch}{candidate}+k3s{self.k3s}"


def parse_version(text: str) -> K3sVersion:
    """A version as k3s says it.

    Raises:
        PreflightError: It is none.
    """
    found = _VERSION.fullmatch(text)
    if found is None:
        raise PreflightError(
            f"{text!r} is not a k3s version",
            resolution="write it as the release page does, with v and +k3sN: v1.34.1+k3s1",
        )
    major, minor, patch, candidate, k3s = found.groups()
    return K3sVersion(
        minor=Minor(int(major), int(minor)),
        patch=int(patch),
        candidate=_RELEASED if candidate is None else int(candidate),
        k3s=int(k3s),
    )


def is_release(text: str) -> bool:
    """Whether a text is called as releases are; a build of one's own may be called anything."""
    return _VERSION.fullmatch(text) is not None


def is_newer(found: str, than: str) -> bool:
    """Whether what a binary says of itself is a version after another one; a text that is no version is not."""
    return is_release(found) and parse_version(found) > parse_version(than)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Releases one of which etcd's data has to pass on the way up.

    Attributes:
        first: The oldest that will do; also the one taken where the newest of its minor will not.
        last: The newest that will do, or None for all later ones of that minor.
        why: For the user.
    """

    first: K3sVersion
    last: K3sVersion | None
    why: str

    def serves(self, version: K3sVersion) -> bool:
        """Whether this is one of the releases."""
        newest = self.last or version
        return version.minor == self.first.minor and self.first <= version <= newest

    def passed_by(self, version: K3sVersion) -> bool:
        """Whether this release is beyond all that will do."""
        return version > self.last if self.last else version.minor > self.first.minor


STOPS = (
    # etcd's announcement of December 2025 (etcd.io/blog/2025/zombie_members_upgrade) and k3s's release notes of
    # v1.32.11+k3s3 ("K3s v1.34 Upgrade Warning"): from etcd 3.5 only 3.5.26 leads to 3.6 safely, else members that
    # were removed come back. v1.33.7+k3s3 has 3.5.26 (k3s#13493), v1.34 has 3.6, and so have later ones of v1.33
    # (v1.33.13: 3.6.12, k3s#14183).
    Stop(
        first=parse_version("v1.33.7+k3s3"),
        last=parse_version("v1.33.7+k3s3"),
        why="its etcd 3.5.26 is the only one from which etcd 3.6 is safe",
    ),
    # etcd.io/docs/v3.7/upgrades/upgrade_3_7: all members at 3.6.11 or later first. v1.36.1 has 3.6.7, v1.36.2 has
    # 3.6.12, and v1.37.0 has 3.7.1 (k3s's release notes).
    Stop(
        first=parse_version("v1.36.2+k3s1"), last=None, why="etcd 3.7 wants all members at etcd 3.6.11 or later first"
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
        f"{target} is older than {highest}, which runs already: k3s is never downgraded",
        details="a newer k3s may have changed the cluster's data; nothing was touched",
        resolution="to go back, `homelab-k8s restore` a snapshot taken with the older version",
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
        f"k3s {version} is older than {floor}, {what}; nothing was touched",
        details="an older k3s may not read what a newer one has written, and nothing would tell",
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
            f"no way is known from {lowest} to {target}", resolution="upgrade within one major version of Kubernetes"
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
            rungs.append(Rung(version=newest[minor] if stop.serves(newest[minor]) else stop.first, why=stop.why))
        elif lowest.minor < minor < target.minor:
            rungs.append(Rung(version=newest[minor]))
    return (*rungs, Rung(version=target)) if target > lowest else ()


def _stops(etcd: K3sVersion | None, target: K3sVersion) -> tuple[Stop, ...]:
    """The stops on the way; one for each minor version at the most."""
    if etcd is None:
        return ()
    return tuple(stop for stop in STOPS if etcd < stop.first and stop.passed_by(target))
