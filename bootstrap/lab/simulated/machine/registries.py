"""k3s's registries.yaml on a simulated guest, as put-registries.sh treats it."""

from __future__ import annotations

from pathlib import Path

from bootstrap.lab.simulated.disk import Disk, sha256_of

REGISTRIES = "/etc/rancher/k3s/registries.yaml"
SENT = "registries.yaml"
"""The file beside a script."""
_OURS = "# Written by homelab-k8s"
_NOT_OURS = (
    f"{REGISTRIES} was not written by homelab-k8s and is not overwritten: take its content into k3s.registries of the "
    "inventory, then move it away\n"
)


def _is_ours(disk: Disk) -> bool:
    return (disk.read(REGISTRIES) or "").startswith(_OURS)


def refusal(disk: Disk, sent: Path) -> str:
    """The script's error where another's file is in the place of the one that was sent; empty if none is."""
    return _NOT_OURS if sent.is_file() and disk.read(REGISTRIES) is not None and not _is_ours(disk) else ""


def put_registries(disk: Disk, sent: Path) -> bool:
    """Put the file that was sent, or remove the client's if none was; returns whether that changed its content."""
    before = disk.read(REGISTRIES)
    if sent.is_file():
        disk.put(sent, REGISTRIES)
        disk.path(REGISTRIES).chmod(0o600)
    elif _is_ours(disk):
        disk.path(REGISTRIES).unlink()
    return disk.read(REGISTRIES) != before


def line(disk: Disk) -> str:
    """The output of read-settings.sh about it."""
    if disk.read(REGISTRIES) is None:
        return ""
    path = disk.path(REGISTRIES)
    if not _is_ours(disk):
        return "registries=foreign\n"
    return f"registries={sha256_of(path) if path.stat().st_mode & 0o777 == 0o600 else 'exposed'}\n"
