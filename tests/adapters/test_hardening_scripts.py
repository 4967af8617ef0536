"""The scripts that put the files of hardening onto a machine, and look at them, run for real in a mount namespace."""

from __future__ import annotations

import hashlib

import pytest

from bootstrap.k3s.hardening.cis import KERNEL
from bootstrap.k3s.hardening.files import AUDIT, PSA
from tests.adapters.test_guest_scripts import BINARY, SECRETS, SHA256, Machine, lines, machine, needs_root

__all__ = ["machine"]  # the fixture

DATA = "/var/lib/rancher/k3s/server"
PART = "/etc/systemd/system/k3s.service.d/homelab-k8s-hardening.conf"
BOTH = (("psa.yaml", PSA), ("audit.yaml", AUDIT))
CHECKSUM = hashlib.sha256((PSA + AUDIT).encode()).hexdigest()


def put(machine: Machine, *sent: tuple[str, str], config: str = "disable: traefik\n", check: bool = True) -> str:
    machine.path("/etc/rancher/k3s").mkdir(exist_ok=True)
    done = machine.run("put-settings.sh", files=(("config.yaml", config), *sent), DONE="0", check=check)
    assert [name for name in ("psa.yaml", "audit.yaml", "config.yaml") if (machine.beside / name).exists()] == []
    machine.run("put-settings.sh", DONE="1")
    return done.stdout + done.stderr


def told(machine: Machine) -> str:
    return dict(lines(machine.run("read-settings.sh"))).get("hardening", "")


def mode(machine: Machine, path: str) -> int:
    return machine.path(path).stat().st_mode & 0o777


@needs_root
class TestFiles:
    def test_they_are_roots_alone_and_change_once(self, machine: Machine) -> None:
        put(machine)
        assert put(machine, *BOTH) == "restart=1\n"
        assert [machine.path(f"{DATA}/{name}").read_text() for name, _ in BOTH] == [PSA, AUDIT]
        assert {mode(machine, f"{DATA}/{name}") for name, _ in BOTH} == {0o600}
        assert {mode(machine, DATA), mode(machine, f"{DATA}/logs")} == {0o700}
        assert mode(machine, "/var/lib/rancher/k3s") == 0o755, "as k3s makes it"
        assert "chmod 600" in machine.path(PART).read_text()
        assert told(machine) == CHECKSUM
        assert put(machine, *BOTH) == "restart=0\n"

    def test_what_was_changed_opened_or_removed_is_told_and_put_right(self, machine: Machine) -> None:
        put(machine, *BOTH)
        machine.path(f"{DATA}/psa.yaml").chmod(0o644)
        assert told(machine) == "exposed"
        assert (put(machine, *BOTH), told(machine)) == ("restart=0\n", CHECKSUM)
        machine.path(f"{DATA}/audit.yaml").unlink()
        assert told(machine) not in ("", CHECKSUM)
        assert (put(machine, *BOTH), told(machine)) == ("restart=1\n", CHECKSUM)
        machine.path(PART).unlink()
        assert told(machine) == "exposed"
        assert (put(machine, *BOTH), told(machine)) == ("restart=1\n", CHECKSUM)

    def test_ours_are_removed_where_none_are_sent(self, machine: Machine) -> None:
        put(machine, *BOTH)
        assert put(machine) == "restart=1\n"
        assert [path.name for path in machine.path(DATA).iterdir()] == ["logs"]
        assert not machine.path(PART).exists()
        assert (put(machine), told(machine)) == ("restart=0\n", "")

    def test_anothers_are_neither_overwritten_nor_removed(self, machine: Machine) -> None:
        machine.put_file(f"{DATA}/psa.yaml", "kind: AdmissionConfiguration\n")
        assert told(machine) == "foreign"
        assert "is not overwritten" in put(machine, *BOTH, check=False)
        assert not machine.path(f"{DATA}/audit.yaml").exists()
        put(machine)
        assert machine.path(f"{DATA}/psa.yaml").read_text() == "kind: AdmissionConfiguration\n"

    def test_they_come_with_the_installation_and_an_upgrade_leaves_them(self, machine: Machine) -> None:
        sent = (*SECRETS, ("k3s.bin", BINARY), *BOTH)
        for changed in "10":
            done = machine.run("install-k3s.sh", files=sent, ROLE="server", SHA256=SHA256)
            assert (done.stdout, told(machine)) == (f"changed={changed}\n", CHECKSUM)
        machine.run("install-k3s.sh", ROLE="server", SHA256=SHA256)
        assert told(machine) == CHECKSUM
        assert machine.run("install-k3s.sh", files=SECRETS, ROLE="server", SHA256=SHA256).stdout == "changed=1\n"
        assert told(machine) == ""


@needs_root
class TestLook:
    def look(self, machine: Machine) -> list[tuple[str, str]]:
        return lines(machine.run("hardening.sh"))

    def test_a_machine_without_k3s_has_its_kernels_values_alone(self, machine: Machine) -> None:
        found = self.look(machine)
        assert {value.split()[0] for key, value in found if key == "sysctl"} == KERNEL.keys()
        assert [pair for pair in found if pair[0] != "sysctl"] == [("checked", "0"), ("audited", "0")]

    def test_what_others_can_use_is_told_with_its_mode_and_owner(self, machine: Machine) -> None:
        put(machine, *BOTH)
        machine.put_file(f"{DATA}/logs/audit.log", "{}\n")
        machine.put_file(f"{DATA}/tls/client-ca.crt", "-----BEGIN CERTIFICATE-----\n")
        machine.put_file("/etc/rancher/k3s/k3s.yaml", "kind: Config\n")
        for path in (f"{DATA}/logs/audit.log", f"{DATA}/tls/client-ca.crt"):
            machine.path(path).chmod(0o644)
        machine.path("/etc/rancher/k3s/k3s.yaml").chmod(0o600)
        found = self.look(machine)
        assert sorted(value for key, value in found if key == "loose") == [
            f"644:0:0 {DATA}/logs/audit.log", f"644:0:0 {DATA}/tls/client-ca.crt",
        ]  # fmt: skip
        assert dict(found)["audited"] == "1"
        assert int(dict(found)["checked"]) == 8

    @pytest.mark.parametrize("count", [25])
    def test_no_more_than_twenty_are_told(self, machine: Machine, count: int) -> None:
        for number in range(count):
            machine.put_file(f"{DATA}/tls/{number}.crt", "")
            machine.path(f"{DATA}/tls/{number}.crt").chmod(0o644)
        assert [key for key, _ in self.look(machine)].count("loose") == 20
