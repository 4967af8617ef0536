"""The Proxmox hosts the suite runs against: the lab, and a real one where the environment names it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

TASK_S = 180.0


@dataclass(kw_only=True)
class Host:
    """A Proxmox VE API and what the suite may do there.

    Attributes:
        endpoint: `https://ADDRESS:PORT`.
        verify: CA file, or False.
        tokens: Token (`USER@REALM!ID=SECRET`) by role: `admin`, `norights`.
        names: What `{name}` stands for in the cases.
        vmids: Ids the suite may make and destroy; empty: only what changes nothing is run.
        scale: Real seconds per Proxmox second.
    """

    endpoint: str
    verify: str | bool
    tokens: Mapping[str, str]
    names: dict[str, Any] = field(default_factory=dict)
    vmids: tuple[int, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._ids: Iterator[int] = iter(())

    def fill_names(self, *, pve_node: str, template: int, storage: str, bridge: str) -> None:
        """Read the rest of what the cases name from the host itself."""
        config = self.json("GET", f"/nodes/{pve_node}/qemu/{template}/config")
        size = next(part[5:-1] for part in config["scsi0"].split(",") if part.startswith("size="))
        listed = {item["node"]: item for item in self.json("GET", "/nodes")}
        admin_id = self.tokens["admin"].partition("=")[0]
        self.names.update(
            node=pve_node,
            template=template,
            template_name=config["name"],
            storage=storage,
            bridge=bridge,
            base=config["scsi0"].split(",")[0].partition(":")[2],
            disk_plus_1=int(size) + 1,
            maxcpu=listed[pve_node]["maxcpu"],
            admin_id=admin_id,
            admin_user=admin_id.partition("!")[0],
            missing=987654,
            x8192="x" * 8192,
            x8193="x" * 8193,
        )

    def next_vmid(self) -> int:
        """An id nothing has at the moment."""
        for _ in range(2 * len(self.vmids)):
            vmid = next(self._ids, None)
            if vmid is None:
                self._ids = iter(self.vmids)
            elif self.is_free(vmid):
                return vmid
        raise RuntimeError("all vmids the suite may use are in use")

    def is_free(self, vmid: int) -> bool:
        """Whether no VM has this id."""
        return self.send("GET", "/cluster/nextid", params={"vmid": vmid}).status_code == 200

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> requests.Response:
        """One request; by default as `admin`, and without any token for an empty one."""
        token = self.tokens["admin"] if token is None else token
        sent = {"Authorization": f"PVEAPIToken={token}"} if token else {}
        return self._session.request(
            method,
            f"{self.endpoint}/api2/json{path}",
            headers=sent | dict(headers or {}),
            params=params,
            data=body,
            verify=self.verify,
            timeout=TASK_S,
        )

    def json(self, method: str, path: str, values: Mapping[str, Any] | None = None) -> Any:
        """The `data` of a request that must succeed, its task (if it made one) awaited."""
        in_query = method in ("GET", "DELETE")
        reply = self.send(method, path, params=values if in_query else None, body=None if in_query else values)
        assert reply.status_code == 200, f"{method} {path}: {reply.status_code} {reply.reason} {reply.text}"
        data = reply.json()["data"]
        if isinstance(data, str) and data.startswith("UPID:"):
            ended = self.wait(data)
            assert ended["exitstatus"] == "OK", f"{method} {path}: {ended['exitstatus']}"
        return data

    def wait(self, upid: str) -> dict[str, Any]:
        """The status of a task once it has ended."""
        path = f"/nodes/{upid.split(':')[1]}/tasks/{upid}/status"
        deadline = time.monotonic() + TASK_S
        while time.monotonic() < deadline:
            task: dict[str, Any] = self.send("GET", path).json()["data"]
            if task["status"] == "stopped":
                return task
            time.sleep(0.05 if self.scale == 1 else 0.005)
        raise TimeoutError(f"{upid} did not end")

    def make(self, kind: str, vmid: int) -> None:
        """Make a VM of a kind the cases name."""
        node, template = self.names["node"], self.names["template"]
        one = f"/nodes/{node}/qemu/{vmid}"
        if kind in ("clone", "running", "agent", "locked", "held"):
            self.json("POST", f"/nodes/{node}/qemu/{template}/clone", {"newid": vmid, "name": f"contract-{vmid}"})
        else:
            agent = {"agent": 1} if kind == "mute" else {}
            self.json("POST", f"/nodes/{node}/qemu", {"vmid": vmid, "name": f"contract-{vmid}", "memory": 256, **agent})
        if kind in ("running", "agent", "deaf", "mute"):
            self.json("POST", f"{one}/status/start")
        self.after_make(kind, vmid)
        if kind == "agent":
            self._wait_for_agent(one)

    def after_make(self, kind: str, vmid: int) -> None:
        """What a VM of a kind needs besides; on a real host a VM without a system is deaf and mute by itself."""

    def before_remove(self, vmid: int) -> None:
        """What has to be undone before a VM can be removed."""

    def remove(self, vmid: int) -> None:
        """Remove a VM of the suite's, whatever state it is in."""
        if vmid not in self.vmids:
            raise RuntimeError(f"{vmid} is not the suite's to remove")
        if self.is_free(vmid):
            return
        self.before_remove(vmid)
        one = f"/nodes/{self.names['node']}/qemu/{vmid}"
        self.json("PUT", f"{one}/config", {"protection": 0})
        self.json("POST", f"{one}/status/stop")
        self.json("DELETE", one)

    def _wait_for_agent(self, one: str) -> None:
        deadline = time.monotonic() + TASK_S
        while self.send("POST", f"{one}/agent/ping").status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError("the guest agent does not answer")


def real_host() -> Host | None:
    """The host of the environment.

    `PROXMOX_VE_ENDPOINT`, `PROXMOX_VE_API_TOKEN` (of root) name it; `PROXMOX_VE_INSECURE=1` leaves its certificate
    unchecked. `PROXMOX_VE_CONTRACT_VMIDS=990000-990009` lets the suite make and destroy VMs of these ids;
    `PROXMOX_VE_CONTRACT_NODE`, `_TEMPLATE`, `_STORAGE`, `_BRIDGE` and `_NORIGHTS_TOKEN` tell the rest.
    """
    endpoint = os.environ.get("PROXMOX_VE_ENDPOINT")
    if not endpoint:
        return None
    prefix = "PROXMOX_VE_CONTRACT_"
    first, _, last = os.environ.get(prefix + "VMIDS", "").partition("-")
    host = Host(
        endpoint=endpoint.rstrip("/"),
        verify=os.environ.get("PROXMOX_VE_INSECURE") != "1",
        tokens={
            "admin": os.environ["PROXMOX_VE_API_TOKEN"],
            **({"norights": os.environ[prefix + "NORIGHTS_TOKEN"]} if prefix + "NORIGHTS_TOKEN" in os.environ else {}),
        },
        vmids=tuple(range(int(first), int(last or first) + 1)) if first else (),
    )
    host.fill_names(
        pve_node=os.environ.get(prefix + "NODE", "pve1"),
        template=int(os.environ.get(prefix + "TEMPLATE", "9000")),
        storage=os.environ.get(prefix + "STORAGE", "local"),
        bridge=os.environ.get(prefix + "BRIDGE", "vmbr0"),
    )
    return host
