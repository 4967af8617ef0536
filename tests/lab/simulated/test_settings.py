"""Settings of a cluster on simulated guests: the scripts' effects, and the whole by commands."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bootstrap.execution.guests.scripts import parse_guest_settings
from bootstrap.lab.simulated.driver import SimulatedGuests
from bootstrap.model.ids import MachineName
from tests.e2e.homes import Home
from tests.lab.simulated.running import Guests
from tests.lab.simulated.test_contract import config, install


def test_what_the_scripts_about_settings_do(guests: Guests, k3s: Path) -> None:
    guest = guests.start(201)
    assert guest.run("read-settings.sh") == {"pending": "0"}
    install(guest, k3s, "server")
    there = parse_guest_settings(MachineName("guest201"), guest.text("read-settings.sh"))
    assert there.ours["node-name"] == ("guest201",)
    assert (there.others, there.pending) == ((), False)
    same = {"config.yaml": config(guest)}
    assert guest.run("put-settings.sh", secret_files=same, DONE="0") == {"restart": "0"}
    other = {"config.yaml": config(guest, disable="traefik")}
    assert guest.run("put-settings.sh", secret_files=other, DONE="0") == {"restart": "1"}
    told = guest.run("read-settings.sh")
    assert told["pending"] == "1"
    assert base64.b64decode(told["file"].split()[1]).decode() == other["config.yaml"]
    assert guest.run("put-settings.sh", secret_files=other, DONE="0") == {"restart": "1"}, "not restarted yet"
    assert guest.run("put-settings.sh", DONE="1") == {}
    assert guest.run("read-settings.sh")["pending"] == "0"


def test_the_users_lines_in_the_units_environment_stay(guests: Guests, k3s: Path) -> None:
    guest = guests.start(201)
    install(guest, k3s, "server")
    path = "/etc/systemd/system/k3s.service.env"
    if isinstance(guest.driver, SimulatedGuests):
        disk = guest.driver.guests[guest.spec.vmid].disk
        disk.write(path, f"HTTPS_PROXY=http://proxy.home:3128\n{disk.read(path)}")
    else:
        guest.shell.command(f"sudo sh -c 'echo HTTPS_PROXY=http://proxy.home:3128 >>{path}'", timeout_s=10)
    assert install(guest, k3s, "server") == {"changed": "0"}
    assert install(guest, k3s, "server", token="another") == {"changed": "1"}
    assert install(guest, k3s, "server", token="another") == {"changed": "0"}


def nodes(home: Home) -> dict[str, dict[str, Any]]:
    command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(home.kubeconfig), "get", "nodes"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True, timeout=60)
    return {node["metadata"]["name"]: node for node in json.loads(done.stdout)["items"]}


BEFORE = """
cluster: lab
control_plane: {count: 3, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 2, cores: 1, memory: 1GiB, disk: 8GiB, labels: {disk: ssd, rack: r1}}
"""
AFTER = """
cluster: lab
control_plane: {count: 3, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 2, cores: 1, memory: 1GiB, disk: 8GiB, labels: {disk: hdd}, taints: ["gpu=yes:NoSchedule"],
  k3s: {kubelet-arg+: [system-reserved=memory=200Mi]}}
k3s:
  disable: [traefik]
  disable_components: [network-policy]
  tls_san: [k8s.home]
  server_config: {kube-apiserver-arg: [event-ttl=2h]}
  agent_config: {kubelet-arg: [max-pods=200]}
