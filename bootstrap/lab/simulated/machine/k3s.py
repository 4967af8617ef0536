"""The k3s units of a simulated guest: settings from its disk, delays and faults, then the stand-in."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import Any

from bootstrap.lab.simulated.embedding.program import Program
from bootstrap.lab.simulated.embedding.standin import API_PORT, AgentProcess, ServerProcess
from bootstrap.lab.simulated.machine.hardening import after_start
from bootstrap.lab.simulated.machine.machine import Machine
from bootstrap.lab.simulated.machine.units import Process, Unit

BINARY = "/usr/local/bin/k3s"
CONFIG = "/etc/rancher/k3s/config.yaml"
ENVIRONMENT = "/etc/systemd/system/{unit}.service.env"
SERVER_DATA = "/var/lib/rancher/k3s/server"
_ASSIGNMENT = re.compile(r"([A-Za-z_0-9]+)='?([^']*)'?")


def launch(guest: Machine, unit: Unit) -> Process:
    """The process of a unit's start."""
    return _Server(guest, unit) if unit.name == "k3s" else _Agent(guest, unit)


def program_of(guest: Machine) -> Program:
    """The installed stand-in. Raises NotStandInError, FileNotFoundError."""
    return guest.world.programs.at(guest.disk.path(BINARY))


def serving(guest: Machine) -> Any:  # noqa: ANN401 - the stand-in is loaded at run time
    """The k3s server that listens on the guest's own address. Raises OSError as a connection would."""
    return guest.world.network.reach(str(guest.address), API_PORT)


def api_refusal(guest: Machine) -> tuple[int, dict[str, Any]] | None:
    """The Kubernetes API's answer under a fault; None without one."""
    if not guest.struck("api-503"):
        return None
    message = "apiserver not ready"
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 503}
    return 503, {**status, "reason": "ServiceUnavailable", "message": message}


class _Start:
    """The base of servers and agents."""

    def __init__(self, guest: Machine, unit: Unit) -> None:
        self.guest, self.unit = guest, unit

    @property
    def address(self) -> IPv4Address:
        if self.guest.address is None:
            raise RuntimeError(f"{self.guest.name} is off")
        return self.guest.address

    def environ(self) -> dict[str, str]:
        text = self.guest.disk.read(ENVIRONMENT.format(unit=self.unit.name)) or ""
        found = (_ASSIGNMENT.fullmatch(line) for line in text.splitlines())
        own = {match[1]: match[2] for match in found if match}
        fault = self.guest.struck("dies-when-up")
        return own if fault is None else {**own, "K3S_STANDIN_DIES_AFTER_S": str(fault.values["after_s"])}

    def tell(self, line: str) -> None:
        """Write a line to the journal, with paths as in the guest."""
        self.unit.say(line.replace(str(self.guest.disk.root), ""))

    def loops(self) -> bool:
        """Whether a fault ends the process at once."""
        if not self.guest.struck("unit-looping"):
            return False
        self.unit.say('time="simulated" level=fatal msg="failed to start: simulated fault unit-looping"')
        return True

    def ready_delay_s(self, name: str) -> float:
        return self.guest.world.delays.real_s(name, self.guest.vmid)


class _Server(_Start):
    def up(self) -> None:
        """Its process has said READY=1."""
        after_start(self.guest.disk)
        self.unit.up()

    async def run(self) -> int:
        guest = self.guest
        config = guest.disk.read(CONFIG) or ""
        if guest.disk.path(f"{SERVER_DATA}/db").exists():
            kind = "server_restart"
        elif re.search(r"^server:", config, re.MULTILINE):
            kind = "server_join"
        else:
            kind = "server_etcd" if "cluster-init" in config else "server"
        await guest.wait(kind)
        if self.loops():
            return 1
        with ExitStack() as stack:
            if guest.struck("port-taken"):
                stack.enter_context(_occupied(self.address))
            process = ServerProcess(
                program_of(guest),
                root=guest.disk.root,
                environ=self.environ(),
                address=self.address,
                network=guest.world.network,
                tell=self.tell,
                up=self.up,
                refusal=lambda: api_refusal(guest),
                held=lambda: guest.struck("never-ready") is not None,
                ready_delay_s=self.ready_delay_s("server_ready"),
            )
            return await process.run()


class _Agent(_Start):
    async def run(self) -> int:
        guest = self.guest
        await guest.wait("join")
        if self.loops():
            return 1
        process = AgentProcess(
            program_of(guest),
            machine=guest.name,
            vmid=guest.vmid,
            root=guest.disk.root,
            environ=self.environ(),
            network=guest.world.network,
            faults=guest.world.faults,
            threads=guest.world.threads,
            tell=self.tell,
            up=self.unit.up,
            scale=guest.world.delays.scale,
            ready_delay_s=self.ready_delay_s("ready"),
            unit_delay_s=self.ready_delay_s("unit_ready"),
        )
        return await process.run()


def _occupied(address: IPv4Address) -> socket.socket:
    """Another program on k3s's port."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((str(address), API_PORT))
    taken.listen(1)
    return taken
