"""The OCI runtime configuration of a guest, from a data file and the guest's spec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bootstrap.lab.guests.base import GuestSpec

DATA = ("containerd", "kubelet")
"""Directories of a guest's disk that are no part of its overlay: containerd mounts overlays of its own there."""

_BASE = Path(__file__).parent / "container.json"

_CAPABILITIES = Path(__file__).parent / "capabilities.txt"

_SYSCTL = "sysctl"
"""In the data file: source of a kernel setting that a guest may write, for itself only."""


def capabilities() -> tuple[str, ...]:
    """Capabilities of a guest's root: this process's (runtimes refuse more), minus the withheld ones."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("CapPrm:"))
    permitted = int(line.split()[1], 16)
    lines = _CAPABILITIES.read_text(encoding="ascii").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return tuple(f"CAP_{row[0]}" for number, row in enumerate(rows) if permitted >> number & 1 and row[1:] != ["-"])


def render_config(
    spec: GuestSpec, *, directory: Path, hierarchies: Sequence[str] = (), cgroup: str | None = None
) -> str:
    """The `config.json` of a guest.

    Args:
        spec: The guest; its SMBIOS UUID becomes the machine id, as systemd does in a KVM machine.
        directory: The guest's directory; relative sources of bind mounts are taken from it.
        hierarchies: Names of the cgroup v1 hierarchies that the guest has a part of, in `directory/cgroup`.
        cgroup: The cgroup v2 that crun moves the guest into, as a path below the hierarchy's mount.
    """
    config = json.loads(_BASE.read_text(encoding="utf-8"))
    config["process"]["env"].append(f"container_uuid={spec.smbios_uuid.lower()}")
    allowed = list(capabilities())
    config["process"]["capabilities"] = {
        kind: allowed for kind in ("bounding", "effective", "permitted", "inheritable")
    }
    if cgroup is not None:
        config["linux"]["cgroupsPath"] = cgroup
    mounts = [mount for mount in config["mounts"] if not _is_missing_setting(mount)]
    config["mounts"] = [one for mount in mounts for one in _with_hierarchies(mount, hierarchies)]
    for mount in config["mounts"]:
        if mount["type"] == "bind":
            own = _setting_file(mount) if mount["source"] == _SYSCTL else Path(mount["source"])
            mount["source"] = str(directory / own)
    return json.dumps(config, indent=1)


def write_settings(directory: Path) -> None:
    """Write the files that replace this machine's kernel settings in a guest, with this machine's values.

    A kubelet sets some settings for the whole machine (kubelet: `setupKernelTunables`), and exits if it may not.
    """
    for mount in json.loads(_BASE.read_text(encoding="utf-8"))["mounts"]:
        if mount["source"] == _SYSCTL and not _is_missing_setting(mount):
            own = directory / _setting_file(mount)
            own.parent.mkdir(exist_ok=True)
            own.write_bytes(Path(mount["destination"]).read_bytes())
            own.chmod(0o644)


def _setting_file(mount: dict[str, Any]) -> Path:
    """Where in the guest's directory its own value is: `sysctl/vm.overcommit_memory`."""
    return Path(_SYSCTL) / ".".join(Path(mount["destination"]).relative_to("/proc/sys").parts)


def _is_missing_setting(mount: dict[str, Any]) -> bool:
    return mount["source"] == _SYSCTL and not Path(mount["destination"]).exists()


def _with_hierarchies(mount: dict[str, Any], hierarchies: Sequence[str]) -> list[dict[str, Any]]:
    """The mounts of a hybrid machine instead of cgroup v2: v2 as `unified`, and each v1 hierarchy beside it."""
    if mount["type"] != "cgroup2" or not hierarchies:
        return [mount]
    plain = ["nosuid", "noexec", "nodev"]
    base = Path(mount["destination"])
    return [
        {"destination": str(base), "type": "tmpfs", "source": "tmpfs", "options": [*plain, "mode=755"]},
        {**mount, "destination": str(base / "unified")},
        *(
            {"destination": str(base / name), "type": "bind", "source": f"cgroup/{name}", "options": ["bind", "rw"]}
            for name in hierarchies
        ),
    ]
