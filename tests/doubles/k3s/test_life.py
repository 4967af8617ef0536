"""How the stand-in lives and dies."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.doubles.k3s.machines import Cluster, Machine, Machines, eventually

IMPATIENT = {
    "kube_controller_manager_arg": ["node-monitor-grace-period=2s"],
    "kubelet_arg": ["node-status-update-frequency=500ms"],
}


SHORT_LIVED = ["leader-elect-renew-deadline=2s"]
"""kube_controller_manager_arg of servers that are to end soon after they have lost their majority."""


def etcd_server(machines: Machines, name: str, first: Machine | None = None, **settings: object) -> Machine:
    start: dict[str, object] = {"server": first.url} if first else {"cluster_init": True}
    return machines.server(name, **start, **settings)


def test_restart_keeps_everything_and_rewrites_the_kubeconfig(machines: Machines) -> None:
    server = machines.server("s1")
    cluster = Cluster(server)
    cluster.core.create_namespaced_config_map("default", {"metadata": {"name": "kept"}, "data": {"a": "b"}})
    cluster.wait_ready("s1")
    token = (server.server_dir / "token").read_text()
    before = cluster.core.read_node("s1").metadata
    cluster.close()
    server.kill()
    server.kubeconfig.unlink()
    server.start("server", "--token", token.strip())
    server.logs("k3s is up and running", times=2)
    cluster = Cluster(server)
    assert cluster.core.read_namespaced_config_map("kept", "default").data == {"a": "b"}
    assert cluster.core.read_node("s1").metadata.uid == before.uid
    assert (server.server_dir / "token").read_text() == token
    cluster.close()
    assert server.terminate() == 0


def test_node_without_heartbeat_is_unknown_and_comes_back(machines: Machines) -> None:
    server = machines.server("s1", **IMPATIENT)
    agent = machines.agent("a1", server, kubelet_arg=IMPATIENT["kubelet_arg"])
    cluster = Cluster(server)
    cluster.wait_ready("s1", "a1")
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    eventually(lambda: cluster.ready()["a1"] == "Unknown", "the silent node is Unknown")
    node = cluster.core.read_node("a1")
    assert {(t.key, t.effect) for t in node.spec.taints} == {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    assert "NotReady" in cluster.kubectl("get", "node", "a1")
    assert cluster.ready()["s1"] == "True"
    agent.process.send_signal(signal.SIGCONT)
    cluster.wait_ready("a1")
    assert not cluster.core.read_node("a1").spec.taints
    cluster.close()


def test_deleted_node_registers_again_only_after_a_restart(machines: Machines) -> None:
    server = machines.server("s1")
    agent = machines.agent("a1", server, kubelet_arg=IMPATIENT["kubelet_arg"])
    cluster = Cluster(server)
    cluster.wait_ready("a1")
    cluster.kubectl("delete", "node", "a1")
    agent.logs("Error updating node status, will retry", times=2)
    assert "a1" not in cluster.ready()
    agent.terminate()
    agent.start("agent")
    cluster.wait_ready("a1")
    cluster.close()


def test_systemd_is_notified_once_it_serves(machines: Machines) -> None:
    machine = machines.add("s1")
    machine.configure(bind_address=machine.address)
    path = machine.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)
        machine.start("server", NOTIFY_SOCKET=str(path))
        assert sock.recv(100) == b"READY=1"
        assert machine.run("kubectl", "get", "--raw", "/readyz").stdout == "ok"
        assert machine.terminate() == 0
        assert sock.recv(100) == b"STOPPING=1"


def test_between_refusing_connections_and_being_ready_the_api_answers_503(machines: Machines) -> None:
    """k3s's supervisor answers for an API server that starts: pkg/server/handlers, APIServer."""
    server = machines.server("s1")
    server.terminate()
    server.start("server", K3S_STANDIN_PACE="0.5")
    seen: list[str] = []

    def ready() -> bool:
        done = server.run("kubectl", "get", "--raw", "/readyz")
        words = (done.stdout or done.stderr).strip()
        seen.extend([] if seen[-1:] == [words] else [words])
        return done.stdout == "ok"

    eventually(ready, "/readyz is ok", told=lambda: str(seen))
    assert "was refused" in seen[0]
    assert seen[-2:] == ["Error from server (ServiceUnavailable): apiserver not ready", "ok"]
    nodes = server.run("kubectl", "get", "nodes")
    assert nodes.returncode == 0, nodes.stderr


def test_starts_take_as_long_as_the_pace_says(machines: Machines) -> None:
    machine = machines.add("s1")
    machine.configure(bind_address=machine.address)
    began = time.monotonic()
    machine.start("server", K3S_STANDIN_PACE="0.5")
    machine.up()
    assert time.monotonic() - began >= 6, "12 s at the pace of k3s itself"


