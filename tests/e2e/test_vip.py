"""The API's own address on three container guests: it is in use from the start and outlives any one server."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.api import Api
from tests.e2e.homes import Home, lab_home
from tests.e2e.workload import kubectl

pytestmark = pytest.mark.container

VIP = "198.18.250.1"  # beyond the range that the lab's DHCP server hands out
INVENTORY = f"""
cluster: lab
control_plane: {{count: 3, cores: 1, memory: 1GiB, disk: 8GiB, vip: {VIP}}}
workers: 0
"""
LONGEST_S = 20.0
SETTINGS = "/etc/keepalived/keepalived.conf"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with lab_home("container") as home:
        (home.directory / "vip.yaml").write_text(INVENTORY)
        yield home


@dataclass
class Probe:
    """Asks the VIP for /ping, each time on a new connection, all the time."""

    EVERY_S = 0.05
    WAIT_S = 0.3
    answered_s: list[float] = field(default_factory=list)

    def ask(self) -> bool:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with (
                socket.create_connection((VIP, 6443), timeout=self.WAIT_S) as connection,
                context.wrap_socket(connection) as tls,
            ):
                tls.settimeout(self.WAIT_S)
                tls.sendall(b"GET /ping HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")
                with tls.makefile("rb") as answer:
                    return answer.read().endswith(b"pong")
        except OSError:
            return False

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self.EVERY_S):
            if self.ask():
                self.answered_s.append(time.monotonic())

    def longest_s(self) -> float:
        """The longest time between two answers."""
        pairs = zip(self.answered_s, self.answered_s[1:], strict=False)
        return max(later - earlier for earlier, later in pairs)


@contextmanager
def probing() -> Iterator[Probe]:
    probe, stop = Probe(), threading.Event()
    thread = threading.Thread(target=probe.run, args=(stop,))
    thread.start()
    try:
        until(lambda: len(probe.answered_s) > 3, "the VIP to answer")
        yield probe
        before = len(probe.answered_s)
        until(lambda: len(probe.answered_s) > before + 3, "the VIP to answer again")
    finally:
        stop.set()
        thread.join()


def until(holds: Callable[[], bool], what: str, *, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.1)


def run(home: Home, *arguments: str) -> str:
    verb, *rest = arguments
    result = home.run(verb, "--lab", "-i", "vip.yaml", *rest)
    return result.out + result.err


def addresses(home: Home) -> dict[str, str]:
    status = home.run("status", "--lab", "-i", "vip.yaml", "-o", "json", expect=None).json
    return {machine["name"]: machine["address"] for machine in status["machines"] if machine["address"]}


def on(home: Home, address: str, command: str) -> str:
    """Run a command on a machine, as its user would."""
    key = home.directory / "state/homelab-k8s/clusters/lab/id_ed25519"
    quiet = ("-q", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    ssh = ["ssh", *quiet, "-o", "ConnectTimeout=3", "-i", str(key), f"debian@{address}", command]
    return subprocess.run(ssh, capture_output=True, text=True, check=True, timeout=60).stdout


def holders(home: Home, machines: dict[str, str]) -> list[str]:
    held = f"inet {VIP}/32"
    return [name for name, address in machines.items() if held in on(home, address, "ip -4 address show dev eth0")]


def serves(home: Home, address: str) -> bool:
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(home.kubeconfig)),
            *("--server", f"https://{address}:6443", "--request-timeout", "2s", "get", "--raw", "/readyz"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout == "ok"


def test_up_puts_the_vip_to_use_and_gives_it_to_one_server(home: Home) -> None:
    began = time.monotonic()
    run(home, "up")
    print(f"\n3 servers with a VIP took {time.monotonic() - began:.1f} s")
    assert f"server: https://{VIP}:6443" in home.kubeconfig.read_text()
    nodes = json.loads(kubectl(home, "get", "nodes", "-o", "json"))["items"]
    own = {
        node["metadata"]["name"]: next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        for node in nodes
    }
    assert sorted(own) == ["lab-cp-1", "lab-cp-2", "lab-cp-3"]
    assert VIP not in own.values()
    assert own == addresses(home)
    assert len(holders(home, own)) == 1


def test_a_second_up_has_nothing_to_do(home: Home) -> None:
    assert "nothing to do" in run(home, "up")


def test_the_vip_leaves_a_server_whose_k3s_stops_and_stays_where_it_went(home: Home) -> None:
    machines = addresses(home)
    (holder,) = holders(home, machines)
    with probing() as probe:
        on(home, machines[holder], "sudo systemctl stop k3s")
        until(lambda: holders(home, machines) not in ([], [holder]), "another holder")
    print(f"\nk3s stopped: no answer for {probe.longest_s():.2f} s")
    assert probe.longest_s() < LONGEST_S
    (new,) = holders(home, machines)
    on(home, machines[holder], "sudo systemctl start --no-block k3s")
    until(lambda: serves(home, machines[holder]), f"the API on {holder}")
    with probing() as probe:
        time.sleep(3)  # long enough for the check to succeed and for adverts that would take the VIP back
    assert probe.longest_s() < 1.0
    assert holders(home, machines) == [new]


def test_the_vip_leaves_a_server_that_is_powered_off_and_up_brings_it_back(home: Home) -> None:
    machines = addresses(home)
    (holder,) = holders(home, machines)
    others = {name: address for name, address in machines.items() if name != holder}
    api = Api(home)
    vmid = next(vmid for vmid, name in api.vms().items() if name == holder)
    with probing() as probe:
        api.call("POST", f"/nodes/pve1/qemu/{vmid}/status/stop")
        until(lambda: holders(home, others) != [], "another holder")
    print(f"\npowered off: no answer for {probe.longest_s():.2f} s")
    assert probe.longest_s() < LONGEST_S
    (new,) = holders(home, others)
    run(home, "up")
    assert home.run("status", "--lab", "-i", "vip.yaml", "-o", "json").json["problems"] == []
    assert holders(home, addresses(home)) == [new]


def install(home: Home, address: str, settings: str) -> str:
    """What install-vip.sh says to these settings, run as `up` runs it."""
    script = f"cd .homelab-k8s && echo '{settings}' >keepalived.conf && sudo env LOCK_S=1 sh ./install-vip.sh"
    told = on(home, address, f"({script}) 2>&1; ls .homelab-k8s")
    said, *left = told.splitlines()
    assert "keepalived.conf" not in left
    return said


def test_settings_that_keepalived_refuses_never_replace_those_that_work(home: Home) -> None:
    address = next(iter(addresses(home).values()))
    before = on(home, address, f"sudo cat {SETTINGS}")
    assert install(home, address, "vrrp_instance vip {").startswith("keepalived refuses its settings: ")
    assert on(home, address, f"sudo cat {SETTINGS}") == before


def test_somebody_elses_settings_are_left_alone(home: Home) -> None:
    address = next(iter(addresses(home).values()))
    on(home, address, f"sudo sed -i '1s/.*/# mine/' {SETTINGS}")
    assert f"{SETTINGS} is not ours" in install(home, address, "# Written by homelab-k8s")
    assert on(home, address, f"sudo head -n 1 {SETTINGS}") == "# mine\n"
    on(home, address, f"sudo sed -i '1s/.*/# Written by homelab-k8s/' {SETTINGS}")


def test_a_vip_that_is_taken_out_of_the_inventory_is_served_no_more(home: Home) -> None:
    machines = addresses(home)
    (home.directory / "vip.yaml").write_text(INVENTORY.replace(f", vip: {VIP}", ""))
    assert (
        "serves a VIP that is no longer in the inventory" in home.run("status", "--lab", "-i", "vip.yaml", expect=1).out
    )
    run(home, "up")
    assert VIP not in home.kubeconfig.read_text()
    assert kubectl(home, "get", "--raw", "/readyz") == "ok"
    assert not Probe().ask()
    assert holders(home, machines) == []
    for address in machines.values():
        told = on(
            home,
            address,
            f"sudo ls {SETTINGS} 2>&1; systemctl is-enabled keepalived; systemctl is-active keepalived; :",
        )
        assert told.splitlines()[1:] == ["disabled", "inactive"]
        assert "No such file" in told
    assert home.run("status", "--lab", "-i", "vip.yaml", "-o", "json").json["problems"] == []
    assert "nothing to do" in run(home, "up")


def test_down_leaves_nothing(home: Home) -> None:
    run(home, "down", "--yes")
    assert not Probe().ask()
    assert Api(home).vms() == {}
