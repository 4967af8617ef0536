"""A cluster of an earlier release, whose workers hold the servers' token: it grows, is moved over, starts by itself."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request

import requests
import yaml

from tests.e2e.homes import Home
from tests.lab.simulated.running import eventually

INVENTORY = """
cluster: lab
control_plane: {{count: 3, cores: 1, memory: 1GiB, disk: 8GiB}}
workers: {{count: {workers}, cores: 1, memory: 1GiB, disk: 8GiB}}
"""
STATE = "state/homelab-k8s/clusters/lab"


class Cluster:
    def __init__(self, home: Home) -> None:
        self.home = home
        state = home.directory / STATE
        state.mkdir(parents=True, mode=0o700)
        (state / "token").write_text("0123456789abcdef\n")
        (state / "token").chmod(0o600)
        self.resize(1)

    def resize(self, workers: int) -> None:
        (self.home.directory / "lab.yaml").write_text(INVENTORY.format(workers=workers))

    def run(self, *command: str) -> dict[str, object]:
        expect = None if command == ("status",) else 0  # problems are an exit code
        result = self.home.run(*command, "--lab", "-i", "lab.yaml", "-o", "json", expect=expect)
        answer: dict[str, object] = result.json
        return answer

    def token(self, item: str) -> str:
        return (self.home.directory / STATE / item).read_text().strip()

    def asked(self, path: str, user: str, token: str) -> int:
        """The status that a server answers with."""
        config = yaml.safe_load(self.home.kubeconfig.read_text())
        login = base64.b64encode(f"{user}:{token.rpartition(':')[2]}".encode()).decode()
        request = urllib.request.Request(
            f"{config['clusters'][0]['cluster']['server']}{path}", headers={"Authorization": f"Basic {login}"}
        )
        try:
            with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def power_cycle(self, kind: str) -> None:
        """Every machine of a kind at once: its units start by themselves, without the client's commands."""
        info = json.loads((self.home.directory / "state/homelab-k8s/lab/lab.json").read_text())
        machines = self.run("status")["machines"]
        assert isinstance(machines, list)
        chosen = [(machine["pve_node"], machine["vmid"]) for machine in machines if machine["role"] == kind]
        for verb in ("stop", "start"):
            for pve_node, vmid in chosen:
                answer = requests.post(
                    f"{info['endpoint']}/api2/json/nodes/{pve_node}/qemu/{vmid}/status/{verb}",
                    headers={"Authorization": f"PVEAPIToken={info['root_token']}"},
                    verify=str(self.home.directory / "state/homelab-k8s/lab/lab.crt"),
                    timeout=30,
                )
                answer.raise_for_status()
            wanted = "stopped" if verb == "stop" else "running"
            eventually(f"all {wanted}", lambda: self._states(kind) == {wanted})  # noqa: B023 - waited for at once
        eventually("all is well", lambda: self.run("status")["problems"] == [], timeout_s=120)

    def _states(self, kind: str) -> set[str]:
        machines = self.run("status")["machines"]
        assert isinstance(machines, list)
        return {machine["vm"] for machine in machines if machine["role"] == kind}


def test_an_older_cluster_grows_is_moved_over_and_starts_by_itself_twice(home: Home) -> None:
    cluster = Cluster(home)
    cluster.run("up")
    assert cluster.run("status")["worker_token"] == "server"
    assert cluster.token("agent-token") == ""
    old = cluster.token("token")
    assert cluster.asked("/v1-k3s/server-bootstrap", "server", old) == 200, "what any worker holds opens every key"
    cluster.resize(2)
    cluster.run("up")
    cluster.run("rotate", "token", "--yes")
    # k3s notes on its node how it was started a moment after it is Ready.
    eventually("workers hold the agent token", lambda: cluster.run("status")["worker_token"] == "agent")
    agents = cluster.token("agent-token")
    assert "::node:" in agents
    assert cluster.asked("/v1-k3s/server-bootstrap", "node", agents) == 403
    assert cluster.asked("/v1-k3s/server-bootstrap", "server", agents) == 401
    assert cluster.asked("/v1-k3s/server-bootstrap", "server", old) == 401
    assert cluster.asked("/v1-k3s/config", "node", agents) == 200
    for _ in range(2):  # the second start is the one that is held against the data
        cluster.power_cycle("control-plane")
    cluster.power_cycle("worker")
    cluster.run("down", "--yes")
