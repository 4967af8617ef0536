"""How the stand-in refuses: the words and the rhythm are k3s's, since they are what gets classified."""

from __future__ import annotations

import json
import re

import pytest

from bootstrap.lab.standin.connections.tokens import node_password_hash
from tests.doubles.k3s.machines import Cluster, Machines, eventually

SECRET = ".node-password.k3s"
REJECTED = "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match"


def test_agent_with_a_wrong_token_goes_on_trying(machines: Machines) -> None:
    agent = machines.agent("a1", machines.server("s1"), token="wrong")
    waiting = "Waiting to retrieve agent configuration; server is not ready"
    agent.logs(f'level=info msg="{waiting}: failed to retrieve configuration from server: not authorized"', times=2)
    assert agent.exit_code() is None
    assert "Unauthorized" not in agent.log
    assert "invalid username/password combination" in machines.all[0].log


def test_agent_that_was_in_says_otherwise_that_its_token_is_wrong(machines: Machines) -> None:
    server = machines.server("s1")
    agent = machines.agent("a1", server)
    agent.up()
    agent.terminate()
    agent.configure(server=server.url, token="wrong")
    agent.start("agent")
    agent.logs("Node authorization rejected, retrying without client certificate authentication", times=2)
    where = 'serving-kubelet.crt: Post \\"https://127.0.0.1:6444/v1-k3s/serving-kubelet.crt\\"'
    assert re.search(re.escape(where) + r": http: ContentLength=\d+ with Body length 0", agent.log)


def test_agent_with_a_malformed_token_an_unknown_ca_or_no_server_goes_on_trying(machines: Machines) -> None:
    server = machines.server("s1")
    short = machines.agent("a1", server, token="K10abc::server:x")
    other = machines.agent("a2", server, token=f"K10{'0' * 64}::server:x")
    nobody = machines.add("nobody")
    lonely = machines.agent("a3", nobody)
    invalid = f"Failed to validate connection to cluster at {server.url}: invalid token CA hash length"
    short.logs(f'level=error msg="{invalid}"', times=2)
    other.logs("token CA hash does not match the Cluster CA certificate hash", times=2)
    nowhere = 'failed to get CA certs: Get \\"https://127.0.0.1:6444/cacerts\\": EOF'
    lonely.logs(f"Failed to validate connection to cluster at {nobody.url}: {nowhere}")
    assert [machine.exit_code() for machine in (short, other, lonely)] == [None, None, None]


def test_agent_token_joins_agents_but_not_servers(machines: Machines) -> None:
    server = machines.server("s1", agent_token="for-agents", cluster_init=True)
    assert "::node:for-agents" in (server.server_dir / "agent-token").read_text()
    machines.agent("a1", server, token="for-agents").up()
    intruder = machines.add("s2")
    intruder.configure(server=server.url, token="for-agents")
    done = intruder.run("server")
    assert done.returncode == 1
    refused = "Error: preparing server: failed to bootstrap cluster data: not authorized"
    assert f'level=fatal msg="{refused}"' in done.stderr


def test_node_password_holds_a_name_until_its_node_is_deleted(machines: Machines) -> None:
    server = machines.server("s1")
    cluster = Cluster(server)
    first = machines.agent("a1", server)
    first.up()
    first.kill()
    again = machines.agent("a1-again", server, node_name="a1")
    again.logs(REJECTED)
    assert again.exit_code() is None
    cluster.kubectl("delete", "node", "a1")
    again.logs("is up and running")
    cluster.wait_ready("a1")
    cluster.close()


