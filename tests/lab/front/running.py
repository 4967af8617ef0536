"""A running lab, and a way to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from bootstrap.lab.guest_memory import MemoryGuests
from bootstrap.lab.options import LabInfo
from bootstrap.lab.server import LabServer


@dataclass
class Lab:
    """A running front and what stands behind it."""

    server: LabServer
    info: LabInfo
    guests: MemoryGuests
    cert: str

    def send(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        token = f"{self.info.token_id}={self.info.token_secret}" if token is None else token
        sent = {"Authorization": f"PVEAPIToken={token}"} if token else {}
        in_query = method in ("GET", "DELETE")
        return requests.request(
            method,
            f"{self.info.endpoint}{path}",
            headers={**sent, **(headers or {})},
            params=values if in_query else None,
            data=None if in_query else values,
            verify=self.cert,
            timeout=60,
        )

    def api(self, method: str, path: str, values: Mapping[str, Any] | None = None) -> Any:
        """`data` of a request that succeeds; of a task that succeeds, too."""
        reply = self.send(method, f"/api2/json{path}", values)
        assert reply.status_code == 200, f"{reply.status_code} {reply.reason} {reply.text}"
        data = reply.json()["data"]
        if isinstance(data, str) and data.startswith("UPID:"):
            assert self.ended(data)["exitstatus"] == "OK"
        return data

    def ended(self, upid: str) -> Any:
        while True:
            task = self.send("GET", f"/api2/json/nodes/{upid.split(':')[1]}/tasks/{upid}/status").json()["data"]
            if task["status"] == "stopped":
                return task

    def clone(self, vmid: int, *, start: bool = False, **values: Any) -> str:
        """Clone the template; returns the VM's path."""
        self.api("POST", "/nodes/pve1/qemu/9000/clone", {"newid": vmid, "name": f"n{vmid}", **values})
        path = f"/nodes/pve1/qemu/{vmid}"
        if start:
            self.api("POST", f"{path}/status/start")
        return path
