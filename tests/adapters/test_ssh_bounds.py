"""A machine that is not trusted, over SSH: it prints without end, and lies about how large its files are."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

from bootstrap.adapters.local.download_target import LocalFile
from bootstrap.adapters.ssh.command import MOST_BYTES
from bootstrap.adapters.ssh.fabric import DIRECTORY, FabricShell, FabricShells
from bootstrap.adapters.ssh.keys import make_key_pair
from bootstrap.errors import GuestError, HomelabError, ScriptError, SshUnreachableError
from tests.adapters.conftest import LOOPBACK, MACHINE, Connect, Script
from tests.adapters.sshd import SshGuest

LOUD = "yes 0123456789012345678901234567890123456789012345678901234567890123456789"


@pytest.fixture
def shell(connect: Connect) -> FabricShell:
    return connect(user="root")


def _stopped(guest: SshGuest) -> bool:
    """Whether the command over there has heard of the end."""
    waited = threading.Event()
    return any(guest.hung_up_on or waited.wait(0.05) for _ in range(100))


@pytest.mark.parametrize("where", ["", " >&2"])
def test_a_script_that_prints_without_end_is_stopped_and_little_of_it_kept(
    shell: FabricShell, guest: SshGuest, script: Script, where: str
) -> None:
    """826 MB were kept in 8 s, and put into an error."""
    tracemalloc.start()
    try:
        with pytest.raises(GuestError) as caught:
            shell.run(script("odd.sh", f"echo first; {LOUD}{where}"), timeout_s=30)
        most_mib = tracemalloc.get_traced_memory()[1] >> 20
    finally:
        tracemalloc.stop()
    error = caught.value
    assert error.brief == "demo-cp-1: odd.sh printed more than 16 MiB and was stopped"
    assert len(error.details) < 8000
    assert "characters left out" in error.details
    assert "homelab-k8s ssh demo-cp-1" in error.resolution
    assert most_mib < 100
    assert _stopped(guest)


def test_a_user_s_command_that_prints_without_end_is_stopped(shell: FabricShell, guest: SshGuest) -> None:
    with pytest.raises(GuestError, match="demo-cp-1: the command printed more than 16 MiB"):
        shell.command(LOUD, timeout_s=30)
    assert _stopped(guest)


def test_output_up_to_the_limit_comes_whole(shell: FabricShell) -> None:
    outcome = shell.command(f"head -c {MOST_BYTES - 5} /dev/zero | tr '\\0' x; echo fine", timeout_s=60)
    assert len(outcome.stdout) == MOST_BYTES
    assert outcome.stdout.endswith("xfine\n")


def test_a_failure_shows_the_head_and_the_tail_of_what_was_said(shell: FabricShell, script: Script) -> None:
    with pytest.raises(ScriptError) as caught:
        shell.run(script("odd.sh", "seq 1 100000; printf '%01000000d' 7; echo; echo the end; exit 3"), timeout_s=30)
    lines = caught.value.details.splitlines()
    assert lines[:2] == ["1", "2"]
    assert lines[-1] == "the end"
    assert "left out" in caught.value.details
    assert len(caught.value.details) < 2000


def test_a_file_that_claims_to_be_huge_is_refused_unread(shell: FabricShell, guest: SshGuest, tmp_path: Path) -> None:
    """3.9 GiB were asked for at once, and kept until they were read."""
    (guest.home / DIRECTORY).mkdir()
    (guest.home / DIRECTORY / "snapshot.out").write_bytes(b"small")
    guest.lies["snapshot.out"] = 1 << 50
    with pytest.raises(GuestError, match=r"demo-cp-1: snapshot.out is too large to download"):
        shell.download("snapshot.out", target=tmp_path / "here")
    assert (guest.asked, list(tmp_path.glob("*here*"))) == (0, [])


def test_no_more_is_asked_for_than_is_written_soon(
    shell: FabricShell, guest: SshGuest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (guest.home / DIRECTORY).mkdir()
    (guest.home / DIRECTORY / "snapshot.out").write_bytes(b"small")
    guest.lies["snapshot.out"], guest.pads = 1 << 32, True
    asked: list[int] = []

    def write(_file: LocalFile, _chunk: bytes) -> None:
        time.sleep(0.5)  # a slow disk: anyone who asks ahead gets far ahead now
        asked.append(guest.asked)
        raise HomelabError("cannot write", details="No space left on device")

    monkeypatch.setattr(LocalFile, "write", write)
    with pytest.raises(HomelabError, match="No space left"):
        shell.download("snapshot.out", target=tmp_path / "here")
    assert 0 < asked[0] <= 1 << 20


def test_a_file_of_several_windows_comes_whole(shell: FabricShell, guest: SshGuest, tmp_path: Path) -> None:
    data = bytes(range(251)) * 12_345
    (guest.home / DIRECTORY).mkdir()
    (guest.home / DIRECTORY / "snapshot.out").write_bytes(data)
    shell.download("snapshot.out", target=tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == data


def test_a_file_that_is_shorter_than_it_claims_is_told(shell: FabricShell, guest: SshGuest, tmp_path: Path) -> None:
    (guest.home / DIRECTORY).mkdir()
    (guest.home / DIRECTORY / "snapshot.out").write_bytes(b"x" * 1_000_000)
    guest.lies["snapshot.out"] = 3_000_000
    with pytest.raises(GuestError, match="was not transferred completely"):
        shell.download("snapshot.out", target=tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("announced", [(1 << 31) + 4, (1 << 24) + 4])
def test_a_packet_that_is_announced_as_huge_is_not_waited_for(tmp_path: Path, announced: int) -> None:
    """By anyone who answers at the address, before any host key is looked at."""
    make_key_pair(tmp_path / "id_ed25519")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + announced.to_bytes(4, "big"))
                for _ in range(1 << 10):
                    connection.sendall(b"\0" * (1 << 16))

    server = threading.Thread(target=serve)
    server.start()
    shells = FabricShells(tmp_path / "id_ed25519", port=listener.getsockname()[1])
    assert shells.public_key
    tracemalloc.start()
    try:
        with pytest.raises(SshUnreachableError, match=r"announces a packet of [0-9]+ bytes"):
            shells.connect(MACHINE, LOOPBACK, user="root", host_key=None, timeout_s=20)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
        listener.close()
        server.join(10)
