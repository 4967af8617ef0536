"""restore.sh run for real, with a k3s that only says how it ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.adapters.test_guest_scripts import Machine, needs_root

SERVER = "/var/lib/rancher/k3s/server"
SNAPSHOT = "nightly-cp-1-1740830400"
RESET = (
    "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. "
    "Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes"
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.answer.write_text("inactive\n")
    for part in ("tls/server-ca.key", "cred/passwd", "cred/encryption-config.json", "token", "db/etcd/name"):
        machine.put_file(f"{SERVER}/{part}", f"{part} of now\n")
    machine.put_file("/etc/rancher/k3s/config.yaml", "node-name: cp-1\n")
    machine.put_file(f"{SERVER}/db/snapshots/{SNAPSHOT}", "etcd's data\n")
    with closing(sqlite3.connect(machine.path(f"{SERVER}/db/snapshots/{SNAPSHOT}.sqlite"))) as data, data:
        data.execute("CREATE TABLE kine (id INTEGER)")
    return machine


def restore(machine: Machine, name: str, *, check: bool = True) -> str:
    done = machine.run("restore.sh", files=[("restore-token", "short\n")], check=check, NAME=name, FROM="disk", CA="")
    assert not (machine.beside / "restore-token").exists()
    return "" if done.returncode == 0 else done.stderr


def put_k3s(machine: Machine, *, says: str, code: int) -> None:
    noise = '{"level":"warn","msg":"rejected connection"}'
    machine.put_file(
        "/usr/local/bin/k3s",
        f"#!/bin/sh\nfor _ in $(seq 50); do echo '{noise}'; done\n"
        f"cat <<'SAID'\n{says}\nSAID\nfor _ in $(seq 50); do echo '{noise}'; done\nexit {code}\n",
    )
    machine.path("/usr/local/bin/k3s").chmod(0o755)


def beside(machine: Machine, part: str) -> list[Path]:
    return sorted(machine.path(SERVER).glob(f"{part}-old-*"))


@needs_root
class TestSqlite:
    def test_keys_of_now_are_kept_aside_and_those_of_the_data_have_room(self, machine: Machine) -> None:
        restore(machine, f"{SNAPSHOT}.sqlite")
        server = machine.path(SERVER)
        assert not (server / "tls").exists()
        assert not (server / "cred").exists()
        (tls,), (cred,) = beside(machine, "tls"), beside(machine, "cred")
        assert (tls / "server-ca.key").read_text() == "tls/server-ca.key of now\n"
        assert (cred / "passwd").read_text() == "cred/passwd of now\n"
        assert (server / "db/state.db").read_bytes() == (server / f"db/snapshots/{SNAPSHOT}.sqlite").read_bytes()
        assert not (server / "db/etcd").exists()
        assert not (server / "homelab-k8s-restore").exists()

    def test_settings_that_would_move_it_to_etcd_at_once_are_refused(self, machine: Machine) -> None:
        machine.put_file("/etc/rancher/k3s/config.yaml", "cluster-init: true\n")
        assert "cluster-init" in restore(machine, f"{SNAPSHOT}.sqlite", check=False)
        assert machine.path(f"{SERVER}/cred/passwd").exists()
        assert machine.path(f"{SERVER}/homelab-k8s-restore").exists()

    def test_what_is_no_database_is_refused_before_anything_is_put_aside(self, machine: Machine) -> None:
        machine.put_file(f"{SERVER}/db/snapshots/{SNAPSHOT}.sqlite", "<html>moved</html>\n")
        assert "no sqlite database" in restore(machine, f"{SNAPSHOT}.sqlite", check=False)
        assert machine.path(f"{SERVER}/tls/server-ca.key").exists()
        assert machine.path(f"{SERVER}/db/etcd/name").exists()


@needs_root
class TestEtcd:
    def test_the_words_of_k3s_say_that_it_is_done(self, machine: Machine) -> None:
        put_k3s(machine, says=f'level=fatal msg="{RESET}"', code=0)
        restore(machine, SNAPSHOT)
        assert not machine.path(f"{SERVER}/homelab-k8s-restore").exists()
        assert machine.path(f"{SERVER}/cred/passwd").exists()

    @pytest.mark.parametrize("code", [0, 1])
    def test_without_them_it_is_not_whatever_the_exit_code(self, machine: Machine, code: int) -> None:
        cause = "failed to save bootstrap data: bootstrap data already found and encrypted with different token"
        put_k3s(machine, says=f'time="now" level=error msg="Shutdown request received: {cause}"', code=code)
        said = restore(machine, SNAPSHOT, check=False)
        assert cause in said
        assert f"k3s could not restore {SNAPSHOT} (exit code {code})" in said
        assert machine.path(f"{SERVER}/homelab-k8s-restore").exists()

    def test_words_with_an_exit_code_that_says_otherwise_are_not_believed_either(self, machine: Machine) -> None:
        put_k3s(machine, says=f'level=info msg="{RESET}"', code=3)
        assert "exit code 3" in restore(machine, SNAPSHOT, check=False)
