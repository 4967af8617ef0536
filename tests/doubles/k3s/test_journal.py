"""What the stand-in's journal is like: as long, as mixed and as full of errors as that of k3s v1.36.3."""

from __future__ import annotations

import json
import re
import socket

from tests.doubles.k3s.machines import Cluster, Machine, Machines
from tests.doubles.k3s.test_life import etcd_server

KLOG = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.-]+\.go:\d+\] ")
LOGRUS = re.compile(r'time="[^"]+" level=(info|warning|error|fatal) msg=')


def started(machine: Machine) -> list[str]:
    """The lines up to the one that says that k3s is up."""
    return machine.log.partition("is up and running")[0].splitlines()


def formats(lines: list[str]) -> dict[str, int]:
    etcd = [json.loads(line) for line in lines if line.startswith("{")]
    assert all({"level", "ts", "caller", "msg"} <= told.keys() for told in etcd)
    return {
        "k3s": sum(1 for line in lines if LOGRUS.match(line)),
        "kubernetes": sum(1 for line in lines if KLOG.match(line)),
        "etcd": len(etcd),
    }


def test_good_starts_write_hundreds_of_lines_in_three_formats_with_errors_among_them(machines: Machines) -> None:
    alone = machines.server("s0")
    first = etcd_server(machines, "s1")
    second = etcd_server(machines, "s2", first)
    agent = machines.agent("a1", first)
    agent.up()
    assert 250 <= len(started(alone)) < 600
    assert 300 <= len(started(first)) < 600
    assert 400 <= len(started(second)) < 700
    assert 100 <= len(started(agent)) < 300
    assert formats(started(alone))["kubernetes"] > 100
    assert formats(started(second))["etcd"] > 100
    for machine in (alone, first, second, agent):
        lines = machine.log.splitlines()
        assert sum(formats(lines).values()) >= len(lines) - 2, "and a plain line"
        errors = [line for line in lines if "level=error" in line]
        assert "Failed to set sysctl" in "".join(errors[:2])
        assert not [line for line in lines if "level=fatal" in line]
    assert first.log.count("runtime core not ready") >= 2
    assert "Failed to check local etcd status for learner management: context deadline exceeded" in second.log
    assert "dial tcp 127.0.0.1:2379: connect: connection refused" in second.log


def test_a_flag_that_the_kubelet_does_not_know_ends_k3s_by_a_shutdown_request(machines: Machines) -> None:
    server = machines.server("s1")
    agent = machines.agent("a1", server, kubelet_arg=["max-pods=50", "no-such-flag=1"])
    assert agent.ends("the agent") == 0, "systemd calls that `protocol`"
    reason = "kubelet exited: failed to parse kubelet flag: unknown flag: --no-such-flag"
    assert agent.log.endswith(f'level=error msg="Shutdown request received: \\"{reason}\\""\n')
    assert "level=fatal" not in agent.log


def test_a_taken_port_of_the_kubelet_ends_k3s_with_klogs_line_alone(machines: Machines) -> None:
    server = machines.server("s1")
    agent = machines.add("a1")
    agent.configure(server=server.url)
    with socket.socket() as other:
        other.bind((agent.address, 10250))
        other.listen(1)
        agent.start("agent")
        assert agent.ends("the agent") == 1
    last = agent.log.splitlines()[-1]
    assert KLOG.match(last)
    assert last.endswith('"Failed to listen and serve" err="listen tcp 0.0.0.0:10250: bind: address already in use"')
    agent.start("agent")
    agent.up()


def test_k3s_says_that_it_is_up_and_is_dead_seconds_later(machines: Machines) -> None:
    """Seen in containers without /dev/kmsg, again and again."""
    server = machines.add("s1")
    server.configure(bind_address=server.address)
    server.start("server", K3S_STANDIN_DIES_AFTER_S="0.5")
    server.up()
    assert server.ends("the server") == 0
    assert "Shutdown request received" in server.log.splitlines()[-1]
    assert "open /dev/kmsg: no such file or directory" in server.log.splitlines()[-1]
    server.start("server")
    server.logs("is up and running", times=2)
    cluster = Cluster(server)
    cluster.wait_ready("s1")
    cluster.close()
