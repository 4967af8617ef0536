"""The keys that people have: with a passphrase, on a security key, readable by others, written by another program."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bootstrap.adapters.ssh.fabric import FabricShells
from bootstrap.adapters.ssh.keys import make_key_pair, read_key
from bootstrap.errors import GuestSetupError, PreflightError
from bootstrap.model.ids import MachineName
from tests.adapters.sshd import SshGuest

MACHINE = MachineName("demo-cp-1")
LOOPBACK = IPv4Address("127.0.0.1")
FORMS = {"openssh": (), "pem": ("-m", "PEM"), "pkcs8": ("-m", "PKCS8")}
SK = b"sk-ssh-ed25519@openssh.com"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenSSH's own, holding nothing."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield
        process.terminate()


def keygen(path: Path, kind: str = "ed25519", *more: str, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-qt", kind, "-N", passphrase, "-f", str(path), *more], check=True)
    return path


def add(path: Path, tmp_path: Path) -> None:
    """`ssh-add`, as a person does it who knows the passphrase `geheim`."""
    asked = tmp_path / "askpass"
    asked.write_text("#!/bin/sh\necho geheim\n")
    asked.chmod(0o700)
    environ = {**os.environ, "SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(path)], check=True, env=environ, stdin=subprocess.DEVNULL)


def log_in(path: Path, tmp_path: Path) -> None:
    guest = SshGuest(tmp_path / "guest", authorized_key=read_key(path).line)
    try:
        shells = FabricShells(path, port=guest.port)
        shells.connect(MACHINE, LOOPBACK, user="debian", host_key=guest.host_key, timeout_s=60).close()
    finally:
        guest.stop()


def refusal(path: Path) -> PreflightError:
    """What is said before anything is made for it."""
    with pytest.raises(PreflightError, match=re.escape(f"cannot use the SSH key {path}")) as caught:
        FabricShells(path).check()
    with pytest.raises(PreflightError):
        _ = FabricShells(path).public_key
    assert caught.value.exit_code == 4
    return caught.value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
class TestEachKindInEachForm:
    def test_a_plain_one_logs_in(self, kind: str, form: str, tmp_path: Path) -> None:
        path = keygen(tmp_path / "id", kind, *FORMS[form])
        log_in(path, tmp_path)
        assert FabricShells(path).check() == f"{path} ({read_key(path).kind})"

    @pytest.mark.usefixtures("agent")
    def test_one_with_a_passphrase_is_refused_until_the_agent_holds_it(
        self, kind: str, form: str, tmp_path: Path
    ) -> None:
        path = keygen(tmp_path / "id", kind, *FORMS[form], passphrase="geheim")
        error = refusal(path)
        assert error.details == "it is protected by a passphrase, and it is not loaded in the SSH agent"
        assert error.resolution.splitlines()[0] == f"ssh-add {path}"
        add(path, tmp_path)
        assert FabricShells(path).check().endswith("used through the SSH agent)")
        log_in(path, tmp_path)


def test_without_an_agent_it_is_said_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keygen(tmp_path / "id", passphrase="geheim")
    error = refusal(path)
    assert error.details == "it is protected by a passphrase, and no SSH agent is running (SSH_AUTH_SOCK is not set)"
    assert error.resolution.splitlines()[0] == f'eval "$(ssh-agent)" && ssh-add {path}'
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    assert f"nothing listens at $SSH_AUTH_SOCK ({tmp_path / 'gone'})" in refusal(path).details


@pytest.mark.usefixtures("agent")
def test_other_keys_of_the_agent_are_not_tried(tmp_path: Path) -> None:
    """The machine would take the other one."""
    path, other = keygen(tmp_path / "id", passphrase="geheim"), keygen(tmp_path / "other")
    add(other, tmp_path)
    assert "it is not loaded in the SSH agent" in refusal(path).details


def test_a_pem_key_whose_public_half_is_hidden_as_well_is_told(tmp_path: Path) -> None:
    path = keygen(tmp_path / "id", "rsa", "-m", "PEM", passphrase="geheim")
    (tmp_path / "id.pub").unlink()
    assert refusal(path).resolution.splitlines()[0] == f"ssh-keygen -yf {path} >{path}.pub"


def as_from_windows(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def without_its_last_line_end(data: bytes) -> bytes:
    return data.rstrip(b"\n")


def behind_a_byte_order_mark(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


def behind_other_lines(data: bytes) -> bytes:
    return b"\nmy key:\n" + data


@pytest.mark.parametrize(
    "spoil", [as_from_windows, without_its_last_line_end, behind_a_byte_order_mark, behind_other_lines]
)
def test_a_file_that_ssh_cannot_read_is_refused_and_what_is_said_mends_it(
    spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Else `up` works, and `ssh` and `logs --follow`, which are OpenSSH's, say `error in libcrypto`."""
    path = keygen(tmp_path / "a key")
    path.write_bytes(spoil(path.read_bytes()))
    assert subprocess.run(["ssh-keygen", "-yf", path], capture_output=True, check=False).returncode
    mend = refusal(path).resolution.splitlines()[0]
    subprocess.run(mend, shell=True, check=True)
    log_in(path, tmp_path)
    subprocess.run(["ssh-keygen", "-yf", path], capture_output=True, check=True)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_may_read_is_refused_as_ssh_does(mode: int, tmp_path: Path) -> None:
    path = keygen(tmp_path / "id")
    path.chmod(mode)
    error = refusal(path)
    assert f"other users can read it (mode {mode:04o})" in error.details
    assert error.resolution.splitlines()[0] == f"chmod 600 {path}"
    path.chmod(0o600)
    log_in(path, tmp_path)


