"""Proxmox VE's API of a home's lab, spoken to by hand."""

from __future__ import annotations

import json
import ssl
import urllib.parse
import urllib.request

from tests.e2e.homes import Home


class Api:
    """Proxmox VE's API of the lab, spoken to by hand: what a user might do in the web interface."""

    def __init__(self, home: Home) -> None:
        info = json.loads((home.directory / "state/homelab-k8s/lab/lab.json").read_text())
        self._base = f"{info['endpoint']}/api2/json"
        self._token = info["root_token"]
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def call(self, method: str, path: str, **values: str | int) -> object:
        data = urllib.parse.urlencode(values).encode() if values else None
        request = urllib.request.Request(
            self._base + path, data=data, method=method, headers={"Authorization": f"PVEAPIToken={self._token}"}
        )
        with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
            return json.load(answer)["data"]

    def fault(self, word: str, **values: str) -> None:
        """Have something wrong with the lab."""
        self._lab("POST", {"fault": word, **values})

    def mend(self) -> None:
        """Have nothing wrong with it any more."""
        self._lab("DELETE")

    def _lab(self, method: str, body: dict[str, str] | None = None) -> None:
        request = urllib.request.Request(
            self._base.replace("/api2/json", "/lab/faults"),
            data=json.dumps(body).encode() if body else None,
            method=method,
            headers={"Authorization": f"PVEAPIToken={self._token}"},
        )
        with urllib.request.urlopen(request, context=self._context, timeout=30):
            pass

    def vms(self, pve_node: str = "pve1") -> dict[int, str]:
        listed = self.call("GET", f"/nodes/{pve_node}/qemu")
        assert isinstance(listed, list)
        return {vm["vmid"]: vm["name"] for vm in listed if not vm.get("template")}
