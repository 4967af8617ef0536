"""The members of the stand-in's etcd: joins, removals and conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kubernetes.client.exceptions import ApiException

from tests.doubles.k3s.machines import Cluster, Machine, Machines, eventually
from tests.doubles.k3s.test_life import IMPATIENT, etcd_server

# A server whose leader has just gone is silent for as long as the others take to elect another one. On a busy machine
# the answers of two that have just started may take longer than the 2 s after which a server ends by itself.
PATIENT = IMPATIENT | {
    "kube_controller_manager_arg": ["node-monitor-grace-period=20s", "leader-elect-renew-deadline=10s"]
}

LEADS = re.compile(r"became leader at term (\d+)")


def three(machines: Machines, **settings: object) -> list[Machine]:
    first = machines.server("s1", cluster_init=True, **settings)
    return [first, *(machines.server(name, server=first.url, **settings) for name in ("s2", "s3"))]


def voter(cluster: Cluster, name: str) -> tuple[str, str]:
    found = [c for c in cluster.core.read_node(name).status.conditions if c.type == "EtcdIsVoter"]
    return (found[0].status, found[0].reason) if found else ("", "")


def members(server: Machine) -> set[str]:
    """The machines of the members, as a server lists them."""
    done = server.run("kubectl", "get", "nodes", "-o", "json")
    assert done.returncode == 0, done.stderr
    nodes: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    states = {n["metadata"]["name"]: {c["type"]: c["reason"] for c in n["status"]["conditions"]} for n in nodes}
    return {name for name, conditions in states.items() if conditions.get("EtcdIsVoter") == "MemberNotLearner"}


def test_a_servers_condition_shows_whether_it_votes(machines: Machines) -> None:
    first = etcd_server(machines, "s1", secrets_encryption=True)
    second = etcd_server(machines, "s2", first, secrets_encryption=True)
    agent = machines.agent("a1", first)
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2", "a1")
    eventually(lambda: voter(cluster, "s2") == ("True", "MemberNotLearner"), "s2 votes")
    assert voter(cluster, "s1") == ("True", "MemberNotLearner")
    assert voter(cluster, "a1") == ("", "")
    node = cluster.core.read_node("s2").metadata
    assert node.finalizers == ["wrangler.cattle.io/managed-etcd-controller", "wrangler.cattle.io/node"]
    assert node.annotations["k3s.io/encryption-config-hash"].startswith("start-")
    assert "etcd.k3s.cattle.io/local-snapshots-timestamp" in node.annotations
    known = cluster.core.read_node("s1").metadata.annotations["etcd.k3s.cattle.io/node-name"]
    adding = f"Adding member {node.annotations['etcd.k3s.cattle.io/node-name']}=https://{second.address}:2380 to etcd"
    assert f"{adding} cluster [{known}=https://{first.address}:2380]" in second.log
    assert agent.exit_code() is None
    assert second.exit_code() is None
    cluster.close()


def leader_and_others(servers: list[Machine]) -> list[Machine]:
    """These servers, the one first that was elected last, as their journals say."""
    terms = {server.name: [int(term) for term in LEADS.findall(server.log)] for server in servers}
    return sorted(servers, key=lambda server: -max(terms[server.name], default=0))


def done(call: Callable[[], object]) -> bool:
    """Whether the API does it: during an election it refuses ("etcdserver: leader changed")."""
    try:
        call()
    except ApiException:
        return False
    return True


def test_deleting_the_node_of_a_live_server_hangs_and_it_rejoins_when_restarted(machines: Machines) -> None:
    servers = three(machines, **PATIENT)
    oldest = Cluster(servers[0])
    oldest.wait_ready("s1", "s2", "s3")
    oldest.close()
    eventually(lambda: members(servers[1]) == {"s1", "s2", "s3"}, "three vote")
    first, second, third = leader_and_others(servers)  # on a busy machine it is not always the oldest
    cluster = Cluster(second)
    eventually(lambda: done(lambda: cluster.core.delete_node(first.name)), "the leader's node is to be deleted")
    node = cluster.core.read_node(first.name)
    assert node.metadata.deletion_timestamp
    assert node.metadata.finalizers == ["wrangler.cattle.io/node"], "that of its etcd member is done with"
    tombstone = first.server_dir / "db/etcd/tombstone"
    eventually(tombstone.exists, "the tombstone")
    eventually(lambda: voter(cluster, first.name) == ("False", "NotAMember"), "it is no member any more")
    assert first.exit_code() is None, first.log
    asked = ("kubectl", "get", "node", third.name, "-o", "name")
    served = eventually(lambda: first.run(*asked).stdout, "it goes on serving")
    assert served == f"node/{third.name}\n"
    label = ("kubectl", "label", "node", third.name, "written=there")
    eventually(lambda: first.run(*label).returncode == 0, "it goes on writing")
    assert cluster.core.read_node(third.name).metadata.labels["written"] == "there"
    assert cluster.core.read_node(first.name).metadata.deletion_timestamp, "it still hangs"
    third.kill()
    second.ends("one of two that are left is no majority")
    for server in (second, third):
        server.start("server")
    second.logs("k3s is up and running", times=2)
    first.terminate()
    first.configure(bind_address=first.address, server=second.url, **PATIENT)
    first.start("server")
    first.logs("tombstone file has been detected")
    first.logs("k3s is up and running", times=2)
    assert list((first.server_dir / "db").glob("etcd-old-*"))
    cluster.close()
    cluster = Cluster(second)
    cluster.wait_ready("s1", "s2", "s3")
    assert not cluster.core.read_node(first.name).metadata.deletion_timestamp
    eventually(lambda: members(second) == {"s1", "s2", "s3"}, "three vote again")
    cluster.close()


def test_hanging_node_goes_once_its_server_is_gone_and_that_of_a_dead_one_at_once(machines: Machines) -> None:
    first, second, third = three(machines, **IMPATIENT)
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2", "s3")
    cluster.core.delete_node("s2")
    eventually(lambda: (second.server_dir / "db/etcd/tombstone").exists(), "s2 is out")
    assert "s2" in cluster.ready()
    second.kill()
    eventually(lambda: "s2" not in cluster.ready(), "its Node goes")
    fourth = etcd_server(machines, "s4", first)
    cluster.wait_ready("s4")
    eventually(lambda: voter(cluster, "s4") == ("True", "MemberNotLearner"), "s4 votes")
    fourth.kill()
    eventually(lambda: voter(cluster, "s4") == ("False", "Unhealthy"), "s4 is lost")
    cluster.core.delete_node("s4")
    assert "s4" not in cluster.ready(), "nothing lives there that could hold it"
    assert third.exit_code() is None
    cluster.close()


def test_annotation_removes_a_member_but_for_the_last(machines: Machines) -> None:
    first = etcd_server(machines, "s1")
    second = etcd_server(machines, "s2", first)
    cluster = Cluster(first)
    cluster.wait_ready("s1", "s2")
    wanted = {"metadata": {"annotations": {"etcd.k3s.cattle.io/remove": "true"}}}
    name = cluster.core.read_node("s2").metadata.annotations["etcd.k3s.cattle.io/node-name"]
    cluster.core.patch_node("s2", wanted)
    eventually(lambda: voter(cluster, "s2") == ("False", "NotAMember"), "s2 is out")
    notes = cluster.core.read_node("s2").metadata.annotations
    assert notes["etcd.k3s.cattle.io/removed-node-name"] == name
    assert "etcd.k3s.cattle.io/node-name" not in notes
    second.logs("this node has been removed from the cluster please restart k3s to rejoin the cluster")
    cluster.core.patch_node("s1", wanted)
    first.logs("it is the only voting member")
    assert voter(cluster, "s1") == ("True", "MemberNotLearner")
    cluster.core.patch_node("s1", {"metadata": {"annotations": {"etcd.k3s.cattle.io/remove": None}}})
    second.terminate()
    second.start("server")
    second.logs("k3s is up and running", times=2)
    eventually(lambda: voter(cluster, "s2") == ("True", "MemberNotLearner"), "s2 votes again")
    eventually(
        lambda: cluster.core.read_node("s2").metadata.annotations["etcd.k3s.cattle.io/remove"] == "false",
        "all is reset",
    )
    cluster.close()


def test_sqlite_becomes_etcd_at_a_restart_with_cluster_init(machines: Machines) -> None:
    server = machines.server("s1")
    cluster = Cluster(server)
    cluster.core.create_namespaced_config_map("default", {"metadata": {"name": "kept"}, "data": {"a": "b"}})
    cluster.wait_ready("s1")
    cluster.close()
    server.terminate()
    server.configure(bind_address=server.address, cluster_init=True)
    server.start("server")
    server.logs("k3s is up and running", times=2)
    second = etcd_server(machines, "s2", server)
    cluster = Cluster(second)
    assert cluster.core.read_namespaced_config_map("kept", "default").data == {"a": "b"}
    cluster.wait_ready("s1", "s2")
    eventually(lambda: members(second) == {"s1", "s2"}, "both vote")
    cluster.close()
