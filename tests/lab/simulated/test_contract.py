"""The scripts' effects in simulated guests are those of the real scripts in real guests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.errors import SshUnreachableError
from bootstrap.lab.simulated.disk import sha256_of
from tests.lab.simulated.running import Guest, Guests, eventually

TOKEN = "open-sesame"
FACTS = {
    "arch", "machine_id", "hostname", "disk_free_mib", "k3s_sha256", "k3s_version", "active_state", "sub_state",
    "restarts", "time", "boot", "default_route", "swap", "selinux", "selinux_lacks",
}  # fmt: skip


def config(guest: Guest, **more: str) -> str:
    settings = {"node-name": guest.spec.name, "node-ip": guest.address(), **more}
    return "".join(f"{key}: {value}\n" for key, value in settings.items())


def install(guest: Guest, k3s: Path, role: str, *, token: str = TOKEN, **more: str) -> dict[str, str]:
    guest.shell.upload(k3s, name="k3s.bin")
    files = {"config.yaml": config(guest, **more), "service.env": f"K3S_TOKEN='{token}'\n"}
    return guest.run("install-k3s.sh", secret_files=files, ROLE=role, SHA256=sha256_of(k3s))


def settled(guest: Guest, unit: str) -> None:
    eventually(f"{unit} is active", lambda: guest.run("unit-state.sh", UNIT=unit)["active_state"] == "active")


def booted(guest: Guest) -> None:
    """cloud-init 25.1 of Debian 13 warns that Proxmox's `user: NAME` is deprecated, and is done all the same."""
    eventually("cloud-init", lambda: guest.run("cloud-init-result.sh")["done"] == "1")
    result = guest.run("cloud-init-result.sh")
    assert (result["status"], "DEPRECATED" in result.get("warning", "DEPRECATED")) == ("done", True)


def test_a_fresh_guest(guests: Guests) -> None:
    guest = guests.start(201)
    booted(guest)
    facts = guest.run("facts.sh", UNIT="k3s")
    assert facts.keys() == FACTS
    assert {key for key in FACTS if not facts[key]} == {
        "k3s_sha256", "k3s_version", "active_state", "sub_state", "restarts", "selinux", "selinux_lacks",
    }  # fmt: skip
    assert facts["hostname"] == "guest201"
    assert facts["default_route"] == "eth0"
    assert facts["machine_id"] == guest.spec.smbios_uuid.replace("-", "")
    assert guest.run("logins.sh") == {"known": "1"}, "sshd reports its settings, and accepts no password"
    assert guest.host_key().startswith("ssh-ed25519 ")
    guest.connect(host_key=guest.host_key()).close()


def test_what_fails_where_nothing_is_installed(guests: Guests, k3s: Path) -> None:
    guest = guests.start(201)
    assert guest.refusal("readyz.sh")[0] == 127
    status, words = guest.refusal("read-token.sh")
    assert (status, "/var/lib/rancher/k3s/server/token: No such file or directory" in words) == (1, True)
    status, words = guest.refusal("start-k3s.sh", UNIT="k3s", RESTART="0")
    assert status
    assert "k3s.service does not exist" in words
    status, words = guest.refusal("install-k3s.sh", ROLE="server", SHA256="0" * 64)
    assert (status, "the k3s binary was not sent" in words) == (1, True)
    guest.shell.upload(k3s, name="k3s.bin")
    status, words = guest.refusal("install-k3s.sh", ROLE="server", SHA256="0" * 64)
    assert (status, "the k3s binary arrived damaged" in words) == (1, True)
    assert guest.refusal("install-k3s.sh", ROLE="master", SHA256="")[0] == 1


def test_router_advertisements_are_systemd_networkds_business(guests: Guests) -> None:
    assert guests.start(201).run("accept-ra.sh", ADDRESS="fd00::1") == {"changed": "0"}


