"""`bootstrap.ports.Timers`: systemd's unit files, and systemctl."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bootstrap.adapters.local.files import write_private
from bootstrap.errors import HomelabError

_BOOTED: Final = Path("/run/systemd/system")
"""A directory where systemd is process 1 (sd_booted(3))."""
_SYSTEM: Final = Path("/etc/systemd/system")
_TIMEOUT_S: Final = 60.0
_READABLE: Final = 0o644


class SystemdTimers:
    """Units of this computer.

    Args:
        environ: For `$HOME` and `$XDG_CONFIG_HOME`; systemctl finds the user's systemd by `$XDG_RUNTIME_DIR`.
        booted: There where systemd runs.
        system: Where the system's units are.
    """

    def __init__(self, *, environ: Mapping[str, str], booted: Path = _BOOTED, system: Path = _SYSTEM) -> None:
        self._environ = dict(environ)
        self._booted = booted
        self._system = system

    def why_not(self) -> str:
        """See `bootstrap.ports.upkeep.Timers`."""
        if sys.platform != "linux":
            why = f"this computer runs {sys.platform}, which has no systemd"
        else:
            why = "" if self._booted.is_dir() else "systemd does not run on this computer"
        return why

    def directory(self, *, system: bool) -> Path:
        """See `bootstrap.ports.upkeep.Timers`. The user's units: systemd.unit(5)."""
        if system:
            return self._system
        base = self._environ.get("XDG_CONFIG_HOME") or str(
            Path(self._environ.get("HOME", "~")).expanduser() / ".config"
        )
        return Path(base) / "systemd" / "user"

    def install(self, units: Mapping[str, str], *, timer: str, system: bool) -> None:
        """See `bootstrap.ports.upkeep.Timers`."""
        directory = self.directory(system=system)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in units.items():
                write_private(directory / name, text)
                (directory / name).chmod(_READABLE)
        except OSError as error:
            raise _refused(f"cannot write units to {directory}", str(error), system=system) from error
        self._systemctl("daemon-reload", system=system)
        self._systemctl("enable", "--now", timer, system=system)

    def remove(self, units: Sequence[str], *, timer: str, system: bool) -> tuple[Path, ...]:
        """See `bootstrap.ports.upkeep.Timers`."""
        there = [path for name in units if (path := self.directory(system=system) / name).is_file()]
        if not there:
            return ()
        if any(path.name == timer for path in there):
            self._systemctl("disable", "--now", timer, system=system)
        try:
            for path in there:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _refused("cannot remove units", str(error), system=system) from error
        self._systemctl("daemon-reload", system=system)
        return tuple(there)

    def _systemctl(self, *words: str, system: bool) -> None:
        command = ["systemctl", *([] if system else ["--user"]), *words]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=self._environ, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HomelabError(f"`{' '.join(command)}` failed", details=str(error)) from error
        if done.returncode:
            raise _refused(f"`{' '.join(command)}` failed", done.stderr or done.stdout, system=system)


def _refused(brief: str, details: str, *, system: bool) -> HomelabError:
    remedy = (
        "units of the system need root: run it with sudo, or without --system"
        if system
        else "the user's systemd must run: log in as the user directly instead of by su or sudo, or use --system"
    )
    return HomelabError(brief, details=details, resolution=remedy)
