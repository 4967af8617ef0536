"""Machines of the stand-in's own tests: processes on loopback, each with a root directory and an address."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from kubernetes import client, config

from bootstrap.lab.standin_release import DEFAULT_VERSION, render_program

KUBECTL = Path(sys.executable).with_name("kubectl")
TOKEN = "open-sesame"

PATIENCE_S = 60.0
"""Usually a wait ends within a second or two; a busy machine may take longer."""

PATIENT = ["leader-elect-renew-deadline=60s"]
"""For servers: one that has lost its majority ends after 2 s, and here is no systemd that starts it again."""

ADD_ONS = ["coredns", "local-storage", "metrics-server"]
"""Left out for servers, whose tests count pods and watch the scheduler; one test has them."""

T = TypeVar("T")


def eventually(check: Callable[[], T], what: str, *, told: Callable[[], str] = str) -> T:
    """Wait until `check` returns something true, and return that; on failure show `told()`."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}\n{told()}"
        time.sleep(0.02)
    return found


class Machine:
    """One machine: its files, its k3s process, its journal."""

    def __init__(self, root: Path, name: str, address: str, program: Path) -> None:
        self.root, self.name, self.address = root, name, address
        self.url = f"https://{address}:6443"
        self.kubeconfig = root / "etc/rancher/k3s/k3s.yaml"
        self.server_dir = root / "var/lib/rancher/k3s/server"
        self.program = program
        self._log = root / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, **settings: object) -> None:
        """Write its settings: these and the common ones; None removes one."""
        base: dict[str, object] = {"node-name": self.name, "node-ip": self.address, "token": TOKEN}
        if "bind_address" in settings:
            given = settings.pop("kube_controller_manager_arg", [])
            assert isinstance(given, list)
            base["kube-controller-manager-arg"] = [*given, *PATIENT]  # the first one of a name counts
            base["disable"] = ADD_ONS
        path = self.root / "etc/rancher/k3s/config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        merged = base | {key.replace("_", "-"): value for key, value in settings.items()}
        path.write_text(yaml.safe_dump({key: value for key, value in merged.items() if value is not None}))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-I", str(self.program), *words]

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("K3S_", "KUBECONFIG"))}
        return inherited | {"K3S_STANDIN_ROOT": str(self.root)} | more

    def start(self, *words: str, **environment: str) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*words), stdout=log, stderr=log, env=self.environment(**environment)
            )

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            env=self.environment(**environment),
            timeout=PATIENCE_S,
            check=False,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def exit_code(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def tail(self) -> str:
        """The end of the journal, and whether the process lives."""
        lines = self.log.splitlines()[-25:]
        return "\n".join([f"{self.name}, exit code {self.exit_code()}, its journal ends with:", *lines])

    def logs(self, text: str, times: int = 1) -> None:
        """Wait for this text in the journal."""
        what = f"{text!r} {times} times in the journal"
        eventually(lambda: self.log.count(text) >= times, what, told=self.tail)

    def up(self) -> None:
        """Wait until k3s is up; shows the journal if it exited instead."""
        eventually(lambda: "is up and running" in self.log or self.exit_code() is not None, "k3s is up", told=self.tail)
        assert self.exit_code() is None, self.log

    def ends(self, what: str) -> int:
        """Wait until the process has ended by itself, and return its exit code."""
        eventually(lambda: self.exit_code() is not None, what, told=self.tail)
        code = self.exit_code()
        assert code is not None
        return code

    def restart(self, command: str = "server") -> None:
        """Stop it, start it, and wait until it is up again."""
        self.terminate()
        times = self.log.count("is up and running")
        self.start(command)
        self.logs("is up and running", times=times + 1)


HOLDER_PORT = 26443
_networks = itertools.count(os.getpid() * 61)


def claim_network() -> tuple[socket.socket, str]:
    """Another /24 of loopback for each set of machines, and the socket that keeps all other processes off it.

    They are in 127.32.0.0/11: simulated guests (bootstrap/lab/simulated/machine/addresses.py) live above.
    """
    for number in itertools.islice(_networks, 32 * 250):
        network = f"127.{32 + number // 250 % 32}.{number % 250}"
        holder = socket.socket()
        try:
            holder.bind((f"{network}.1", HOLDER_PORT))
            holder.listen(1)
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return holder, network
    raise AssertionError("all networks for machines are taken")


class Machines:
    """All machines of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holder, self.network = claim_network()
        self._program = folder / ".k3s"
        self._program.write_bytes(render_program(version=DEFAULT_VERSION, arch=""))
        self.all: list[Machine] = []

    def add(self, name: str) -> Machine:
        machine = Machine(self.folder / name, name, f"{self.network}.{len(self.all) + 10}", self._program)
        machine.root.mkdir(parents=True)
        self.all.append(machine)
        return machine

    def server(self, name: str, **settings: object) -> Machine:
        """A running server."""
        machine = self.add(name)
        machine.configure(bind_address=machine.address, **settings)
        machine.start("server")
        machine.up()
        return machine

    def agent(self, name: str, server: Machine, **settings: object) -> Machine:
        """A started agent, which may or may not come up."""
        machine = self.add(name)
        machine.configure(server=server.url, **settings)
        machine.start("agent")
        return machine

    def stop(self) -> None:
        for machine in self.all:
            if machine.process is not None:
                machine.kill()
        self._holder.close()


class Cluster:
    """The API of a cluster through the Kubernetes client, as any program would use it."""

    def __init__(self, server: Machine) -> None:
        self.server = server
        loader: Any = config
        self.api_client: Any = loader.new_client_from_config(str(server.kubeconfig))
        self.core: Any = client.CoreV1Api(self.api_client)

    def close(self) -> None:
        self.api_client.close()
        self.api_client.rest_client.pool_manager.clear()

    def ready(self) -> dict[str, str]:
        """Node name to the status of its Ready condition."""
        return {
            node.metadata.name: next((c.status for c in node.status.conditions or [] if c.type == "Ready"), "")
            for node in self.core.list_node().items
        }

    def wait_ready(self, *names: str) -> None:
        eventually(lambda: all(self.ready().get(name) == "True" for name in names), f"{names} are Ready")

    def kubectl(self, *words: str) -> str:
        """The real kubectl."""
        done = subprocess.run(
            [str(KUBECTL), "--kubeconfig", str(self.server.kubeconfig), *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
