"""A Proxmox host the suite runs against: requests, tasks, and the VMs the suite makes there."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util import Retry

from tests.contract.versions import Version, parse_version

TASK_S = 180.0
AGENT_S = 600.0
"""How long a guest may take to boot; without KVM it takes minutes."""
RETRIES = Retry(total=3, connect=3, other=3, read=0, status=0, backoff_factor=0.2)
"""A request that has not been sent may be sent again, and no other."""
MARK = "homelab-k8s contract suite: may be destroyed"
"""Starts the description of each VM, and is the comment of each pool and user, that the suite makes."""
CLONES = ("clone", "running", "agent", "locked", "held", "pooled", "managed")
"""Kinds of VMs that are linked clones of the suite's template; all others are made without a disk."""
FEWEST_VMIDS = 6
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(kw_only=True)
class Host:
    """A Proxmox VE API and what the suite may do there.

    Attributes:
        endpoint: `https://ADDRESS:PORT`.
        verify: CA file, True for those of the system, or False.
        tokens: Token (`USER@REALM!ID=SECRET`) by role: `admin`, `norights`, `pooled`.
        names: What `{name}` stands for in the cases.
        vmids: Ids the suite may make and destroy; empty: only what changes nothing is run. The first is its template's,
            the second that of the VM whose guest agent is asked, and the last is never made.
        scale: Real seconds per Proxmox second.
        version: Of Proxmox VE, once `fill_names` has read it.
    """

    endpoint: str
    verify: str | bool
    tokens: dict[str, str]
    names: dict[str, Any] = field(default_factory=dict)
    vmids: tuple[int, ...] = ()
    scale: float = 1.0
    version: Version = ()

    def __post_init__(self) -> None:
        self._ids: Iterator[int] = iter(())
        self._has_agent_vm = False

    def fill_names(self, *, pve_node: str, template: int, storage: str, bridge: str) -> None:
        """Read the rest of what the cases name from the host itself."""
        self.version = parse_version(self.json("GET", "/version")["version"])
        storages = {item["storage"]: item for item in self.json("GET", f"/nodes/{pve_node}/storage")}
        listed = {item["node"]: item for item in self.json("GET", "/nodes")}
        admin_id = self.tokens["admin"].partition("=")[0]
        filler = f"{MARK}\n".ljust(8192, "x")
        self.names.update(
            node=pve_node,
            storage=storage,
            storage_type=storages[storage]["type"],
            storage_content=storages[storage]["content"].split(","),
            bridge=bridge,
            maxcpu=listed[pve_node]["maxcpu"],
            admin_id=admin_id,
            admin_user=admin_id.partition("!")[0],
            missing=self.vmids[-1] if self.vmids else 987654,
            mark=MARK,
            x8192=filler,
            x8193=filler + "x",
            x61441="x" * 61_441,
        )
        self.name_template(template)

    def name_template(self, template: int) -> None:
        """Let `{template}` and what belongs to it stand for this template."""
        config = self.json("GET", f"/nodes/{self.names['node']}/qemu/{template}/config")
        size = next(part[5:] for part in config["scsi0"].split(",") if part.startswith("size="))
        grown = int(size[:-1]) * _UNITS[size[-1]] + _UNITS["G"]
        self.names.update(
            template=template,
            template_name=config["name"],
            template_fields=frozenset(config),
            cores=config.get("cores", 1),
            memory=config.get("memory", "512"),
            base=config["scsi0"].split(",")[0].partition(":")[2],
            disk_plus_1=next(f"{grown // _UNITS[unit]}{unit}" for unit in "GMK" if grown % _UNITS[unit] == 0),
        )

    def make_template(self) -> None:
        """Make a template of the suite's own, so that no case changes, or tries to, what is somebody else's."""
        node, vmid = self.names["node"], self.vmids[0]
        values = {"newid": vmid, "name": "contract-template", "full": 1, "description": MARK}
        self.json("POST", f"/nodes/{node}/qemu/{self.names['template']}/clone", values)
        self.json("POST", f"/nodes/{node}/qemu/{vmid}/template")
        self.name_template(vmid)

    def next_vmid(self) -> int:
        """An id nothing has at the moment."""
        for _ in range(2 * len(self.vmids)):
            vmid = next(self._ids, None)
            if vmid is None:
                self._ids = iter(self.vmids[2:-1])
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
        # A session for each request: pveproxy's workers come and go, and with them their idle connections.
        with warnings.catch_warnings(), requests.Session() as session:
            if self.verify is False:  # asked for, and pytest makes an error of every warning
                warnings.simplefilter("ignore", InsecureRequestWarning)
            session.mount("https://", HTTPAdapter(max_retries=RETRIES))
            return session.request(
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
        """Make a VM of a kind the cases name, marked as the suite's."""
        node, template = self.names["node"], self.names["template"]
        one = f"/nodes/{node}/qemu/{vmid}"
        marked = {"name": f"contract-{vmid}", "description": MARK}
        if kind in CLONES:
            pool = {"pool": self.names["pool"]} if kind == "pooled" else {}
            self.json("POST", f"/nodes/{node}/qemu/{template}/clone", {"newid": vmid, **marked, **pool})
        else:
            agent = {"agent": 1} if kind == "mute" else {}
            self.json("POST", f"/nodes/{node}/qemu", {"vmid": vmid, "memory": 256, **marked, **agent})
        if kind in ("running", "agent", "deaf", "mute"):
            self.json("POST", f"{one}/status/start")
        if kind == "managed":
            self.json("POST", "/cluster/ha/resources", {"sid": f"vm:{vmid}", "state": "stopped", "comment": MARK})
        self.after_make(kind, vmid)
        if kind == "agent":
            self._wait_for_agent(one)

    def agent_vmid(self) -> int:
        """The VM whose guest agent is asked: made once, since a guest may take minutes to boot."""
        if not self._has_agent_vm:
            self.make("agent", self.vmids[1])
            self._has_agent_vm = True
        return self.vmids[1]

    def remove_agent_vm(self) -> None:
        """Remove it once it has been asked, since it takes memory and CPU of the host."""
        if self._has_agent_vm:
            self.remove(self.vmids[1])
            self._has_agent_vm = False

    def why_it_cannot(self, need: str) -> str:
        """Why the host lacks what a case needs of it; empty where it has it."""
        if need in ("", "real"):
            return ""
        if need == "range":
            return "" if self.vmids else "needs ids that the suite may use"
        if need == "directory":  # images are files there, and texts name their paths
            kind = self.names["storage_type"]
            return "" if kind in ("dir", "nfs", "cifs") else f"storage {self.names['storage']} is of type {kind}"
        if need == "no-import":
            found = "import" in self.names["storage_content"]
            return f"storage {self.names['storage']} has content type 'import'" if found else ""
        if need == "ha":
            return "" if self._is_ha_in_use() else "HA is not in use here"
        paths = {"no-ha": "/cluster/ha/resources", "no-sdn": "/cluster/sdn/zones", "no-mapping": "/cluster/mapping/pci"}
        return f"there are some: GET {paths[need]}" if self.json("GET", paths[need]) else ""

    def _is_ha_in_use(self) -> bool:
        """Whether a manager is at work; the suite's VM would start the first one, and with it a watchdog."""
        return any(row["type"] == "master" for row in self.json("GET", "/cluster/ha/status/current"))

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
        config = self.json("GET", f"{one}/config")
        if not str(config.get("description", "")).startswith(MARK):
            raise RuntimeError(f"VM {vmid} does not carry the suite's mark: {config}")
        self.json("PUT", f"{one}/config", {"protection": 0})
        self.json("POST", f"{one}/status/stop")
        self.json("DELETE", one, {"purge": 1})

    def _wait_for_agent(self, one: str) -> None:
        deadline = time.monotonic() + AGENT_S
        while self.send("POST", f"{one}/agent/ping").status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError("the guest agent does not answer")
            time.sleep(self.scale)
