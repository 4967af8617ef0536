"""The VIP on a simulated guest is as on a real one: the guest that serves the API has it, and reports it."""

from __future__ import annotations

import ssl
import urllib.request
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bootstrap.k3s.keepalived import render_keepalived, router_id
from bootstrap.model.cluster import VipSpec
from bootstrap.model.ids import ClusterName
from tests.lab.simulated.running import Guest, Guests, eventually
from tests.lab.simulated.test_contract import install, settled


def state(guest: Guest, vip: VipSpec) -> dict[str, str]:
    return guest.run("vip-state.sh", ADDRESS=guest.address(), VIP=str(vip.address))


def answer(vip: VipSpec) -> bytes:
    url, context = f"https://{vip.address}:6443/ping", ssl._create_unverified_context()
    with urllib.request.urlopen(url, context=context, timeout=5) as reply:
        body: bytes = reply.read()
    return body


def test_who_serves_the_api_has_the_vip(guests: Guests, k3s: Path) -> None:
    server = guests.start(201)
    eventually("cloud-init", lambda: server.run("cloud-init-result.sh")["done"] == "1")
    own = IPv4Address(server.address())
    vip = VipSpec(address=IPv4Network(f"{own}/16", strict=False).network_address + 250 * 256 + 1)
    assert state(server, vip) == {"interface": "eth0", "active_state": "inactive", "configured": "0", "holder": "0"}
    assert server.run("install-vip.sh", LOCK_S="1") == {"changed": "1"}
    assert server.run("install-vip.sh", LOCK_S="1") == {"changed": "0"}

    text = render_keepalived(vip, cluster=ClusterName("lab"), interface="eth0", address=own, place=0, peers=())
    settings = {"keepalived.conf": text}
    assert server.run("install-vip.sh", secret_files=settings, LOCK_S="1") == {"changed": "1"}
    read = server.run("read-settings.sh")
    assert (read["vrid"], read["vip"]) == (str(router_id(vip, cluster=ClusterName("lab"))), str(vip.address))
    told = {"interface": "eth0", "active_state": "active", "configured": "1", "holder": "0"}
    assert state(server, vip) == told, "no API, no VIP"

    install(server, k3s, "server")
    server.run("start-k3s.sh", UNIT="k3s", RESTART="0")
    settled(server, "k3s")
    eventually("the VIP", lambda: state(server, vip)["holder"] == "1")
    assert answer(vip) == b"pong"
    assert server.run("install-vip.sh", secret_files=settings, LOCK_S="1") == {"changed": "0"}
    changed = {"keepalived.conf": text.replace("priority 250", "priority 100")}
    assert server.run("install-vip.sh", secret_files=changed, LOCK_S="1") == {"changed": "1"}
    assert answer(vip) == b"pong"

    assert server.run("remove-vip.sh") == {"changed": "1"}
    assert state(server, vip) == {"interface": "eth0", "active_state": "inactive", "configured": "0", "holder": "0"}
    assert "vip" not in server.run("read-settings.sh")
    assert server.run("remove-vip.sh") == {"changed": "0"}
