"""Registries and variables of a cluster on simulated guests: the scripts' effects, and the whole by commands."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.e2e.homes import Home
from tests.lab.simulated.running import Guests
from tests.lab.simulated.test_contract import config, install
from tests.lab.simulated.test_settings import nodes

OURS = "# Written by homelab-k8s\nmirrors: {}\n"
MACHINES = ("lab-cp-1", "lab-cp-2", "lab-cp-3", "lab-workers-1")
USERS = "GOGC=50"
PASSWORD, OTHER = "tr0ub4dor-and-3", "correct-horse-battery"
PLAIN = """
cluster: lab
control_plane: {count: 3, cores: 1, memory: 1GiB, disk: 8GiB}
workers: {count: 1, cores: 1, memory: 1GiB, disk: 8GiB}
"""
WITH_REGISTRIES = f"""{PLAIN}
k3s:
  registries:
    mirrors:
      docker.io: {{endpoint: ["https://registry.home.arpa:5000"]}}
    configs:
      registry.home.arpa:5000:
        auth: {{username: puller, password: {{env: HOME_PULLER}}}}
        tls: {{ca_file: ca.pem}}
  proxy: {{env: HOME_EXIT}}
  environment: {{GOMEMLIMIT: 2GiB}}
"""


def test_what_the_scripts_do_about_registries(guests: Guests, k3s: Path) -> None:
    guest = guests.start(201)
    install(guest, k3s, "server")
    assert "registries" not in guest.run("read-settings.sh")
    sent = {"config.yaml": config(guest), "registries.yaml": OURS}
    assert guest.run("put-settings.sh", secret_files=sent, DONE="0") == {"restart": "1"}
    guest.run("put-settings.sh", DONE="1")
    assert guest.run("read-settings.sh")["registries"] == hashlib.sha256(OURS.encode()).hexdigest()
    assert guest.run("put-settings.sh", secret_files=sent, DONE="0") == {"restart": "0"}
    foreign = {**sent, "registries.yaml": "mirrors: {}\n"}
    guest.run("put-settings.sh", secret_files=foreign, DONE="0")
    assert guest.run("read-settings.sh")["registries"] == "foreign"
    assert "is not overwritten" in guest.refusal("put-settings.sh", secret_files=sent, DONE="0")[1]


def environ(password: str) -> dict[str, str]:
    return {"HOME_PULLER": password, "HOME_EXIT": f"http://me:{password}@10.0.0.1:3128"}


def certificate(password: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{len(password)}\n-----END CERTIFICATE-----\n"


def certificates(home: Home, password: str) -> list[str]:
    """The files that registries.yaml of all machines names, which have to be all there are and the password's."""
    directories = [path.parent / "registries.tls" for path in (home.directory / "state").rglob("registries.yaml")]
    found = [path for directory in directories for path in directory.iterdir()]
    assert [path.read_text() for path in found] == [certificate(password)] * len(MACHINES)
    return sorted({path.name for path in found})


def up(home: Home, inventory: str, password: str, *more: str) -> str:
    (home.directory / "cluster.yaml").write_text(inventory)
    (home.directory / "ca.pem").write_text(certificate(password))
    done = home.run("up", "--lab", "-i", "cluster.yaml", "-v", *more, env=environ(password))
    return done.out + done.err


def problems(home: Home, password: str) -> str:
    done = home.run("status", "--lab", "-i", "cluster.yaml", "-o", "json", expect=None, env=environ(password))
    return "\n".join(done.json["problems"])


def on_disks(home: Home, name: str) -> dict[str, str]:
    """A file of k3s on all disks of the lab, by the machine."""
    found = {}
    for path in (home.directory / "state").rglob(name):
        top = next(above for above in path.parents if (above / "etc/rancher/k3s/config.yaml").exists())
        words = (top / "etc/rancher/k3s/config.yaml").read_text().splitlines()
        found[next(line.partition(": ")[2] for line in words if line.startswith("node-name: "))] = path.read_text()
    return found


def starts(home: Home) -> dict[str, str]:
    return {name: node["metadata"]["annotations"]["k3s.io/node-args"] for name, node in nodes(home).items()}


