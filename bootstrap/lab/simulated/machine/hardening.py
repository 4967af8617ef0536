"""The files of a hardened server on a simulated guest, as put-hardening.sh treats them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bootstrap.lab.simulated.disk import Disk

DATA = "/var/lib/rancher/k3s/server"
PART = "/etc/systemd/system/k3s.service.d/homelab-k8s-hardening.conf"
SENT = ("psa.yaml", "audit.yaml")
"""The files beside a script."""
_OURS = "# Written by homelab-k8s"
_NOT_OURS = f"psa.yaml or audit.yaml in {DATA} was not written by homelab-k8s and is not overwritten: move it away\n"


def refusal(disk: Disk, directory: Path) -> str:
    """The script's error where another's file is in the place of one that was sent; empty if none is."""
    return _NOT_OURS if (directory / SENT[0]).is_file() and _kind(disk) == "foreign" else ""


def put_hardening(disk: Disk, directory: Path) -> bool:
    """Put the files that were sent, or remove the client's if none were; returns whether that changed any."""
    if not (directory / SENT[0]).is_file():
        ours = [path for path in _paths() if (disk.read(path) or "").startswith(_OURS)]
        ours += [PART] if disk.path(PART).exists() else []
        for path in ours:
            disk.path(path).unlink()
        return bool(ours)
    changed = disk.put(directory / "hardening.conf", PART)
    disk.path(f"{DATA}/logs").mkdir(parents=True, exist_ok=True)
    disk.path(f"{DATA}/logs").chmod(0o700)
    for name, path in zip(SENT, _paths(), strict=True):
        changed = disk.put(directory / name, path) or changed
        disk.path(path).chmod(0o600)
    return changed


def remove_sent(directory: Path) -> None:
    """Remove them from beside the script."""
    for name in SENT:
        (directory / name).unlink(missing_ok=True)


def after_start(disk: Disk) -> None:
    """What that part of the unit does once k3s serves (ExecStartPost)."""
    if disk.path(PART).exists():
        for path in disk.path(f"{DATA}/tls").glob("*.crt"):
            path.chmod(0o600)


def line(disk: Disk) -> str:
    """The output of read-settings.sh about them."""
    kind = _kind(disk)
    if kind != "ours":
        return f"hardening={kind}\n" if kind else ""
    there = [path for path in map(disk.path, _paths()) if path.exists()]
    if any(path.stat().st_mode & 0o077 for path in there) or not disk.path(PART).exists():
        return "hardening=exposed\n"
    return f"hardening={hashlib.sha256(b''.join(path.read_bytes() for path in there)).hexdigest()}\n"


def _paths() -> list[str]:
    return [f"{DATA}/{name}" for name in SENT]


def _kind(disk: Disk) -> str:
    texts = [text for text in map(disk.read, _paths()) if text is not None]
    if not texts:
        return ""
    return "ours" if all(text.startswith(_OURS) for text in texts) else "foreign"
