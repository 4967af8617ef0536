"""A cluster as one writes it in an afternoon: one machine after the other at each stage, proxmoxer and Fabric."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fabric
import proxmoxer
import requests
import urllib3

DIRECTORY = ".homelab-k8s"
_TIMEOUT_S = 600.0


class Loop:
    """Builds what an order says."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._machines: list[dict[str, Any]] = order["machines"]
        api = order["api"]
        urllib3.disable_warnings()
        self._api = proxmoxer.ProxmoxAPI(
            api["host"],
            port=api["port"],
            user=api["user"],
            token_name=api["token_id"],
            token_value=api["token_secret"],
            verify_ssl=False,
            timeout=30,
        )
        self._shells: dict[str, fabric.Connection] = {}
        self._addresses: dict[str, str] = {}

    def build(self) -> None:
        """Machines, then k3s on the first, then on each other one, then wait for all."""
        for machine in self._machines:
            self._make(machine)
        for machine in self._machines:
            self._reach(machine)
            self._send(machine)
        server, *agents = self._machines
        self._install(server, "server", {"tls-san": [self._addresses[server["name"]]]})
        _until(lambda: self._script(server, "readyz.sh", check=False).strip().endswith("ok"))
        token = self._script(server, "read-token.sh").strip()
        join = {"server": f"https://{self._addresses[server['name']]}:6443"}
        for agent in agents:
            self._install(agent, "agent", join, token=token)
        self._await_ready(server)

    def remove(self) -> None:
        """Whatever of the order's machines is there."""
        there = {int(row["vmid"]): row["status"] for row in self._node.qemu.get()}
        for machine in self._machines:
            vmid = machine["vmid"]
            if there.get(vmid) == "running":
                self._task(self._node.qemu(vmid).status.stop.post())
            if vmid in there:
                self._task(self._node.qemu(vmid).delete())

    @property
    def _node(self) -> Any:  # noqa: ANN401 - proxmoxer has no types
        return self._api.nodes(self._order["pve_node"])

    def _make(self, machine: dict[str, Any]) -> None:
        order, vmid = self._order, machine["vmid"]
        self._task(self._node.qemu(order["template"]).clone.post(newid=vmid, name=machine["name"], full=0))
        self._node.qemu(vmid).config.put(
            cores=machine["cores"],
            memory=machine["memory"],
            agent="enabled=1",
            ciuser=order["user"],
            sshkeys=quote(order["public_key"], safe=""),
            ipconfig0="ip=dhcp",
        )
        self._task(self._node.qemu(vmid).resize.put(disk="scsi0", size=order["disk"]))
        self._task(self._node.qemu(vmid).status.start.post())

    def _task(self, upid: str | None) -> None:
        if upid is not None:
            _until(lambda: self._node.tasks(upid).status.get()["status"] == "stopped")
            status = self._node.tasks(upid).status.get()["exitstatus"]
            if status != "OK" and not status.startswith("WARNINGS"):
                raise RuntimeError(f"{upid}: {status}")

    def _reach(self, machine: dict[str, Any]) -> None:
        name = machine["name"]
        _until(lambda: self._address(machine) is not None, every_s=1.0)
        self._addresses[name] = str(self._address(machine))
        shell = fabric.Connection(
            self._addresses[name],
            user=self._order["user"],
            port=self._order["ssh_port"],
            connect_kwargs={"key_filename": self._order["key"], "allow_agent": False, "look_for_keys": False},
            connect_timeout=5,
        )
        self._shells[name] = shell
        _until(lambda: _opens(shell))

    def _address(self, machine: dict[str, Any]) -> str | None:
        try:
            found = self._node.qemu(machine["vmid"]).agent("network-get-interfaces").get()
        except (proxmoxer.ResourceException, requests.exceptions.RequestException):
            return None
        for interface in found["result"]:
            for address in interface.get("ip-addresses") or ():
                if address["ip-address-type"] == "ipv4" and interface["name"] != "lo":
                    return str(address["ip-address"])
        return None

    def _send(self, machine: dict[str, Any]) -> None:
        shell = self._shells[machine["name"]]
        sftp = shell.sftp()
        sftp.mkdir(DIRECTORY)
        for file in sorted(Path(self._order["scripts"]).glob("*/*")):
            if file.is_file():
                sftp.put(str(file), f"{DIRECTORY}/{file.name}")
        _until(lambda: "done=1" in self._script(machine, "cloud-init-result.sh"))
        sftp.put(self._order["binary"], f"{DIRECTORY}/k3s.bin")

    def _install(
        self, machine: dict[str, Any], role: str, settings: dict[str, Any], *, token: str | None = None
    ) -> None:
        import hashlib

        name, unit = machine["name"], "k3s" if role == "server" else "k3s-agent"
        config = {"node-name": name, "node-ip": self._addresses[name], **settings}
        sftp = self._shells[name].sftp()
        # JSON is YAML.
        lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())
        sftp.putfo(BytesIO(lines.encode()), f"{DIRECTORY}/config.yaml")
        sftp.putfo(BytesIO(f"K3S_TOKEN='{token or self._order['token']}'\n".encode()), f"{DIRECTORY}/service.env")
        sha256 = hashlib.sha256(Path(self._order["binary"]).read_bytes()).hexdigest()
        self._script(machine, "install-k3s.sh", ROLE=role, SHA256=sha256)
        self._script(machine, "start-k3s.sh", UNIT=unit, RESTART="0")
        _until(lambda: "active_state=active" in self._script(machine, "unit-state.sh", UNIT=unit))

    def _script(self, machine: dict[str, Any], script: str, *, check: bool = True, **env: str) -> str:
        words = " ".join(f"{key}={value}" for key, value in {"LC_ALL": "C", **env}.items())
        command = f"cd {DIRECTORY} && exec sudo -n env {words} sh ./{script}"
        done = self._shells[machine["name"]].run(command, hide=True, in_stream=False, warn=not check)
        return str(done.stdout)

    def _await_ready(self, server: dict[str, Any]) -> None:
        path = Path(self._order["kubeconfig"])
        text = self._script(server, "read-kubeconfig.sh").replace("127.0.0.1", self._addresses[server["name"]])
        path.write_text(text, encoding="utf-8")
        count = len(self._machines)
        _until(lambda: _ready(path) == count, every_s=1.0)


def _ready(kubeconfig: Path) -> int:
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), "get", "nodes", "--no-headers"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sum(line.split()[1] == "Ready" for line in done.stdout.splitlines())


def _opens(shell: fabric.Connection) -> bool:
    try:
        shell.open()
    except (OSError, EOFError):
        return False
    except fabric.connection.SSHException:
        return False
    return True


def _until(check: Callable[[], bool], *, every_s: float = 0.3) -> None:
    end_s = time.monotonic() + _TIMEOUT_S
    while not check():
        if time.monotonic() > end_s:
            raise TimeoutError("waited too long")
        time.sleep(every_s)


if __name__ == "__main__":
    Loop(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).build()
