"""What can be seen of an endpoint without its token, against the lab's front and sockets of the test's own."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bootstrap.adapters.probes import NetworkProbes
from bootstrap.errors import HomelabError, HypervisorError
from bootstrap.lab.options import LabInfo, LabOptions
from bootstrap.lab.server import LabServer
from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec

LOOPBACK = IPv4Address("127.0.0.1")


def test_a_name_is_looked_up_as_the_system_does_it() -> None:
    probes = NetworkProbes()
    assert probes.resolve("localhost") == (LOOPBACK,)
    for nowhere in ("k8s.invalid", "a" * 70 + ".invalid"):
        assert probes.resolve(nowhere) == ()


def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = threading.Event(), threading.Event()

    def hang(*_args: object, **_options: object) -> list[object]:
        asked.set()
        release.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr("bootstrap.adapters.probes._RESOLVE_TIMEOUT_S", 0.05)
    assert NetworkProbes().resolve("k8s.home.arpa") == ()
    assert asked.is_set()
    release.set()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def info(state: Path) -> Iterator[LabInfo]:
    with LabServer(LabOptions(guests="none", port=0), driver=None, state_dir=state) as info:
        yield info


def endpoint(info: LabInfo, tls: TlsSpec) -> PveEndpoint:
    return PveEndpoint(url=info.endpoint, token=ApiToken(user="a@pve", name="b", secret="c"), tls=tls)


@contextmanager
def listening(address: str) -> Iterator[int]:
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("written", [str, str.lower, lambda text: text.replace(":", "")])
def test_a_pinned_certificate_is_known_however_its_fingerprint_is_written(info: LabInfo, written: object) -> None:
    assert callable(written)
    seen = NetworkProbes().endpoint(endpoint(info, TlsSpec(fingerprint=written(info.fingerprint))))
    assert (seen.certificate.fingerprint, seen.certificate.trust) == (info.fingerprint, "pinned")
    assert seen.certificate.problem == ""
    assert seen.certificate.days_left > 1


def test_the_clock_of_the_other_side_is_told(info: LabInfo) -> None:
    seen = NetworkProbes().endpoint(endpoint(info, TlsSpec(insecure=True)))
    assert seen.clock_s is not None
    assert abs(seen.clock_s) < 3
    assert (seen.certificate.trust, seen.certificate.problem) == ("", "")


def test_another_certificate_than_the_pinned_one_is_a_problem(info: LabInfo) -> None:
    seen = NetworkProbes().endpoint(endpoint(info, TlsSpec(fingerprint=":".join(["AB"] * 32))))
    assert seen.certificate.problem == "it is not the pinned one"
    assert seen.certificate.fingerprint == info.fingerprint


def test_a_certificate_that_no_ca_vouches_for_is_a_problem(info: LabInfo) -> None:
    seen = NetworkProbes().endpoint(endpoint(info, TlsSpec()))
    assert "self" in seen.certificate.problem
    assert seen.certificate.trust == ""


def test_a_ca_file_vouches(info: LabInfo, state: Path) -> None:
    ca_file = next(path for path in state.rglob("*") if path.is_file() and "PRIVATE" not in path.read_text())
    seen = NetworkProbes().endpoint(endpoint(info, TlsSpec(ca_file=ca_file)))
    assert seen.certificate.problem == ""
    assert seen.certificate.trust == f"signed by {ca_file}"


def test_a_ca_file_that_is_none_is_a_problem(info: LabInfo, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing\n")
    seen = NetworkProbes().endpoint(endpoint(info, TlsSpec(ca_file=tmp_path / "ca.pem")))
    assert "ca.pem cannot be used" in seen.certificate.problem


def test_nobody_at_an_endpoint_is_told_with_what_to_look_at(info: LabInfo) -> None:
    with listening("127.0.0.1") as port:
        pass  # closed again: nobody listens there now
    nobody = replace(endpoint(info, TlsSpec()), url=f"https://127.0.0.1:{port}")
    with pytest.raises(HypervisorError, match=f"cannot reach Proxmox VE at 127.0.0.1:{port}") as refusal:
        NetworkProbes().endpoint(nobody)
    assert "firewall" in refusal.value.resolution


def test_a_certificate_is_read_without_judging_it(info: LabInfo) -> None:
    port = urlsplit(info.endpoint).port or 0
    assert NetworkProbes().certificate(LOOPBACK, port).fingerprint == info.fingerprint
    with listening("127.0.0.1") as closed:
        pass
    with pytest.raises(HomelabError, match="presents no certificate"):
        NetworkProbes().certificate(LOOPBACK, closed)


def test_who_refuses_a_port_is_there() -> None:
    """Every loopback address is this machine's; nothing listens on port 22 of this one."""
    assert NetworkProbes().answers(IPv4Address("127.77.77.77"))


def test_nobody_is_at_an_address_that_drops_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor at one whose ARP answer is from before: the kernel keeps it for minutes after a machine is gone."""
    head = "IP address       HW type     Flags       HW address            Mask     Device\n"
    row = "{}       0x1         {}         bc:24:11:00:00:01     *        eth0\n"
    arp = tmp_path / "arp"
    arp.write_text(head + row.format("192.0.2.6", "0x2"))

    def dropped(*_args: object, **_kwargs: object) -> socket.socket:
        rows = [("192.0.2.6", "0x2"), ("192.0.2.7", "0x2"), ("192.0.2.8", "0x0")]
        arp.write_text(head + "".join(row.format(address, flags) for address, flags in rows))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", dropped)
    monkeypatch.setattr("bootstrap.adapters.probes._ARP", arp)
    assert NetworkProbes().answers(IPv4Address("192.0.2.7")), "it answered ARP"
    assert not NetworkProbes().answers(IPv4Address("192.0.2.6")), "it did before"
    assert not NetworkProbes().answers(IPv4Address("192.0.2.8")), "it did not"
    assert not NetworkProbes().answers(IPv4Address("192.0.2.9")), "it was never asked"


def test_macos_is_asked_for_arp_by_its_own_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {
        "192.0.2.7": "? (192.0.2.7) at bc:24:11:0:0:1 on en0 ifscope [ethernet]",
        "192.0.2.8": "? (192.0.2.8) at (incomplete) on en0 ifscope [ethernet]",
    }
    program = tmp_path / "arp"

    def dropped(*_args: object, **_kwargs: object) -> socket.socket:
        cases = "".join(f"{address}) echo '{says}';;\n" for address, says in answers.items())
        program.write_text(f'#!/bin/sh\ncase "$2" in\n{cases}*) echo "$2 ($2) -- no entry"; exit 1;;\nesac\n')
        program.chmod(0o755)
        raise TimeoutError("timed out")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(socket, "create_connection", dropped)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert NetworkProbes().answers(IPv4Address("192.0.2.7")), "it answered ARP"
    assert not NetworkProbes().answers(IPv4Address("192.0.2.7")), "it did before"
    assert not NetworkProbes().answers(IPv4Address("192.0.2.8")), "it did not"
    assert not NetworkProbes().answers(IPv4Address("192.0.2.9")), "it was never asked"
