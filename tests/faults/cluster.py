"""A cluster in a lab with faults, and the output and result of one command on it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import requests

from bootstrap.adapters import connect_ports, proxmox
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.reports.status import cluster_status
from bootstrap.commands.verbs.down import Down
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import HomelabError
from bootstrap.events import Event, StepFailed, StepFinished, Told, Warned
from bootstrap.execution.context import KubeconfigTarget, Timeouts
from bootstrap.homelab import Homelab
from bootstrap.lab.options import LabInfo
from bootstrap.model.cluster import ClusterSpec
from bootstrap.ports import Ports
from tests.kills.cluster import KillableCluster

TIMEOUTS = Timeouts(
    first_ask_s=0.05,
    run_s=40.0,
    lock_s=2.0,
    agent_s=8.0,
    ssh_s=8.0,
    cloud_init_s=8.0,
    script_s=15.0,
    server_s=10.0,
    agent_join_s=10.0,
    ready_s=8.0,
    delete_kube_node_s=8.0,
    journal_every_s=0.3,
    final_cause_s=1.0,
    place_look_s=0.5,
    pause_look_s=1.0,
)
"""What takes minutes at the most takes seconds here: the lab's clock runs fifty times as fast. A command that ends well
needs a quarter of this, unless the machine has other work, too."""
UNHURRIED = replace(
    TIMEOUTS, run_s=60.0, agent_s=15.0, ssh_s=15.0, cloud_init_s=15.0, server_s=15.0, agent_join_s=15.0, ready_s=15.0
)
"""For a command that has to end well, on a machine that has other work too."""

RETRY_FOR_S = 4.0
REQUEST_TIMEOUT_S = 3.0
TAKER = "somebody-elses-"
"""How the VM of `vmid-taken` begins its name."""
FOREIGN = {"somebody-elses": 7001, "demo-workers-9": 7950}
"""VMs of others: one on a VMID of the cluster's range, one with a name like a machine's."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended.

    Attributes:
        code: Its exit code; 70 where it ended on something that is no HomelabError.
        error: brief, details and resolution of the one error, or empty.
        told: Warnings, facts, and problems of `status`.
        failed_steps: Lanes of which a step failed.
        took_s: Wall time.
    """

    code: int
    error: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    failed_lanes: list[str] = field(default_factory=list)
    crash: str = ""
    took_s: float = 0.0

    def part(self, name: str) -> str:
        """A part of the error; empty where there is none."""
        return self.error.get(name, "")

    @property
    def text(self) -> str:
        """All that a user reads."""
        return "\n".join([*self.error.values(), *self.told])


class FaultyCluster(KillableCluster):
    """The cluster `demo`, of one server and one agent, in a lab of its own."""

    def __init__(self, info: LabInfo, directory: Path) -> None:
        super().__init__(info, directory, servers=1, agents=1)
        self._directory = directory
        self._told = directory / "told.json"
        self.artifacts = directory / "k3s"
        self.timeouts = TIMEOUTS

    def use(self, spec: ClusterSpec) -> None:
        """Run the next commands with another spec."""
        self.spec = spec
        self._inventory = replace(self._inventory, spec=spec)

    def say(self, command: str, *, at_step: int = 0, act: Callable[[], object] | None = None) -> Said:
        """Run a command to its end; when `at_step` steps have ended, `act` once."""
        self._told.unlink(missing_ok=True)
        began_s = time.monotonic()
        to_do = [act] if act else []

        def until(boundaries: int) -> bool:
            if to_do and boundaries >= at_step:
                to_do.pop()()
            return False

        ended = self.run(command, until=until if act else None)
        assert not to_do, f"{command} ended before {at_step} steps had: the fault never came"
        took_s = time.monotonic() - began_s
        if not self._told.exists():
            return Said(code=ended.code, crash=ended.error or "no output", took_s=took_s)
        return replace(Said(**json.loads(self._told.read_text())), took_s=took_s)

    def _act(self, command: str, writing: int) -> int:
        """In the forked child: run the command and write down how it went."""
        told: list[str] = []
        failed: list[str] = []

        def sink(event: Event) -> None:
            if isinstance(event, Warned | Told):
                told.append(event.message)
            elif isinstance(event, StepFailed):
                failed.append(event.lane)
            elif isinstance(event, StepFinished):
                os.write(writing, b"\n")

        said = Said(code=0, told=told, failed_lanes=failed)
        try:
            said = replace(said, code=self._command(command, told, sink))
        except HomelabError as error:
            parts = {"brief": error.brief, "details": error.details, "resolution": error.resolution}
            said = replace(said, code=error.exit_code, error=parts)
        self._told.write_text(json.dumps(asdict(said)))
        return said.code

    def _command(self, command: str, told: list[str], sink: Any) -> int:
        homelab = self.homelab()
        options = RunOptions(timeouts=self.timeouts, kubeconfig=KubeconfigTarget(path=self._kubeconfig))
        if command == "status":
            found = homelab.look(cluster_status)
            # The foreign VM is always reported as ignored.
            told.extend(problem for problem in found.problems if "is ignored" not in problem)
            return 1 if told else 0
        if command == "down":
            homelab.run(Down(), homelab.plan(Down()), sink=sink, options=options)
            return 0
        plan = homelab.plan(Up())
        if not plan.empty:
            homelab.run(Up(), plan, sink=sink, options=options)
        return 0

    def homelab(self) -> Homelab:
        """The cluster, through the library."""
        return Homelab(self._inventory, environ={"HOME": str(self._directory)}, ports=self.ports())

    def ports(self) -> Ports:
        """The real adapters, less patient."""
        homelab = Homelab(self._inventory)
        plain = connect_ports(self._inventory, environ={"HOME": str(self._directory)}, stop=homelab.stop)
        hypervisor = proxmox.connect(
            self._inventory.endpoint,
            keys=plain.keys,
            clock=plain.clock,
            stop=homelab.stop,
            connect_timeout_s=2.0,
            request_timeout_s=REQUEST_TIMEOUT_S,
            retry_for_s=RETRY_FOR_S,
            task_timeout_s=10.0,
        )
        return replace(plain, hypervisor=hypervisor, markers=hypervisor.markers)

    def faults(self, method: str, body: Any = None) -> Any:
        """One request to the lab's faults endpoint; under `api-refused` it answers when that has ended by itself."""
        until_s = time.monotonic() + 20.0
        while True:
            try:
                answer = self._api.request(method, f"{self._info.endpoint}/lab/faults", json=body, timeout=30)
                break
            except requests.ConnectionError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        return answer.json()["faults"]

    def configs(self) -> dict[str, dict[str, Any]]:
        """Configs of all VMs but templates, by name, without what differs from clone to clone."""
        random = ("digest", "meta", "smbios1", "vmgenid", "net0", "description", "sshkeys")
        found = {}
        for name, vmid in self.vms().items():
            if name.startswith(TAKER):
                continue
            config = self.call("GET", f"/nodes/pve1/qemu/{vmid}/config")
            assert isinstance(config, dict)
            found[name] = {key: _without(value, vmid) for key, value in config.items() if key not in random}
        return found

    def state_files(self) -> list[str]:
        """What the state directory holds of the cluster."""
        root = self._directory / "state" / "homelab-k8s" / "clusters"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def power_off(self, name: str) -> None:
        """As another client does, such as Proxmox's web interface."""
        self._power(name, "stop", "stopped")

    def power_on(self, name: str) -> None:
        """The same; the guest boots on."""
        self._power(name, "start", "running")

    def _power(self, name: str, verb: str, status: str) -> None:
        path = f"/nodes/pve1/qemu/{self.vms()[name]}/status"
        self.call("POST", f"{path}/{verb}")
        until_s = time.monotonic() + 10.0
        while self._status(path) != status:
            assert time.monotonic() < until_s, f"{name} does not {verb}"
            time.sleep(0.02)

    def _status(self, path: str) -> str:
        told = self.call("GET", f"{path}/current")
        assert isinstance(told, dict)
        return str(told["status"])

    def secrets(self) -> list[str]:
        """What no text may have in it: the API token's secret, the cluster's token, the private key."""
        found = [self._info.token_secret, self._info.root_token.partition("=")[2]]
        root = self._directory / "state" / "homelab-k8s" / "clusters" / "demo"
        for name in ("token", "id_ed25519"):
            if (root / name).exists():
                found += [line for line in (root / name).read_text().splitlines() if line and "-----" not in line]
        return [*found, *(secret.rpartition(":")[2] for secret in found)]


def _without(value: Any, vmid: int) -> Any:
    return value.replace(str(vmid), "VMID") if isinstance(value, str) else value
