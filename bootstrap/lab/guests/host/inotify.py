"""The limit of root's inotify instances, which container guests share with this machine.

A kubelet, its cAdvisor, containerd and systemd need about 30 per guest, and Linux allows 128. The lab raises the limit
while it runs. The labs of a machine share a note, which is lost at a reboot like the raised limit: the first lab notes
the old value, the last one restores it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bootstrap.lab.processes import is_running, process_start

ENOUGH = 8192
"""Instances for some two hundred guests."""

SETTING = Path("/proc/sys/fs/inotify/max_user_instances")
REGISTER = Path("/run/homelab-k8s-lab")

_NAME = "fs.inotify.max_user_instances"


@dataclass(frozen=True, kw_only=True)
class Note:
    """The labs' note about the setting.

    Attributes:
        before: Value before the first lab.
        raised: Value set by that lab.
        holders: Directories of the labs that need it, each with pid and start time of the lab's process.
    """

    before: int
    raised: int
    holders: dict[str, tuple[int, int]]


class InotifyLimit:
    """The setting, and the note of who needs it raised.

    Args:
        setting: The setting's file.
        register: Directory of the note.
    """

    def __init__(self, *, setting: Path = SETTING, register: Path = REGISTER) -> None:
        self._setting = setting
        self._register = register

    def hold(self, lab: Path) -> str:
        """Raise the setting for this process's lab; no-op if it is high enough.

        Returns:
            What was done, for the user; empty where nothing was.
        """
        with self._locked():
            now, note = self._now(), self._living(except_for=lab)
            if note is None and now >= ENOUGH:
                return ""
            note = note or Note(before=now, raised=ENOUGH, holders={})
            own = (os.getpid(), process_start(os.getpid()) or 0)
            self._write(Note(before=note.before, raised=note.raised, holders={**note.holders, str(lab): own}))
            if now >= ENOUGH:
                return ""
            try:
                self._setting.write_text(f"{note.raised}\n", encoding="ascii")
            except OSError as error:
                return f"{_NAME} stays at {now}, since it is not writable ({error.strerror}): only a few machines fit"
        return f"{_NAME} is raised from {now} to {note.raised} while the lab runs; `lab stop` restores it"

    def release(self, lab: Path) -> str:
        """End this lab's use of it; the last lab restores the old value, unless it was changed since.

        Returns:
            What was done; empty where nothing was.
        """
        if not self._register.is_dir():
            return ""
        with self._locked():
            before = self._read()
            note = self._living(except_for=lab)
            if before is None or note is None or note.holders:
                if note is not None:
                    self._write(note)
                return ""
            now = self._now()
            if now == note.raised:
                self._setting.write_text(f"{note.before}\n", encoding="ascii")
            self._file.unlink()
        (self._register / "lock").unlink()
        self._register.rmdir()
        return f"{_NAME} is {self._now()} again" if now == note.raised else ""

    @property
    def _file(self) -> Path:
        return self._register / "inotify.json"

    def _now(self) -> int:
        return int(self._setting.read_text(encoding="ascii"))

    def _read(self) -> Note | None:
        if not self._file.exists():
            return None
        data = json.loads(self._file.read_text(encoding="utf-8"))
        holders = {lab: (int(pid), int(start)) for lab, (pid, start) in data["holders"].items()}
        return Note(before=int(data["before"]), raised=int(data["raised"]), holders=holders)

    def _living(self, *, except_for: Path) -> Note | None:
        """The note without this lab and without those whose process was killed."""
        note = self._read()
        if note is None:
            return None
        holders = {
            lab: process for lab, process in note.holders.items() if lab != str(except_for) and is_running(*process)
        }
        return Note(before=note.before, raised=note.raised, holders=holders)

    def _write(self, note: Note) -> None:
        """Written before the setting: so a killed lab leaves a note of its change."""
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(asdict(note)), encoding="utf-8")
        part.replace(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._register.mkdir(mode=0o700, exist_ok=True)
        with (self._register / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