def test_a_certificate_that_lies_beside_it_is_not_shown_in_its_place(tmp_path: Path) -> None:
    """Machines know the key, and not anyone who signed the certificate: they refused it."""
    path, authority = keygen(tmp_path / "id"), keygen(tmp_path / "ca")
    signed = ["ssh-keygen", "-qs", str(authority), "-I", "me", "-n", "somebody", f"{path}.pub"]
    subprocess.run(signed, check=True)
    assert (tmp_path / "id-cert.pub").exists()
    log_in(path, tmp_path)


def test_what_is_no_key_at_all_is_told(tmp_path: Path) -> None:
    path = tmp_path / "id"
    assert "No such file" in refusal(path).details
    for text in ("hello", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"):
        path.write_text(text)
        path.chmod(0o600)
        refusal(path)


def test_a_key_of_our_own_is_not_made_by_looking(tmp_path: Path) -> None:
    shells = FabricShells(tmp_path / "state" / "id_ed25519", make=True)
    assert "is created together" in shells.check()
    assert not (tmp_path / "state").exists()
    make_key_pair(tmp_path / "state" / "id_ed25519")
    assert "(ssh-ed25519)" in shells.check()


class TestASecurityKey:
    """Its file holds no secret at all; the agent asks the device."""

    @pytest.fixture
    def device(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.generate()

    @pytest.fixture
    def path(self, tmp_path: Path, device: Ed25519PrivateKey) -> Path:
        secret = b"\x01\x02\x03\x04" * 2 + public_of(device) + b"\x01" + strings(b"handle", b"", b"me")
        secret += bytes(range(1, 1 + -len(secret) % 8))
        blob = b"openssh-key-v1\0" + strings(b"none", b"none", b"") + struct.pack(">I", 1)
        text = base64.encodebytes(blob + strings(public_of(device), secret)).decode()
        path = tmp_path / "id_sk"
        path.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n")
        path.chmod(0o600)
        told = subprocess.run(["ssh-keygen", "-yf", path], capture_output=True, check=True, text=True).stdout
        assert told.split()[:2] == read_key(path).public.split(), "OpenSSH takes it for one, too"
        return path

    def test_it_is_told_that_only_an_agent_can_use_it(self, path: Path) -> None:
        error = refusal(path)
        told = "its private half is in a security key (sk-ssh-ed25519@openssh.com), and no SSH agent is running"
        assert error.details.startswith(told)
        assert "ssh-add" in error.resolution

    def test_with_the_agent_it_logs_in(
        self, path: Path, device: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with agent_of(device, tmp_path / "agent"):
            monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
            log_in(path, tmp_path)

    def test_one_that_is_not_touched_is_told_and_not_asked_again(
        self, path: Path, device: Ed25519PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with agent_of(device, tmp_path / "agent", denies=True) as asked:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
            with pytest.raises(GuestSetupError, match="the SSH agent does not sign with our key"):
                log_in(path, tmp_path)
            assert asked.count(13) == 1


def strings(*texts: bytes) -> bytes:
    """As SSH writes them."""
    return b"".join(struct.pack(">I", len(text)) + text for text in texts)


def public_of(device: Ed25519PrivateKey) -> bytes:
    return strings(SK, device.public_key().public_bytes_raw(), b"ssh:")


@contextmanager
def agent_of(device: Ed25519PrivateKey, path: Path, *, denies: bool = False) -> Iterator[list[int]]:
    """An agent with a device behind it; what it was asked, by number (draft-miller-ssh-agent)."""
    asked: list[int] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer(message: bytes) -> bytes:
            asked.append(message[0])
            if message[0] == 11:
                return b"\x0c" + struct.pack(">I", 1) + strings(public_of(device), b"me")
            if denies:
                return b"\x05"
            size = struct.unpack(">I", message[1:5])[0]
            data = message[9 + size :][: struct.unpack(">I", message[5 + size : 9 + size])[0]]
            tail = b"\x01" + struct.pack(">I", 7)
            signed = hashlib.sha256(b"ssh:").digest() + tail + hashlib.sha256(data).digest()
            return b"\x0e" + strings(strings(SK, device.sign(signed)) + tail)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while size := connection.recv(4):
                        said = answer(connection.recv(struct.unpack(">I", size)[0], socket.MSG_WAITALL))
                        connection.sendall(strings(said))

        thread = threading.Thread(target=serve, name="agent", daemon=True)
        thread.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
