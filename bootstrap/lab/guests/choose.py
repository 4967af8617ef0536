"""Which kinds of guests this machine can run, and what is missing for the others."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from bootstrap.lab.guests.base import GuestError
from bootstrap.lab.guests.host.hierarchies import read_layout
from bootstrap.lab.guests.tools import missing_packages
from bootstrap.lab.template.sources import debian_suite

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21  # linux/capability.h
_OTHERWISE = "or use simulated guests, which need no root: --guests simulated"


def choose_kind() -> tuple[str, str]:
    """The fastest kind this machine can run, and why, in one line.

    Returns:
        `container` or `qemu`, and the reason.

    Raises:
        GuestError: Neither runs here; the text says what to do.
    """
    container = why_not("container")
    if container is None:
        return "container", "container guests boot in seconds and this machine has all they need"
    machine = why_not("qemu")
    if machine is None:
        return "qemu", f"real virtual machines, since container guests do not run here: {container}"
    raise GuestError(f"{container}\n{_OTHERWISE}")


def require(kind: str) -> None:
    """Check that this machine can run guests of a kind.

    Raises:
        GuestError: It cannot; the text says what to do.
    """
    reason = why_not(kind)
    if reason is not None:
        raise GuestError(reason if kind == "simulated" else f"{reason}\n{_OTHERWISE}")


def why_not(kind: str) -> str | None:
    """Why this machine cannot run guests of a kind, with the remedy, in one line; None if it can."""
    if kind == "simulated":
        return _why_not_simulated()
    if sys.platform != "linux":
        return f"{kind} guests need Linux: use a Linux machine or VM"
    if os.geteuid() != 0:
        return "container and qemu guests need root for their network and mounts: run this as root (sudo)"
    if not _may(_CAP_NET_ADMIN) or not _may(_CAP_SYS_ADMIN):
        return (
            "container and qemu guests need CAP_NET_ADMIN and CAP_SYS_ADMIN, which this root lacks "
            "(a restricted container?): run on the machine itself"
        )
    try:
        debian_suite()
    except GuestError as error:
        return str(error)
    missing = missing_packages(kind)
    if missing:
        return f"{kind} guests need a few packages: apt-get install {' '.join(missing)}"
    if read_layout().unified is None:
        return "no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup"
    if kind == "container" and "\toverlay\n" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        return "this kernel has no overlayfs (yet): modprobe overlay"
    return None


def _why_not_simulated() -> str | None:
    if find_spec("asyncssh") is None:
        return "simulated guests need asyncssh, of the extra `lab`"
    if shutil.which("openssl") is None:
        return "the k3s stand-in of simulated guests needs the openssl command: apt-get install openssl"
    return None


def _may(capability: int) -> bool:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> capability & 1)
