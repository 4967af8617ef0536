"""A real SSH server, the connection to it, and scripts of a test's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

import pytest

from bootstrap.adapters.local import guest_files
from bootstrap.adapters.ssh.fabric import FabricShell, FabricShells
from bootstrap.adapters.ssh.keys import make_key_pair, read_key
from bootstrap.model.ids import MachineName
from bootstrap.ports import GuestScript
from tests.adapters.sshd import SshGuest

MACHINE = MachineName("demo-cp-1")
LOOPBACK = IPv4Address("127.0.0.1")
NASTY = 'it\'s; $(touch /tmp/x) "quoted" `id` ü! !! \\ \n second line'
"""A parameter that goes wrong wherever anybody reads it as more than a text."""

Script = Callable[[str, str], GuestScript]


class Connect(Protocol):
    """Logs in to the guest; the connections are closed afterwards."""

    def __call__(self, *, host_key: str | None = ..., user: str = ...) -> FabricShell:
        """As `user`, who expects this key of it; by default its own."""


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "id_ed25519"
    make_key_pair(path)
    return path


@pytest.fixture
def guest(tmp_path: Path, key: Path) -> Iterator[SshGuest]:
    guest = SshGuest(tmp_path / "guest", authorized_key=read_key(key).line)
    yield guest
    guest.stop()


@pytest.fixture
def connect(guest: SshGuest, key: Path) -> Iterator[Connect]:
    shells: list[FabricShell] = []

    def connect(*, host_key: str | None = guest.host_key, user: str = "debian") -> FabricShell:
        fabric = FabricShells(key, port=guest.port)
        shell = fabric.connect(MACHINE, LOOPBACK, user=user, host_key=host_key, timeout_s=60)
        shells.append(shell)
        return shell

    yield connect
    for shell in shells:
        shell.close()


@pytest.fixture
def shell(connect: Connect) -> FabricShell:
    return connect()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Adds scripts of the test's own to those of the package."""
    texts: dict[str, str] = {}
    original = guest_files.guest_file

    def lookup(name: str) -> bytes:
        return texts[name].encode() if name in texts else original(name)

    def add(name: str, text: str) -> GuestScript:
        texts[name] = text
        return GuestScript(name=name)

    guest_files.files_for.cache_clear()
    monkeypatch.setattr("bootstrap.adapters.local.guest_files.guest_file", lookup)
    monkeypatch.setattr("bootstrap.adapters.ssh.fabric.guest_file", lookup)
    return add


@pytest.fixture
def echo(script: Script) -> GuestScript:
    """A script that tells its parameter, complains and ends with a status."""
    name = script("echo.sh", 'printf "%s|%s" "$VALUE" "$LC_ALL"; echo no >&2; exit "$STATUS"').name
    return GuestScript(name=name, env=(("VALUE", NASTY), ("STATUS", "0")))
