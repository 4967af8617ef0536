"""Keys that Secrets are encrypted with, data that is older than they are, and nodes that keep an old address."""

from __future__ import annotations

import shutil
import sqlite3
import ssl
from contextlib import closing
from pathlib import Path

from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificate

from tests.doubles.k3s.machines import Cluster, Machine, Machines, eventually

NEWER = "newer than datastore and could cause a cluster outage. Remove the file(s) from disk and restart to be"
ENDS = "failed to find interface with specified node ip"


def saved(server: Machine, target: Path) -> Path:
    """sqlite's data as of now."""
    source = server.server_dir / "db/state.db"
    with closing(sqlite3.connect(source)) as origin, closing(sqlite3.connect(target)) as copy:
        origin.backup(copy)
    return target


def bring_back(server: Machine, data: Path, *, aside: tuple[str, ...] = ()) -> None:
    for part in aside:
        (server.server_dir / part).rename(server.server_dir / f"{part}-old")
    for old in server.server_dir.glob("db/state.db*"):
        old.unlink()
    server.server_dir.joinpath("db").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data, server.server_dir / "db/state.db")


def test_data_from_before_a_rotation_is_refused_until_keys_and_certificates_are_aside(machines: Machines) -> None:
    server = machines.server("s1", secrets_encryption=True)
    data = saved(server, machines.folder / "data")
    before = (server.server_dir / "cred/encryption-config.json").read_text()
    assert "Current Rotation Stage: start" in server.run("secrets-encrypt", "status").stdout
    done = server.run("secrets-encrypt", "rotate-keys")
    assert (done.returncode, done.stdout) == (0, "keys rotated, reencryption finished\n"), done.stderr
    assert "Current Rotation Stage: reencrypt_finished" in server.run("secrets-encrypt", "status").stdout
    server.terminate()
    bring_back(server, data)
    refused = server.run("server")
    assert refused.returncode == 1
    assert NEWER in refused.stderr
    assert "cred/encryption-config.json" in refused.stderr
    bring_back(server, data, aside=("cred", "tls"))
    server.start("server")
    server.logs("k3s is up and running", times=2)
    assert (server.server_dir / "cred/encryption-config.json").read_text() == before


def test_etcd_that_begins_with_data_and_without_its_keys_never_becomes_ready(machines: Machines) -> None:
    old = machines.server("s1", secrets_encryption=True)
    data = saved(old, machines.folder / "data")
    old.terminate()
    fresh = machines.add("s2")
    bring_back(fresh, data)
    fresh.configure(bind_address=fresh.address, secrets_encryption=True, cluster_init=True)
    fresh.start("server")
    fresh.logs("failed to decrypt data", times=2)
    assert "is up and running" not in fresh.log
    assert (fresh.server_dir / "tls/server-ca.crt").read_text() != (old.server_dir / "tls/server-ca.crt").read_text()
    fresh.kill()
    other = machines.add("s3")
    bring_back(other, data)
    other.configure(bind_address=other.address, secrets_encryption=True)
    other.start("server")
    other.up()
    other.configure(bind_address=other.address, secrets_encryption=True, cluster_init=True)
    other.restart()
    assert "Migrating content from sqlite to etcd" in other.log
    assert (other.server_dir / "tls/server-ca.crt").read_text() == (old.server_dir / "tls/server-ca.crt").read_text()


def test_k3s_that_is_up_ends_over_a_node_with_an_address_of_before(machines: Machines) -> None:
    server = machines.server("s1")
    Cluster(server).wait_ready("s1")
    data = saved(server, machines.folder / "data")
    server.terminate()
    moved = machines.add("s2")
    bring_back(moved, data)
    shutil.copytree(server.root / "etc/rancher/node", moved.root / "etc/rancher/node")
    moved.configure(bind_address=moved.address, node_name="s1")
    moved.start("server")
    assert moved.ends("the end over its node's address") == 0, "k3s shuts down in order, and systemd starts it again"
    assert "is up and running" in moved.log
    assert "Shutdown request received" in moved.log
    assert ENDS in moved.log
    moved.configure(bind_address=moved.address, node_name="s1", disable_agent=True)
    moved.start("server")
    moved.logs("k3s is up and running", times=2)
    cluster = Cluster(moved)
    (told,) = (each for each in cluster.core.read_node("s1").status.addresses if each.type == "InternalIP")
    assert told.address == server.address
    addresses = [{"type": "InternalIP", "address": moved.address}, {"type": "Hostname", "address": "s1"}]
    cluster.core.patch_node_status("s1", {"status": {"addresses": addresses}})
    cluster.close()
    moved.configure(bind_address=moved.address, node_name="s1")
    moved.restart()
    cluster = Cluster(moved)
    eventually(lambda: cluster.ready() == {"s1": "True"}, "its node is Ready")
    cluster.close()


def test_names_that_are_added_are_in_the_certificate_after_a_restart_and_stay(machines: Machines) -> None:
    server = machines.server("s1", tls_san=["a.example"])
    assert has_names(server) == {"a.example"}
    server.configure(bind_address=server.address, tls_san=["b.example"])
    server.restart()
    assert has_names(server) == {"a.example", "b.example"}


def has_names(server: Machine) -> set[str]:
    """Which of the names of a test the API's certificate is for."""
    pem = ssl.get_server_certificate((server.address, 6443))
    names = load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(SubjectAlternativeName)
    return {name for name in names.value.get_values_for_type(DNSName) if name.endswith(".example")}
