"""The environment file of a simulated guest's k3s unit, as put-environment.sh treats it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bootstrap.lab.simulated.disk import Disk
from bootstrap.lab.simulated.machine.k3s import ENVIRONMENT

VARIABLES = "environment"
TOKENS = "service.env"
"""The files beside a script."""
_UNITS = "/etc/systemd/system"
_MARK = "# From the inventory of homelab-k8s, which overwrites changes: "


def file_of(disk: Disk) -> str:
    """The path for the unit that is installed; empty without one."""
    found = (unit for unit in ("k3s", "k3s-agent") if disk.path(f"{_UNITS}/{unit}.service").exists())
    return next((ENVIRONMENT.format(unit=unit) for unit in found), "")


def put_environment(disk: Disk, path: str, sent: Path) -> bool:
    """Merge what was sent into the file; returns whether that changed what k3s gets.

    Args:
        disk: The guest's.
        path: The unit's environment file.
        sent: The directory with what was sent.
    """
    before = (disk.read(path) or "").splitlines()
    tokens, variables = (_lines(sent / name) for name in (TOKENS, VARIABLES))
    gone = {_name(line) for line in (*tokens, *variables)} | set(_marked(before))
    whole = [line for line in before if not line.startswith(_MARK) and _name(line) not in gone] + tokens
    if variables:
        whole += [_MARK + "".join(f"{_name(line)} " for line in variables), *variables]
    if sorted(whole) == sorted(before):
        return False
    disk.write(path, "".join(f"{line}\n" for line in whole))
    disk.path(path).chmod(0o600)
    return True


def lines_about(disk: Disk) -> Iterator[str]:
    """The output of read-settings.sh about it."""
    path = file_of(disk)
    there = (disk.read(path) or "").splitlines() if path else []
    names = set(_marked(there))
    exposed = bool(names) and disk.path(path).stat().st_mode & 0o777 != 0o600
    for line in there:
        if _name(line) in names:
            checksum = "exposed" if exposed else hashlib.sha256(line.encode()).hexdigest()
            yield f"environment={_name(line)} {checksum}\n"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _name(line: str) -> str:
    name, equals, _ = line.partition("=")
    return name if equals else ""


def _marked(lines: list[str]) -> list[str]:
    """The names that came from the inventory."""
    return [name for line in lines if line.startswith(_MARK) for name in line.removeprefix(_MARK).split()]
