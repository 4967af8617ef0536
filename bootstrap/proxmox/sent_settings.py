"""Config settings on their way to Proxmox VE, and whether they arrived. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from bootstrap.proxmox.reading.configs import DRIVE_KEY, storage_of, tags, whole_gib

_MASKED = frozenset({"cipassword"})
"""Reads back as asterisks."""
_NEW_DISK = re.compile(r"([A-Za-z][\w.-]*):(\d+)((?:,.*)?)")


def encode(settings: Mapping[str, str | int]) -> dict[str, str | int]:
    """Settings as form parameters.

    `sshkeys` is URL-encoded here and by the form once more: Proxmox VE wants it so, with no `+` for a space
    (anything else is `invalid format - invalid urlencoded string`). Booleans are 1 and 0: it refuses `true`.
    """
    encoded: dict[str, str | int] = {}
    for key, value in settings.items():
        if key == "sshkeys":
            encoded[key] = quote(str(value), safe="")
        else:
            encoded[key] = int(value) if isinstance(value, bool) else value
    return encoded


def new_disks(settings: Mapping[str, str | int]) -> frozenset[str]:
    """The keys of disks that are to be made: sent twice, such a setting makes two."""
    return frozenset(
        key for key, value in settings.items() if DRIVE_KEY.fullmatch(key) and _NEW_DISK.fullmatch(str(value))
    )


def not_kept(settings: Mapping[str, str | int], config: Mapping[str, Any]) -> dict[str, str]:
    """Settings that a config read back does not have, each with what it has instead."""
    gone = {key for key in str(settings.get("delete", "")).split(",") if key}
    wrong = {key: str(config[key]) for key in sorted(gone) if key in config}
    for key, value in settings.items():
        if key not in _MASKED and key != "delete" and not _kept(key, value, config.get(key)):
            wrong[key] = "nothing" if config.get(key) is None else str(config[key])
    return wrong


def _kept(key: str, asked: str | int, stored: object) -> bool:
    """Whether a value is stored, in whatever form Proxmox VE gives it."""
    wanted, has = str(int(asked) if isinstance(asked, bool) else asked), str("" if stored is None else stored)
    if key == "tags":  # sorted, without duplicates, and in lower case unless tag-style says otherwise
        return tags(wanted.lower()) == tags(has.lower())
    if key == "description":  # trailing newlines go, and blanks with them (PVE::QemuServer, parse_vm_config)
        return wanted.rstrip() == has.rstrip()
    if key == "sshkeys":
        return wanted.strip() == unquote(has).strip()
    new_disk = _NEW_DISK.fullmatch(wanted)
    if new_disk is not None:  # `local:32` becomes a volume of that storage, `local:7000/vm-7000-disk-1.qcow2,size=32G`
        return storage_of(has) == new_disk[1] and whole_gib(has) >= int(new_disk[2]) and _options_kept(new_disk[3], has)
    return _parts_kept(wanted, has)


def _options_kept(wanted: str, has: str) -> bool:
    return not wanted or _parts_kept(wanted.removeprefix(","), has)


def _parts_kept(wanted: str, has: str) -> bool:
    """Whether every part of a property string is there.

    Proxmox VE reorders parts, gives a network device its MAC (`virtio` becomes `virtio=BC:24:...`), and names the
    part that may go without its key (`2048` becomes `current=2048`).
    """
    stored = has.lower().split(",")
    return all(
        any(part == other or other.startswith(f"{part}=") or other.endswith(f"={part}") for other in stored)
        for part in wanted.lower().split(",")
    )
