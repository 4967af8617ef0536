"""k3s's registries.yaml on a simulated guest, as put-registries.sh treats it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bootstrap.lab.simulated.disk import Disk

REGISTRIES = "/etc/rancher/k3s/registries.yaml"
TLS_FILES = "/etc/rancher/k3s/registries.tls"
SENT = "registries.yaml"
_PEM = "registry-*.pem"
"""The files beside a script."""
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


def remove_sent(directory: Path) -> None:
    """Remove what was sent, as the scripts do at their end."""
    for path in (directory / SENT, *directory.glob(_PEM)):
        path.unlink(missing_ok=True)


def put_registries(disk: Disk, sent: Path) -> bool:
    """Put the file that was sent, and those that it names, or remove the client's if none was.

    Returns:
        Whether that changed the content of one.
    """
    before = _content(disk)
    if not sent.is_file():
        if _is_ours(disk):
            disk.path(REGISTRIES).unlink()
            _remove_but(disk, set())
        return _content(disk) != before
    files = {f"{TLS_FILES}/{path.name}": path for path in sent.parent.glob(_PEM)}
    for name, source in {**files, REGISTRIES: sent}.items():
        disk.put(source, name)
        disk.path(name).chmod(0o600)
    _remove_but(disk, set(files))
    return _content(disk) != before


def _pem(disk: Disk) -> list[Path]:
    return sorted(disk.path(TLS_FILES).glob(_PEM))


def _content(disk: Disk) -> str:
    """What k3s and containerd read; empty without registries.yaml."""
    there = disk.read(REGISTRIES)
    return "" if there is None else there + "".join(path.read_text(encoding="utf-8") for path in _pem(disk))


def _remove_but(disk: Disk, kept: set[str]) -> None:
    for path in _pem(disk):
        if f"{TLS_FILES}/{path.name}" not in kept:
            path.unlink()


def line(disk: Disk) -> str:
    """The output of read-settings.sh about it."""
    if disk.read(REGISTRIES) is None:
        return ""
    if not _is_ours(disk):
        return "registries=foreign\n"
    exposed = any(path.stat().st_mode & 0o777 != 0o600 for path in (disk.path(REGISTRIES), *_pem(disk)))
    return f"registries={'exposed' if exposed else hashlib.sha256(_content(disk).encode()).hexdigest()}\n"
