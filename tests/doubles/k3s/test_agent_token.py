"""An agent token: what it opens, how it follows the settings, and what becomes of cred/passwd on the way."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request

import pytest

from tests.doubles.k3s.machines import TOKEN, Cluster, Machine, Machines, eventually

NEWER = "cred/passwd newer than datastore and could cause a cluster outage. Remove the file(s) from disk and restart"
AGENTS = "for-agents"


def asked(server: Machine, path: str, user: str, password: str, *, method: str = "GET") -> int:
    """The status that the supervisor answers with."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(
        f"{server.url}{path}", method=method, headers={"Authorization": f"Basic {credentials}"}
    )
    context = ssl.create_default_context(cafile=str(server.server_dir / "tls/server-ca.crt"))
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def passwords(server: Machine) -> dict[str, str]:
    rows = [row.split(",") for row in (server.server_dir / "cred/passwd").read_text().split()]
    return {row[1]: row[0] for row in rows}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1-k3s/server-bootstrap"),
        ("PUT", "/v1-k3s/token"),
        ("PUT", "/v1-k3s/cert/cacerts"),
        ("GET", "/v1-k3s/encrypt/status"),
        ("GET", "/db/info"),
    ],
)
def test_it_opens_nothing_that_is_the_servers(machines: Machines, method: str, path: str) -> None:
    server = machines.server("s1", agent_token=AGENTS)
    assert asked(server, path, "node", AGENTS, method=method) == 403
    assert asked(server, path, "server", AGENTS, method=method) == 401
    assert asked(server, path, "node", TOKEN, method=method) == 401


def test_it_opens_what_agents_need(machines: Machines) -> None:
    server = machines.server("s1", agent_token=AGENTS)
    for path in ("config", "client-ca.crt", "server-ca.crt", "apiservers", "readyz"):
        assert asked(server, f"/v1-k3s/{path}", "node", AGENTS) == 200, path
    assert asked(server, "/v1-k3s/server-bootstrap", "server", TOKEN) == 200


def test_without_one_the_servers_opens_all(machines: Machines) -> None:
    server = machines.server("s1")
    assert asked(server, "/v1-k3s/config", "node", TOKEN) == 200
    assert asked(server, "/v1-k3s/server-bootstrap", "server", TOKEN) == 200
    assert (server.server_dir / "agent-token").is_symlink()


def test_a_wrong_one_is_refused(machines: Machines) -> None:
    server = machines.server("s1", agent_token=AGENTS)
    for token in ("another", TOKEN):
        agent = machines.agent(f"with-{token}", server, token=token)
        agent.logs("failed to retrieve configuration from server: not authorized")
        agent.kill()


def test_nodes_show_that_the_environment_has_one_but_mask_it(machines: Machines) -> None:
    server = machines.add("s1")
    server.configure(bind_address=server.address)
    server.start("server", K3S_AGENT_TOKEN=AGENTS)
    server.up()
    cluster = Cluster(server)
    cluster.wait_ready("s1")
    node = json.loads(cluster.kubectl("get", "node", "s1", "-o", "json"))
    assert json.loads(node["metadata"]["annotations"]["k3s.io/node-env"]) == {"K3S_AGENT_TOKEN": "********"}
    assert AGENTS not in json.dumps(node)
    cluster.close()


@pytest.mark.parametrize("etcd", [False, True])
def test_one_that_changes_is_newer_than_the_data_until_the_token_is_set_again(
    machines: Machines, *, etcd: bool
) -> None:
    """k3s goes by its settings at each start, and does not put that into the data: the start after next is refused."""
    settings: dict[str, object] = {"cluster_init": True} if etcd else {}
    server = machines.server("s1", **settings)
    server.configure(bind_address=server.address, agent_token=AGENTS, **settings)
    server.restart()
    assert passwords(server) == {"server": TOKEN, "node": AGENTS}
    server.terminate()
    refused = server.run("server")
    assert refused.returncode == 1
    assert NEWER in refused.stderr
    (server.server_dir / "cred/passwd").unlink()
    server.start("server")
    server.logs("k3s is up and running", times=3)
    assert passwords(server) == {"server": TOKEN, "node": AGENTS}
    assert server.run("token", "rotate", "--new-token", TOKEN).returncode == 0
    server.restart()
    server.restart()
    eventually(lambda: asked(server, "/v1-k3s/config", "node", AGENTS) == 200, "agents are let in")
