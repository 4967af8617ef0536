"""Token rotation, encryption's status, certificates, and two versions side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.lab import standin_release
from tests.doubles.k3s.machines import Cluster, Machine, Machines, eventually
from tests.doubles.k3s.test_life import etcd_server
from tests.doubles.k3s.test_snapshots import save

NEW = "a-new-token"
OTHER_TOKEN = "bootstrap data already found and encrypted with different token"
VERSIONS = ("v1.33.3+k3s1", "v1.34.1+k3s1")


def test_rotated_token_is_asked_for_by_restarted_servers(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    second = etcd_server(machines, "s2", first)
    agent = machines.agent("a1", first)
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2", "a1")
    wrong = first.run("token", "rotate", "--token", "wrong", "--new-token", NEW)
    assert wrong.returncode == 1
    assert "Error: not authorized" in wrong.stderr
    done = first.run("token", "rotate", "--new-token", NEW, K3S_TOKEN="open-sesame")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Token rotated, restart k3s nodes with new token\n")
    assert (first.server_dir / "token").read_text().endswith(f"::server:{NEW}\n")
    assert (first.server_dir / "node-token").read_text().endswith(f"::server:{NEW}\n")
    assert (second.server_dir / "token").read_text().endswith("::server:open-sesame\n"), "only at its restart"

    second.terminate()
    refused = second.run("server")
    assert refused.returncode == 1
    assert OTHER_TOKEN in refused.stderr
    second.configure(bind_address=second.address, server=first.url, token=NEW)
    second.start("server")
    second.logs("k3s is up and running", times=2)
    assert (second.server_dir / "token").read_text().endswith(f"::server:{NEW}\n")
    first.configure(bind_address=first.address, cluster_init=True, token=NEW)
    first.restart()

    agent.terminate()
    agent.start("agent")
    agent.logs("Node authorization rejected, retrying without client certificate authentication")
    agent.terminate()
    agent.configure(server=first.url, token=NEW)
    agent.start("agent")
    agent.logs("k3s agent is up and running", times=2)
    late = machines.add("s3")
    late.configure(bind_address=late.address, server=first.url)
    assert "failed to bootstrap cluster data: not authorized" in late.run("server").stderr
    late.configure(bind_address=late.address, server=first.url, token=NEW)
    late.start("server")
    late.up()
    cluster.wait_ready("s1", "s2", "s3", "a1")
    cluster.close()


def test_rotation_makes_a_token_itself_where_none_is_given_and_leaves_the_agents_own(machines: Machines) -> None:
    server = machines.server("s1", agent_token="for-agents")
    assert server.run("token", "rotate").returncode == 0
    assert "::server:open-sesame" not in (server.server_dir / "token").read_text()
    server.configure(bind_address=server.address, token=None, agent_token="for-agents")
    server.restart()
    machines.agent("a1", server, token="for-agents").up()


def test_server_that_joins_with_the_token_of_before_ends(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    assert first.run("token", "rotate", "--new-token", NEW).returncode == 0
    late = machines.add("s2")
    late.configure(bind_address=late.address, server=first.url)
    done = late.run("server")
    assert done.returncode == 1
    assert OTHER_TOKEN in done.stderr


def test_encryption_status_shows_whether_it_is_on(machines: Machines) -> None:
    encrypted = machines.server("s1", secrets_encryption=True)
    plain = machines.server("s2")
    shown = encrypted.run("secrets-encrypt", "status").stdout.splitlines()
    assert shown[:3] == ["Encryption Status: Enabled", "Current Rotation Stage: start",
                         "Server Encryption Hashes: All hashes match"]  # fmt: skip
    assert json.loads(encrypted.run("secrets-encrypt", "status", "-o", "json").stdout)["enable"] is True
    assert plain.run("secrets-encrypt", "status").stdout == "Encryption Status: Disabled, no configuration file found\n"


def test_certificate_check_shows_how_long_they_are_valid(machines: Machines) -> None:
    server = machines.server("s1")
    done = server.run("certificate", "check", "-o", "json")
    found = {row["Filename"]: row for row in json.loads(done.stdout)["Certificates"]}
    admin = found["client-admin.crt"]
    assert (admin["Subject"], admin["Usages"], admin["Status"]) == ("system:admin", ["ClientAuth"], "OK")
    assert admin["Issuer"].startswith("k3s-client-ca@")
    assert 364 < admin["ResidualTime"] / 86400e9 < 365
    assert found["server-ca.crt"]["Status"] == "OK"
    assert "is ok, expires at" in server.run("certificate", "check").stderr


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    assert standin_release.main([str(folder), "--versions", *VERSIONS]) == 0
    return folder


def use(machine: Machine, releases: Path, version: str) -> None:
    machine.program = releases / version / ("k3s" if os.uname().machine == "x86_64" else "k3s-arm64")


def test_release_directories_hold_a_version_each(releases: Path) -> None:
    assert {path.name for path in releases.iterdir()} == set(VERSIONS)
    for version in VERSIONS:
        files = {path.name for path in (releases / version).iterdir()}
        assert files == {"k3s", "k3s-arm64", "sha256sum-amd64.txt", "sha256sum-arm64.txt"}
    assert standin_release.main(["--versions"]) == 2
    script = Path(standin_release.__file__)
    assert subprocess.run([sys.executable, str(script)], capture_output=True, check=False).returncode == 2


def test_upgrade_goes_up_by_restart_and_not_down_again(machines: Machines, releases: Path) -> None:
    first, second, agent = machines.add("s1"), machines.add("s2"), machines.add("a1")
    first.configure(bind_address=first.address, cluster_init=True)
    second.configure(bind_address=second.address, server=first.url)
    agent.configure(server=first.url)
    for machine, command in ((first, "server"), (second, "server"), (agent, "agent")):
        use(machine, releases, VERSIONS[0])
        machine.start(command)
        machine.up()
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2", "a1")

    def versions() -> dict[str, str]:
        return {n.metadata.name: n.status.node_info.kubelet_version for n in cluster.core.list_node().items}

    assert set(versions().values()) == {VERSIONS[0]}
    use(first, releases, VERSIONS[1])
    assert VERSIONS[1] in first.run("--version").stdout
    first.restart()
    # The node is still Ready of before while the new kubelet has not spoken.
    eventually(lambda: versions()["s1"] == VERSIONS[1], "s1 runs the new version")
    cluster.wait_ready("s1", "s2", "a1")
    assert versions() == {"s1": VERSIONS[1], "s2": VERSIONS[0], "a1": VERSIONS[0]}
    assert VERSIONS[1] in first.run("kubectl", "version").stdout
    second.restart()
    assert second.exit_code() is None, "a member that was not upgraded yet can still restart"
    snapshot = first.server_dir / "db/snapshots" / save(first)
    use(agent, releases, VERSIONS[1])
    agent.configure(server=second.url)
    (agent.root / "var/lib/rancher/k3s/agent/etc/k3s-agent-load-balancer.json").unlink(missing_ok=True)
    agent.restart("agent")
    agent.logs(f"this agent's version {VERSIONS[1]} is newer than its server's, {VERSIONS[0]}")
    first.terminate()
    use(first, releases, VERSIONS[0])
    down = first.run("server")
    assert down.returncode == 1
    assert f"was written by {VERSIONS[1]}, which {VERSIONS[0]} cannot read" in down.stderr
    restored = first.run("server", "--cluster-reset", f"--cluster-reset-restore-path={snapshot}")
    assert restored.returncode == 1
    assert f"was written by {VERSIONS[1]}, which {VERSIONS[0]} cannot read" in restored.stderr
    cluster.close()