backup: {schedule: "0 */6 * * *", retention: 7}
"""
SERVERS = ("lab-cp-1", "lab-cp-2", "lab-cp-3")
WORKERS = ("lab-workers-1", "lab-workers-2")


def up(home: Home, inventory: str, *more: str) -> str:
    (home.directory / "cluster.yaml").write_text(inventory)
    result = home.run("up", "--lab", "--inventory", "cluster.yaml", *more)
    return result.out + result.err


def problems(home: Home) -> list[str]:
    found: list[str] = home.run("status", "--lab", "--inventory", "cluster.yaml", "-o", "json", expect=None).json[
        "problems"
    ]
    return found


def starts(home: Home) -> dict[str, str]:
    """What k3s of each machine says that it was started with."""
    return {name: node["metadata"]["annotations"]["k3s.io/node-args"] for name, node in nodes(home).items()}


def test_a_roll_out_that_was_killed_is_continued_and_ends(home: Home) -> None:
    up(home, BEFORE)
    assert problems(home) == []
    before = starts(home)
    (home.directory / "cluster.yaml").write_text(AFTER)
    told = "\n".join(problems(home))
    for change in (
        "k3s.disable: none -> traefik",
        "k3s.tls_san: none -> k8s.home",
        "backup.retention: none -> 7",
        "k3s.disable_components (network-policy): none -> true",
        "kube-apiserver-arg: none -> event-ttl=2h",
        "kubelet-arg: none -> max-pods=200",
    ):
        assert f"{change} (lab-cp-1, lab-cp-2, lab-cp-3)" in told
    assert "labels: disk=ssd, rack=r1 -> disk=hdd (lab-workers-1, lab-workers-2)" in told
    dry = up(home, AFTER, "--dry-run")
    assert all(name in dry for name in (*SERVERS, *WORKERS))
    assert starts(home) == before

    home.kill("up", "--lab", "--inventory", "cluster.yaml", at="lab-cp-3.*restart k3s")
    between = starts(home)
    assert between["lab-cp-2"] != before["lab-cp-2"], "the first was restarted"
    assert between["lab-cp-1"] == before["lab-cp-1"], "the last was not"
    assert problems(home)
    up(home, AFTER)
    assert problems(home) == []
    assert "nothing to do" in up(home, AFTER)


def test_nodes_have_what_the_inventory_says_and_nothing_of_before(home: Home) -> None:
    found = nodes(home)
    for name in WORKERS:
        labels = found[name]["metadata"]["labels"]
        assert (labels["disk"], "rack" in labels) == ("hdd", False)
        taints = [(taint["key"], taint["value"], taint["effect"]) for taint in found[name]["spec"]["taints"]]
        assert taints == [("gpu", "yes", "NoSchedule")]
    for name in SERVERS:
        assert '"--disable", "traefik"' in starts(home)[name]


def test_k3s_own_keys_reach_the_machines_they_are_for(home: Home) -> None:
    told = starts(home)
    for name in (*SERVERS, *WORKERS):
        assert '"--kubelet-arg", "max-pods=200"' in told[name]
        assert ('"--kubelet-arg", "system-reserved=memory=200Mi"' in told[name]) == (name in WORKERS)
        assert ('"--kube-apiserver-arg", "event-ttl=2h"' in told[name]) == (name in SERVERS)
        assert ('"--disable-network-policy", "true"' in told[name]) == (name in SERVERS)


def test_what_is_taken_from_the_inventory_leaves_k3s_too(home: Home) -> None:
    without = AFTER.replace("  agent_config: {kubelet-arg: [max-pods=200]}\n", "")
    assert without != AFTER
    (home.directory / "cluster.yaml").write_text(without)
    told = "\n".join(problems(home))
    assert f"kubelet-arg: max-pods=200 -> none ({', '.join((*SERVERS, *WORKERS))})" in told
    up(home, without)
    assert problems(home) == []
    assert not any("max-pods" in args for args in starts(home).values())


def test_an_agent_does_not_start_with_a_key_that_its_k3s_does_not_have(home: Home) -> None:
    without = AFTER.replace("  agent_config: {kubelet-arg: [max-pods=200]}\n", "")
    bad = without.replace("kubelet-arg+: [system-reserved=memory=200Mi]", "kubelet-rag: [a=b]")
    (home.directory / "cluster.yaml").write_text(bad)
    failed = home.run("up", "--lab", "--inventory", "cluster.yaml", expect=1)
    assert "k3s v1.36 has no setting kubelet-rag (did you mean kubelet-arg?)" in failed.err
    assert "does not know one of its settings" in failed.err
    assert "kubelet-rag" not in starts(home)["lab-workers-2"]
    up(home, without)
    assert problems(home) == []


def test_what_cannot_be_changed_is_refused(home: Home) -> None:
    (home.directory / "cluster.yaml").write_text(
        AFTER.replace("k3s:\n  disable:", "k3s:\n  cluster_cidr: 10.99.0.0/16\n  disable:")
    )
    refused = home.run("up", "--lab", "--inventory", "cluster.yaml", expect=4)
    assert "k3s.cluster_cidr is 10.42.0.0/16, and the inventory says 10.99.0.0/16" in refused.err
    (home.directory / "cluster.yaml").write_text(AFTER)
