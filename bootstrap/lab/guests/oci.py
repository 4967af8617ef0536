"""What crun is told of a guest: the OCI runtime configuration, from a data file and the guest's spec."""

from __future__ import annotations

import json
from pathlib import Path

from bootstrap.lab.guests.base import GuestSpec

_BASE = Path(__file__).parent / "container.json"

_CAPABILITIES = Path(__file__).parent / "capabilities.txt"


def capabilities() -> tuple[str, ...]:
    """What a guest's root may do: all this process may (runtimes refuse more), less what is withheld."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("CapPrm:"))
    permitted = int(line.split()[1], 16)
    lines = _CAPABILITIES.read_text(encoding="ascii").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return tuple(f"CAP_{row[0]}" for number, row in enumerate(rows) if permitted >> number & 1 and row[1:] != ["-"])


def render_config(spec: GuestSpec, *, directory: Path) -> str:
    """The `config.json` of a guest.

    Args:
        spec: The guest; its SMBIOS UUID becomes the machine id, as systemd does in a KVM machine.
        directory: The guest's directory; relative sources of bind mounts are taken from it.
    """
    config = json.loads(_BASE.read_text(encoding="utf-8"))
    config["process"]["env"].append(f"container_uuid={spec.smbios_uuid.lower()}")
    allowed = list(capabilities())
    config["process"]["capabilities"] = {
        kind: allowed for kind in ("bounding", "effective", "permitted", "inheritable")
    }
    for mount in config["mounts"]:
        if mount["type"] == "bind":
            mount["source"] = str(directory / mount["source"])
    return json.dumps(config, indent=1)