def test_a_server_and_its_agents(guests: Guests, k3s: Path) -> None:
    server = guests.start(201)
    assert install(server, k3s, "server") == {"changed": "1"}
    again = {"config.yaml": config(server), "service.env": f"K3S_TOKEN='{TOKEN}'\n"}
    kept = {"ROLE": "server", "SHA256": sha256_of(k3s)}
    assert server.run("install-k3s.sh", secret_files=again, **kept) == {"changed": "0"}
    assert "installed as the other role" in server.refusal("install-k3s.sh", ROLE="agent", SHA256=kept["SHA256"])[1]
    assert "No such file" in server.refusal("readyz.sh")[1]
    state = server.run("unit-state.sh", UNIT="k3s")
    assert server.address() in server.text("unit-state.sh", UNIT="k3s")
    assert int(state.pop("time")) > 0
    assert state.pop("address")
    assert state == {
        "active_state": "inactive", "sub_state": "dead", "restarts": "0", "result": "success", "since": ""
    }  # fmt: skip

    before = int(server.run("facts.sh", UNIT="k3s")["time"])
    assert server.run("start-k3s.sh", UNIT="k3s", RESTART="0").keys() == {"time"}
    settled(server, "k3s")
    eventually("readyz", lambda: server.text("readyz.sh").strip() == "ok")
    state = server.run("unit-state.sh", UNIT="k3s")
    assert before <= int(state.pop("since")) <= int(state.pop("time"))
    assert state.pop("address")
    assert state == {
        "active_state": "active", "sub_state": "running", "restarts": "0", "result": "success"
    }  # fmt: skip
    facts = server.run("facts.sh", UNIT="k3s")
    assert (facts["k3s_sha256"], facts["k3s_version"]) == (sha256_of(k3s), "v1.33.3+k3s1")
    assert (facts["active_state"], facts["sub_state"], facts["restarts"]) == ("active", "running", "0")
    said = server.text("journal.sh", UNIT="k3s", LINES="400", SINCE="0")
    assert re.match("-- run [0-9a-f]{32} goes on\n", said)
    assert "k3s is up and running" in said
    assert "k3s.service" not in said, "systemd's own lines are there, too"
    assert server.text("journal.sh", UNIT="k3s", LINES="40", SINCE=str(int(facts["time"]) + 60)) == ""
    tokens = server.text("read-token.sh").splitlines()
    token = tokens[0]
    assert token.endswith(f"::server:{TOKEN}")
    assert "server: https://127.0.0.1:6443" in server.text("read-kubeconfig.sh")

    _check_agents(guests, server, k3s, token)

    began = server.run("start-k3s.sh", UNIT="k3s", RESTART="1")
    assert began.keys() == {"time", "before"}
    assert re.fullmatch("[0-9a-f]{32}", began["before"])
    settled(server, "k3s")
    assert server.text("read-token.sh").splitlines() == tokens


def _check_agents(guests: Guests, server: Guest, k3s: Path, token: str) -> None:
    url = f"https://{server.address()}:6443"
    agent, wrong = guests.start(202), guests.start(203)
    install(agent, k3s, "agent", token=token, server=url)
    install(wrong, k3s, "agent", token=token.replace(TOKEN, "wrong"), server=url)
    for guest in (agent, wrong):
        guest.run("start-k3s.sh", UNIT="k3s-agent", RESTART="0")
    settled(agent, "k3s-agent")
    words = "failed to retrieve configuration from server: not authorized"
    eventually("a refusal", lambda: words in journal(wrong))
    assert "/simulated/" not in journal(wrong) + journal(agent) + journal(server, "k3s")
    assert wrong.run("unit-state.sh", UNIT="k3s-agent")["active_state"] == "activating"


def journal(guest: Guest, unit: str = "k3s-agent") -> str:
    return guest.text("journal.sh", UNIT=unit, LINES="40", SINCE="0")


def test_a_guest_that_becomes_a_template(guests: Guests, k3s: Path) -> None:
    guest = guests.start(201)
    booted(guest)
    wanted = sha256_of(k3s)
    status, words = guest.refusal("bake.sh", SHA256=wanted, LOCK_S="60")
    assert (status, "the k3s binary was not sent" in words) == (1, True)
    guest.shell.upload(k3s, name="k3s.bin")
    assert guest.run("bake.sh", SHA256=wanted, LOCK_S="60")["changed"] == "1"
    assert guest.run("facts.sh", UNIT="k3s")["k3s_sha256"] == wanted
    assert guest.run("bake.sh", SHA256=wanted, LOCK_S="60")["changed"] == "0"
    assert guest.run("clean.sh")["cleaned"] == "1"
    with pytest.raises(SshUnreachableError):
        guest.connect(host_key=None)