def test_they_are_rolled_out_changed_and_removed_and_no_word_of_a_password_is_left_behind(home: Home) -> None:
    shown = [up(home, PLAIN, PASSWORD)]
    assert on_disks(home, "registries.yaml") == {}
    (home.directory / "cluster.yaml").write_text(WITH_REGISTRIES)
    (home.directory / "ca.pem").write_text(certificate(PASSWORD))
    told = problems(home, PASSWORD)
    for change in ("k3s.registries", "k3s.environment (HTTPS_PROXY)", "k3s.environment (GOMEMLIMIT)"):
        assert f"{change}: none -> one ({', '.join(MACHINES)})" in told
    for path in (home.directory / "state").rglob("*.service.env"):
        path.write_text(f"{USERS}\n{path.read_text()}")

    shown.append(up(home, WITH_REGISTRIES, PASSWORD))
    assert sorted(on_disks(home, "registries.yaml")) == sorted(MACHINES)
    assert all(PASSWORD in text for text in on_disks(home, "registries.yaml").values())
    # What k3s has made of it at its start: each was restarted.
    hosts = on_disks(home, "hosts.toml")
    assert sorted(hosts) == sorted(MACHINES)
    (ca,) = certificates(home, PASSWORD)
    lines = f'[host."https://registry.home.arpa:5000"]\n  ca = ["/etc/rancher/k3s/registries.tls/{ca}"]\n'
    assert all(lines in text for text in hosts.values())
    assert problems(home, PASSWORD) == ""
    assert "nothing to do" in up(home, WITH_REGISTRIES, PASSWORD)
    for name, text in variables(home).items():
        assert f"HTTPS_PROXY='http://me:{PASSWORD}@10.0.0.1:3128'\n" in text
        assert text.startswith(f"{USERS}\n"), name
        assert "10.43.0.0/16" in text.partition("NO_PROXY='")[2]

    told = problems(home, OTHER)
    assert "k3s.registries: a different one" in told
    assert f"k3s.environment (HTTPS_PROXY): a different one ({', '.join(MACHINES)})" in told
    assert "(NO_PROXY)" not in told
    shown.append(up(home, WITH_REGISTRIES, OTHER, "--dry-run"))
    shown.append(up(home, WITH_REGISTRIES, OTHER))
    assert certificates(home, OTHER) != [ca]
    assert all(OTHER in text and PASSWORD not in text for text in on_disks(home, "registries.yaml").values())
    check_nothing_told(home, shown)

    up(home, PLAIN, "")
    assert (on_disks(home, "registries.yaml"), on_disks(home, "hosts.toml")) == ({}, {})
    assert problems(home, "") == ""
    for text in variables(home).values():
        assert [line.partition("=")[0] for line in text.splitlines() if "TOKEN" not in line] == ["GOGC"]


def variables(home: Home) -> dict[str, str]:
    found: dict[str, str] = {}
    for unit in ("k3s", "k3s-agent"):
        found |= on_disks(home, f"{unit}.service.env")
    assert sorted(found) == sorted(MACHINES)
    return found


def check_nothing_told(home: Home, shown: list[str]) -> None:
    """No password, and no checksum of the file, in output, logs, recordings, or the cluster's records."""
    lines = [line for text in variables(home).values() for line in text.splitlines() if "PROXY" in line]
    secret = [*lines, *on_disks(home, "registries.yaml").values()]
    checksums = {hashlib.sha256(text.encode()).hexdigest() for text in secret}
    secrets = (PASSWORD, OTHER, *checksums)
    state = home.directory / "state" / "homelab-k8s"
    kept = [path for part in ("logs", "runs", "clusters") for path in (state / part).rglob("*") if path.is_file()]
    assert any(path.parent.name == "logs" for path in kept)
    texts = [*shown, json.dumps(nodes(home)), *(path.read_text(errors="replace") for path in kept)]
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_the_embedded_registry_is_on_on_servers_and_all_machines_mirror_everything(home: Home) -> None:
    up(home, f"{PLAIN}k3s: {{embedded_registry: true}}\n", "")
    started = starts(home)
    assert {name: '"--embedded-registry", "true"' in args for name, args in started.items()} == {
        name: "-cp-" in name for name in MACHINES
    }
    assert all("'*': {}" in text for text in on_disks(home, "registries.yaml").values())
    assert sorted(on_disks(home, "registries.yaml")) == sorted(MACHINES)
    assert problems(home, "") == ""
