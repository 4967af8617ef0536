"""One cgroup per guest: the place where every process of a guest is found again, whoever started it.

Only the grouping is used (is anything alive, kill it all), so a cgroup v2 hierarchy without a single
controller is enough, as on hybrid machines (`/sys/fs/cgroup/unified`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from bootstrap.lab.guests.base import GuestError

LAB_CGROUP = "homelab-k8s-lab"
"""Name of the cgroup all labs of this machine live under."""

_MOUNTINFO = Path("/proc/self/mountinfo")


def cgroup2_mount() -> Path | None:
    """Where cgroup v2 is mounted on this machine, or None."""
    for line in _MOUNTINFO.read_text(encoding="utf-8").splitlines():
        fields, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup2 "):
            return Path(fields.split()[4])
    return None


class LabCgroups:
    """The cgroups of one lab: `<cgroup2>/homelab-k8s-lab/<bridge>/<name>`."""

    def __init__(self, bridge: str) -> None:
        mount = cgroup2_mount()
        if mount is None:
            raise GuestError("no cgroup v2 hierarchy is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup")
        self._root = mount / LAB_CGROUP / bridge

    def make(self, name: str) -> Path:
        """Make a guest's cgroup; what was left in one of that name is killed first."""
        path = self._root / name
        if path.exists():
            self.remove(name)
        path.mkdir(parents=True)
        return path

    def names(self) -> tuple[str, ...]:
        """Names of the cgroups that exist."""
        if not self._root.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._root.iterdir() if path.is_dir()))

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
                continue  # the group went away, or is a threaded one, while we looked
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
        """Kill all of the group, wait until it is empty and remove it. Blocks.

        Raises:
            GuestError: Processes in it did not die within `deadline_s` seconds.
        """
        end = time.monotonic() + deadline_s
        while self.alive(name):
            self.kill(name)
            if time.monotonic() > end:
                raise GuestError(f"processes {sorted(self.pids(name))} of {name} do not die")
            time.sleep(0.01)
        self._rmdir(self._root / name)

    def remove_all(self) -> tuple[str, ...]:
        """Remove every group of this lab, and the lab's own. Blocks. Returns the names."""
        names = self.names()
        for name in names:
            self.remove(name)
        for path in (self._root, self._root.parent):
            try:
                path.rmdir()
            except (FileNotFoundError, OSError):
                break  # another lab's groups are beside ours
        return names

    async def wait_dead(self, name: str, *, deadline_s: float) -> bool:
        """Wait until nothing of the group lives; False when it still does after `deadline_s` seconds."""
        end = time.monotonic() + deadline_s
        while self.alive(name):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    @staticmethod
    def _rmdir(path: Path) -> None:
        if not path.is_dir():
            return
        for folder, _, _ in os.walk(path, topdown=False):
            Path(folder).rmdir()