def test_systemd_is_notified_late_of_an_agent_whose_node_is_ready(machines: Machines) -> None:
    server = machines.server("s1")
    cluster = Cluster(server)
    agent = machines.add("a1")
    agent.configure(server=server.url)
    path = agent.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.setblocking(False)
        agent.start("agent", NOTIFY_SOCKET=str(path), K3S_STANDIN_LATE_READY_S="600")
        cluster.wait_ready("a1")
        with pytest.raises(BlockingIOError):
            sock.recv(100)
    cluster.close()


def test_every_cluster_has_the_add_ons_and_metrics_server_an_emptydir(machines: Machines) -> None:
    server = machines.add("s1")
    server.configure(bind_address=server.address, disable=None)
    server.start("server")
    server.up()
    cluster = Cluster(server)

    def found() -> bool:
        pods = cluster.core.list_namespaced_pod("kube-system").items
        emptydir = {pod.metadata.labels["k8s-app"]: bool((pod.spec.volumes or [None])[0]) for pod in pods}
        return emptydir == {"coredns": False, "local-path-provisioner": False, "metrics-server": True}

    eventually(found, "the add-ons")
    cluster.close()


def test_servers_that_join_at_once_collide(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    both = [machines.add("s2"), machines.add("s3")]
    for machine in both:
        machine.configure(bind_address=machine.address, server=first.url)
        machine.start("server")
    eventually(lambda: [m for m in both if m.exit_code() is not None], "one of them fails")
    winner, loser = sorted(both, key=lambda m: m.exit_code() is not None)
    assert loser.exit_code() == 1
    assert "etcdserver: too many learner members in cluster" in loser.log
    winner.up()
    loser.start("server")  # as systemd does after 5 s
    loser.up()


def test_an_interrupted_join_starts_again(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    second = machines.add("s2")
    second.configure(bind_address=second.address, server=first.url)
    second.start("server")
    second.logs("Adding member s2-")
    second.kill()
    second.start("server")
    second.up()
    members = first.run("kubectl", "get", "nodes", "-o", "name")
    assert members.stdout == "node/s1\nnode/s2\n", members.stderr


def test_three_servers_survive_the_first_and_the_last_gives_up(machines: Machines) -> None:
    first = etcd_server(machines, "s1", kube_controller_manager_arg=SHORT_LIVED)
    servers = [
        first,
        *(etcd_server(machines, name, first, kube_controller_manager_arg=SHORT_LIVED) for name in ("s2", "s3")),
    ]
    agent = machines.agent("a1", first, kubelet_arg=IMPATIENT["kubelet_arg"])
    cluster = Cluster(servers[2])
    cluster.wait_ready("s1", "s2", "s3", "a1")
    cluster.core.create_namespaced_config_map("default", {"metadata": {"name": "before"}})
    first.kill()
    assert servers[2].run("kubectl", "get", "--raw", "/version").returncode == 0
    eventually(lambda: try_create(cluster, {"metadata": {"name": "after"}}), "a write after the loss")
    names = {item.metadata.name for item in cluster.core.list_namespaced_config_map("default").items}
    assert names == {"before", "after"}
    agent.logs("Updated load balancer default server address")
    agent.terminate()
    agent.start("agent")  # finds the others by its cached list
    agent.logs("k3s agent is up and running", times=2)
    servers[1].kill()
    assert servers[2].ends("the last one gives up") == 1
    cluster.close()
    for server in servers:
        server.start("server")
    servers[2].logs("k3s is up and running", times=2)
    cluster = Cluster(servers[2])
    assert len(cluster.core.list_namespaced_config_map("default").items) == 2
    cluster.close()


def test_lost_server_blocks_joins_until_its_node_is_deleted(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    servers = [first, etcd_server(machines, "s2", first), etcd_server(machines, "s3", first)]
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2", "s3")
    labels = cluster.core.read_node("s2").metadata.labels
    assert labels["node-role.kubernetes.io/etcd"] == "true"
    servers[2].kill()
    newcomer = machines.add("s3-again")
    newcomer.configure(bind_address=newcomer.address, server=first.url, node_name="s3")
    refused = newcomer.run("server")
    assert refused.returncode == 1
    assert "etcdserver: unhealthy cluster" in refused.stderr
    cluster.kubectl("delete", "node", "s3")
    newcomer.start("server")
    newcomer.up()
    cluster.wait_ready("s1", "s2", "s3")
    cluster.close()


def try_create(cluster: Cluster, body: dict[str, object]) -> bool:
    done = cluster.api_client.call_api(
        "POST",
        cluster.api_client.configuration.host + "/api/v1/namespaces/default/configmaps",
        {"Content-Type": "application/json"},
        body,
    )
    return int(done.status) == 201
