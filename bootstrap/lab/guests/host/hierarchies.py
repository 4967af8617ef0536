"""The cgroup hierarchies of this machine, and their controllers.

There are three kinds of machines: only cgroup v2; only cgroup v1; and hybrid ones, with controllers in v1 beside a v2
hierarchy with few or none. A kubelet needs the controllers of `NEEDED` in any case (k3s: `check-config`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("cpu", "cpuset", "memory", "pids")
"""Controllers without which neither k3s nor the kubelet starts."""

_LEGACY_CONTROLLERS = frozenset(
    (
        *("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "net_cls", "net_prio"),
        *("blkio", "perf_event", "pids", "hugetlb", "rdma", "misc"),
    )
)
_MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True, kw_only=True)
class LegacyHierarchy:
    """A mounted cgroup v1 hierarchy.

    Attributes:
        mount: Where it is mounted.
        controllers: What it controls; a hierarchy without controllers has its name instead, as `name=systemd`.
    """

    mount: Path
    controllers: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class CgroupLayout:
    """The hierarchies of a machine.

    Attributes:
        unified: Where cgroup v2 is mounted; None where it is not.
        offered: Controllers of the v2 hierarchy.
        legacy: The v1 hierarchies; none on a machine that is all v2.
    """

    unified: Path | None
    offered: frozenset[str] = frozenset()
    legacy: tuple[LegacyHierarchy, ...] = ()

    @property
    def version(self) -> str:
        """The version that a kubelet uses: `v1` with v1 hierarchies (hybrid machines too), else `v2`."""
        return "v1" if self.legacy else "v2"

    def missing(self) -> tuple[str, ...]:
        """The needed controllers that are in no hierarchy of the kubelet's version."""
        there = frozenset[str]().union(*(one.controllers for one in self.legacy)) if self.legacy else self.offered
        return tuple(name for name in NEEDED if name not in there)


def parse_layout(mountinfo: Iterable[str], *, offered: str) -> CgroupLayout:
    """The layout out of /proc/self/mountinfo (proc(5)).

    Args:
        mountinfo: Its lines.
        offered: Text of the v2 hierarchy's `cgroup.controllers`.
    """
    unified: Path | None = None
    legacy: dict[frozenset[str], LegacyHierarchy] = {}
    for line in mountinfo:
        place, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.strip().split(maxsplit=2)
        mount = Path(place.split()[4])
        if kind == "cgroup2" and unified is None:
            unified = mount
        elif kind == "cgroup":
            named = (word for word in options.split(",") if word in _LEGACY_CONTROLLERS or word.startswith("name="))
            controllers = frozenset(named)
            legacy.setdefault(controllers, LegacyHierarchy(mount=mount, controllers=controllers))
    return CgroupLayout(unified=unified, offered=frozenset(offered.split()), legacy=tuple(legacy.values()))


def read_layout() -> CgroupLayout:
    """The layout of this machine."""
    lines = _MOUNTINFO.read_text(encoding="utf-8").splitlines()
    unified = parse_layout(lines, offered="").unified
    offered = (unified / "cgroup.controllers").read_text(encoding="ascii") if unified is not None else ""
    return parse_layout(lines, offered=offered)
