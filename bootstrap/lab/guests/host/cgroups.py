"""The cgroups of a lab: they group each guest's processes, and give the controllers to a guest's kubelet.

Grouping (is a process alive, kill all) needs a cgroup v2 hierarchy; no controllers, so hybrid machines are enough
(`/sys/fs/cgroup/unified`). A guest for k3s also gets the controllers: with v2 alone they are delegated to its cgroup,
elsewhere it has a cgroup in each v1 hierarchy.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.guests.host.hierarchies import NEEDED, CgroupLayout, read_layout

LAB_CGROUP = "homelab-k8s-lab"
"""Name of the parent cgroup of all labs of this machine, in every hierarchy."""

HOST_CGROUP = "homelab-k8s-host"
"""On v2, the cgroup for the processes of a container's root cgroup while labs have controllers below it."""

LAUNCHER = "launcher"
"""On v2, the part of a guest's cgroup for its launcher: a cgroup that passes controllers on has no processes."""

_DELEGATED = (*NEEDED, "io")


class LabCgroups:
    """The cgroups of one lab: `<hierarchy>/homelab-k8s-lab/<bridge>/<name>`.

    Args:
        bridge: The lab's bridge, by which its cgroups are found.
        layout: The hierarchies; None for this machine's.

    Raises:
        GuestError: There is no cgroup v2 hierarchy.
    """

    def __init__(self, bridge: str, layout: CgroupLayout | None = None) -> None:
        self._layout = layout or read_layout()
        if self._layout.unified is None:
            raise GuestError("no cgroup v2 hierarchy is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup")
        self._mount = self._layout.unified
        self._root = self._mount / LAB_CGROUP / bridge
        self._legacy_roots = tuple(one.mount / LAB_CGROUP / bridge for one in self._layout.legacy)

    @property
    def layout(self) -> CgroupLayout:
        """The hierarchies of this machine."""
        return self._layout

    def make(self, name: str) -> Path:
        """Make a group in the v2 hierarchy; leftover processes in it are killed first."""
        if any((root / name).exists() for root in self._roots):
            self.remove(name)
        path = self._root / name
        path.mkdir(parents=True)
        return path

    def make_with_controllers(self, name: str) -> tuple[Path, ...]:
        """Make a group as `make` does, with the machine's controllers.

        Returns:
            The directories that its first process has to enter.
        """
        path = self.make(name)
        if not self._layout.legacy:
            if not self.delegate():
                return (path,)
            _enable(path, self._delegated())
            (path / LAUNCHER).mkdir()
            return (path / LAUNCHER,)
        return (path, *(self._make_legacy(root, name) for root in self._legacy_roots))

    def delegate(self) -> bool:
        """On v2, pass the controllers on to the lab's cgroup; returns whether all needed ones could be."""
        if self._layout.legacy or self._layout.missing():
            return False
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            _enable(self._mount, self._delegated())
        except OSError as error:
            if error.errno != errno.EBUSY:
                return False
            # The root cgroup of a container, unlike a machine's, may not have both processes and controllers.
            self._move_aside()
            _enable(self._mount, self._delegated())
        _enable(self._root.parent, self._delegated())
        _enable(self._root, self._delegated())
        return True

    def names(self) -> tuple[str, ...]:
        """Names of the groups that exist."""
        roots = [root for root in self._roots if root.is_dir()]
        return tuple(sorted({path.name for root in roots for path in root.iterdir() if path.is_dir()}))

    def alive(self, name: str) -> bool:
        """Whether any process of the group lives (a zombie does not)."""
        try:
            events = (self._root / name / "cgroup.events").read_text(encoding="ascii")
        except (FileNotFoundError, OSError):
            return False
        return "populated 1" in events

    def pids(self, name: str) -> frozenset[int]:
        """Process ids in the group and the groups below it."""
        found: set[int] = set()
        for procs in (self._root / name).rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in procs.read_text(encoding="ascii").split())
            except OSError:
                continue  # the group has just disappeared, or is a threaded one
        return frozenset(found)

    def kill(self, name: str) -> None:
        """Send SIGKILL to all of the group."""
        switch = self._root / name / "cgroup.kill"  # since Linux 5.14
        if switch.exists():
            switch.write_text("1", encoding="ascii")
            return
        for pid in self.pids(name):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def remove(self, name: str, *, deadline_s: float = 10.0) -> None:
        """Kill the group's processes, wait until it is empty and remove it from every hierarchy. Blocks.

        Raises:
            GuestError: Processes in it did not die within `deadline_s` seconds.
        """
        end = time.monotonic() + deadline_s
        while self.alive(name):
            self.kill(name)
            if time.monotonic() > end:
                raise GuestError(f"processes {sorted(self.pids(name))} of {name} do not die")
            time.sleep(0.01)
        for root in self._roots:
            _remove_tree(root / name, end=end)

    def remove_all(self) -> tuple[str, ...]:
        """Remove every group of this lab, and the lab's own. Blocks. Returns their names."""
        names = self.names()
        for name in names:
            self.remove(name)
        for root in self._roots:
            for path in (root, root.parent):
                try:
                    path.rmdir()
                except OSError:
                    continue  # it does not exist, or another lab has groups in it
        self._move_back()
        return names

    async def wait_dead(self, name: str, *, deadline_s: float) -> bool:
        """Wait until all processes of the group have ended; False after `deadline_s` seconds."""
        end = time.monotonic() + deadline_s
        while self.alive(name):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (self._root, *self._legacy_roots)

    def _delegated(self) -> tuple[str, ...]:
        return tuple(name for name in _DELEGATED if name in self._layout.offered)

    def _make_legacy(self, root: Path, name: str) -> Path:
        """The group in a v1 hierarchy. A cpuset is empty, and nothing can enter it, until its processors are set."""
        for path in (root.parent, root, root / name):
            path.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (path / setting).exists() and not (path / setting).read_text(encoding="ascii").strip():
                    (path / setting).write_text((path.parent / setting).read_text(encoding="ascii"), encoding="ascii")
        return root / name

    def _move_aside(self) -> None:
        aside = self._mount / HOST_CGROUP
        aside.mkdir(exist_ok=True)
        _move_processes(self._mount, aside)

    def _move_back(self) -> None:
        """Undo `_move_aside` once no lab is left: there were no controllers below this root before."""
        aside = self._mount / HOST_CGROUP
        if (self._mount / LAB_CGROUP).exists() or not aside.is_dir():
            return
        enabled = (self._mount / "cgroup.subtree_control").read_text(encoding="ascii").split()
        (self._mount / "cgroup.subtree_control").write_text(" ".join(f"-{name}" for name in enabled), encoding="ascii")
        _move_processes(aside, self._mount)
        aside.rmdir()


def _enable(group: Path, controllers: tuple[str, ...]) -> None:
    """Pass controllers on to the children of a v2 cgroup (cgroups(7))."""
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers), encoding="ascii")


def _move_processes(source: Path, target: Path) -> None:
    while pids := (source / "cgroup.procs").read_text(encoding="ascii").split():
        for pid in pids:
            try:
                (target / "cgroup.procs").write_text(pid, encoding="ascii")
            except ProcessLookupError:
                continue  # it has ended


def _remove_tree(path: Path, *, end: float) -> None:
    """Remove a cgroup and those below it; a dead process leaves its v1 groups only once reaped.

    Raises:
        GuestError: One is still busy at the monotonic time `end`.
    """
    for group in _depth_first(path):
        while True:
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    raise GuestError(f"cgroup {group} cannot be removed: {error.strerror}") from error
                time.sleep(0.01)
            else:
                break


def _depth_first(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for folder, _, _ in os.walk(path, topdown=False):
            yield Path(folder)