def test_node_password_of_a_node_that_never_registered_stays_until_its_secret_is_deleted(machines: Machines) -> None:
    server = machines.server("s1")
    cluster = Cluster(server)
    orphan = server.root / "orphan.json"
    metadata = {"name": f"a1{SECRET}", "namespace": "kube-system"}
    stored = {"hash": node_password_hash("0a1b", "of a machine that no longer exists")}
    orphan.write_text(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": stored}))
    cluster.kubectl("create", "--validate=false", "--filename", str(orphan))
    agent = machines.agent("a1", server)
    agent.logs(REJECTED)
    cluster.kubectl("delete", "node", "a1", "--ignore-not-found")
    agent.logs(REJECTED, times=2)
    cluster.kubectl("delete", "secret", "--namespace", "kube-system", f"a1{SECRET}")
    agent.logs("is up and running")
    eventually(lambda: owners(cluster, "a1") == ["a1"], "the Secret's owner")
    agent.kill()
    cluster.kubectl("delete", "node", "a1")
    assert f"secret/a1{SECRET}" not in cluster.kubectl("get", "secrets", "--all-namespaces", "--output", "name")
    cluster.close()


def owners(cluster: Cluster, name: str) -> list[str]:
    """Whose Secret the password of a node is."""
    path = "jsonpath={.metadata.ownerReferences[*].name}"
    return cluster.kubectl("get", "secret", "--namespace", "kube-system", f"{name}{SECRET}", "--output", path).split()


def test_server_with_another_token_than_before_ends_at_once(machines: Machines) -> None:
    server = machines.server("s1")
    server.terminate()
    server.configure(token="another", bind_address=server.address)
    done = server.run("server")
    assert done.returncode == 1
    assert "bootstrap data already found and encrypted with different token" in done.stderr


def test_servers_that_cannot_join_end_at_once(machines: Machines) -> None:
    lone = machines.server("s1")
    second = machines.add("s2")
    second.configure(server=lone.url)
    assert "not running managed etcd" in second.run("server").stderr
    second.configure(server=lone.url, token=None)
    assert "--token is required" in second.run("server").stderr
    second.configure(server="https://127.0.0.1:1")
    assert "failed to get CA certs" in second.run("server").stderr


def test_servers_must_agree_on_critical_settings(machines: Machines) -> None:
    first = machines.server("s1", cluster_init=True, secrets_encryption=True, flannel_backend="wireguard-native")
    second = machines.add("s2")
    second.configure(server=first.url, flannel_backend="vxlan")
    done = second.run("server")
    assert done.returncode == 1
    assert "critical configuration value mismatch between servers: flannel-backend, secrets-encryption" in done.stderr


def test_full_token_cannot_start_a_first_server(machines: Machines) -> None:
    machine = machines.add("s1")
    machine.configure(token=f"K10{'0' * 64}::server:x")
    done = machine.run("server")
    assert done.returncode == 1
    assert "only the short form" in done.stderr


@pytest.mark.parametrize("label", ["node-role.kubernetes.io/worker=true", "x.k8s.io/y=z", "kubernetes.io/role=a"])
def test_labels_that_a_kubelet_may_not_set_keep_k3s_from_starting(machines: Machines, label: str) -> None:
    machine = machines.add("a1")
    machine.configure(server="https://127.0.0.1:1", node_label=[label])
    done = machine.run("agent")
    assert done.returncode == 1
    assert "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels" in done.stderr


def test_exit_codes_of_the_command_line(machines: Machines) -> None:
    machine = machines.add("m")
    assert machine.run("agent", "--no-such-flag").returncode == 1
    assert machine.run("no-such-command").returncode == 3
    assert machine.run("agent", "--server", "https://127.0.0.1:1").returncode == 1
    assert "--token is required" in machine.run("agent").stderr
    assert machine.run("check-config").returncode == 0
    assert machine.run("--version").stdout.startswith("k3s version v1.33.3+k3s1 (standin0)\ngo version ")


def test_token_in_the_environment_and_in_a_file(machines: Machines) -> None:
    server = machines.server("s1")
    by_environment = machines.add("a1")
    by_environment.configure(token=None)
    by_environment.start("agent", K3S_URL=server.url, K3S_TOKEN="open-sesame")
    by_file = machines.add("a2")
    (by_file.root / "token").write_text((server.server_dir / "token").read_text())
    by_file.configure(token=None, server=server.url, token_file=str(by_file.root / "token"))
    by_file.start("agent")
    by_environment.up()
    by_file.up()
    cluster = Cluster(server)
    eventually(lambda: set(cluster.ready()) == {"s1", "a1", "a2"}, "all have joined")
    cluster.close()


def test_networks_and_addresses_of_different_families_are_refused(machines: Machines) -> None:
    """k3s's own words: pkg/agent/run.go; users meet them in k3s#5781 and k3s#11735."""
    alone = machines.add("s1")
    alone.configure(cluster_cidr="10.42.0.0/16,fd42::/56", service_cidr="10.43.0.0/16,fd43::/112")
    done = alone.run("server")
    assert done.returncode == 1
    own = f"node-ip: [{alone.address}], must share the same IP version (IPv4, IPv6 or dual-stack)"
    assert f"cluster-cidr: [10.42.0.0/16 fd42::/56] and {own}" in done.stderr
    alone.configure(cluster_cidr="10.42.0.0/16,fd42::/56", node_ip=f"{alone.address},fd00::1")
    assert "and service-cidr: [10.43.0.0/16], must share the same IP version" in alone.run("server").stderr


def test_a_dual_stack_node_has_two_addresses_and_two_ranges_and_single_ones_stay_out(machines: Machines) -> None:
    server = machines.add("s1")
    networks = {"cluster_cidr": "10.42.0.0/16,fd42::/56", "service_cidr": "10.43.0.0/16,fd43::/112"}
    server.configure(bind_address=server.address, node_ip=f"{server.address},fd00::1", **networks)
    server.start("server")
    server.up()
    cluster = Cluster(server)
    cluster.wait_ready("s1")
    (node,) = cluster.core.list_node().items
    assert [(a.type, a.address) for a in node.status.addresses][:2] == [
        ("InternalIP", server.address),
        ("InternalIP", "fd00::1"),
    ]
    assert node.spec.pod_cidrs == ["10.42.0.0/24", "fd42::/64"]
    agent = machines.agent("a1", server)
    agent.logs("must share the same IP version")
    eventually(lambda: agent.exit_code() == 1, "the agent ends")
    cluster.close()
