"""What prepare-system.sh gets: parameters, and files beside it. Pure."""

from __future__ import annotations

from typing import Final

from bootstrap.model.system import SystemSpec

_HEADER: Final = "# Written by homelab-k8s from the inventory; changes are overwritten.\n"


def system_env(system: SystemSpec) -> dict[str, str]:
    """The parameters."""
    return {"PACKAGES": " ".join(system.packages)}


def system_files(system: SystemSpec) -> dict[str, str]:
    """The files beside the script, none where nothing is wanted of that kind."""
    files = {
        "sysctls": "".join(f"{name} = {value}\n" for name, value in system.sysctls),
        "modules": "".join(f"{name}\n" for name in system.kernel_modules),
    }
    return {name: _HEADER + text for name, text in files.items() if text}
