"""The packages of a Proxmox node that the product asks for."""

from __future__ import annotations

from collections.abc import Mapping

from bootstrap.lab.front.gateway.call import Answer, Call, Handler
from bootstrap.lab.front.gateway.context import Front

_VERSIONS = {
    8: {"pve-manager": "8.4.1", "pve-qemu-kvm": "9.2.0-5", "qemu-server": "8.3.12"},
    9: {"pve-manager": "9.2.11", "pve-qemu-kvm": "11.0.0-2", "qemu-server": "9.2.6"},
}


class Packages:
    """`/nodes/{node}/apt/versions`."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What this part answers."""
        return {("GET", "/nodes/{node}/apt/versions"): self.versions}

    async def versions(self, call: Call) -> Answer:
        """The installed packages; `OldVersion` is installed, `Version` available."""
        self.front.pve.require(call.user, f"/nodes/{call.pve_node}", "Sys.Audit")
        versions = dict(_VERSIONS[8 if str(self.front.options.pve_version).startswith("8") else 9])
        fault = self.front.faults.strike("package-version", pve_node=call.pve_node)
        if fault is not None:
            versions[fault.text("package")] = fault.text("version")
        return Answer(
            [
                {"Package": name, "Title": name, "Version": version, "OldVersion": version, "CurrentState": "Installed"}
                for name, version in versions.items()
            ]
        )
