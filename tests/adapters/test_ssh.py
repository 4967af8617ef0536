"""SSH against a real server on loopback: pinning, keys, scripts, uploads, and connections that die."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bootstrap.adapters.ssh.fabric import DIRECTORY, FabricShells
from bootstrap.adapters.ssh.keys import make_key_pair, read_key
from bootstrap.errors import GuestError, HomelabError, HostKeyError, ScriptError, SshUnreachableError
from bootstrap.ports import GuestScript
from tests.adapters.conftest import LOOPBACK, MACHINE, Connect, Script
from tests.adapters.sshd import SUDO_WITH_PASSWORD, SshGuest


def test_a_packaged_script_runs_and_its_output_comes_back(connect: Connect) -> None:
    facts = dict(line.split("=", 1) for line in connect().run(GuestScript(name="facts.sh"), timeout_s=60).splitlines())
    assert facts["hostname"] == socket.gethostname()
    assert facts["arch"] in {"amd64", "arm64"}


def test_parameters_arrive_verbatim_and_through_sudo(connect: Connect, script: Script, guest: SshGuest) -> None:
    nasty = 'it\'s; $(touch /tmp/x) "quoted" `id` ü \n second line'
    echo = script("echo.sh", 'printf "%s|%s" "$VALUE" "$LC_ALL"')
    told = connect().run(GuestScript(name=echo.name, env=(("VALUE", nasty),)), timeout_s=60)
    assert told == f"{nasty}|C"
    assert guest.sudo_log.read_text().startswith("env LC_ALL=C VALUE=it's")


def test_root_needs_no_sudo(connect: Connect, script: Script, guest: SshGuest) -> None:
    assert connect(user="root").run(script("ok.sh", "echo fine"), timeout_s=60) == "fine\n"
    assert not guest.sudo_log.exists()


def test_secret_files_are_private_and_beside_the_script(connect: Connect, script: Script, guest: SshGuest) -> None:
    look = script("look.sh", "stat -c %a . config.yaml && cat config.yaml && rm config.yaml")
    run = GuestScript(name=look.name, secret_files=(("config.yaml", "token: geheim\n"),))
    assert connect().run(run, timeout_s=60) == "700\n600\ntoken: geheim\n"
    assert b"geheim" not in guest.sudo_log.read_bytes()
    assert {path.name for path in (guest.home / DIRECTORY).iterdir()} == {"look.sh"}


def test_files_a_script_needs_are_sent_with_it(connect: Connect, script: Script) -> None:
    script("part.sh", "echo from the part")
    whole = script("whole.sh", "# needs: part.sh k3s.service\nset -eu\nsh ./part.sh\ngrep -c ExecStart= k3s.service\n")
    assert connect().run(whole, timeout_s=60) == "from the part\n1\n"


def test_a_failing_script_tells_its_status_and_what_it_said(connect: Connect, script: Script) -> None:
    with pytest.raises(ScriptError) as caught:
        connect().run(script("bad.sh", "echo out; echo 'no space left' >&2; exit 3"), timeout_s=60)
    assert (caught.value.status, caught.value.details) == (3, "no space left")
    assert str(caught.value) == "demo-cp-1: bad.sh failed with status 3: no space left"


def test_a_script_that_takes_too_long_is_an_error_and_the_connection_goes_on(connect: Connect, script: Script) -> None:
    shell = connect()
    began = time.monotonic()
    with pytest.raises(ScriptError, match="did not end within 1 s") as caught:
        shell.run(script("slow.sh", "exec sleep 30"), timeout_s=1)
    assert caught.value.status == 124
    assert time.monotonic() - began < 20
    assert shell.run(script("ok.sh", "echo fine"), timeout_s=60) == "fine\n"


def test_a_script_may_complain_at_length(connect: Connect, script: Script) -> None:
    """More than the connection holds for a reader: 2 MiB."""
    loud = script("loud.sh", "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo fine")
    assert connect().run(loud, timeout_s=30) == "fine\n"


def test_sudo_that_wants_a_password_is_explained(connect: Connect, guest: SshGuest) -> None:
    guest.put_command("sudo", SUDO_WITH_PASSWORD)
    with pytest.raises(GuestError, match="cannot become root") as caught:
        connect().run(GuestScript(name="facts.sh"), timeout_s=60)
    assert "NOPASSWD" in caught.value.resolution
    assert not isinstance(caught.value, SshUnreachableError | ScriptError)


def test_no_key_but_the_pinned_one_is_accepted(connect: Connect, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "other")
    with pytest.raises(HostKeyError) as caught:
        connect(host_key=read_key(tmp_path / "other").line)
    assert "expected ssh-ed25519" in caught.value.details
    with pytest.raises(HostKeyError, match="cannot be read"):
        connect(host_key="ssh-ed25519 nonsense")


def test_a_pinned_key_of_another_type_is_refused(connect: Connect) -> None:
    """The server has no ECDSA key: what it shows instead is not the pinned one."""
    import asyncssh

    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    with pytest.raises(HostKeyError):
        connect(host_key=other)


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256"])
def test_host_keys_of_other_types_can_be_pinned(tmp_path: Path, key: Path, kind: str) -> None:
    guest = SshGuest(tmp_path / "guest", authorized_key=read_key(key).line, host_key_type=kind)
    try:
        shells = FabricShells(key, port=guest.port)
        shells.connect(MACHINE, LOOPBACK, user="debian", host_key=guest.host_key, timeout_s=60).close()
    finally:
        guest.stop()


def test_with_no_key_to_pin_any_is_accepted_and_none_is_stored(
    connect: Connect, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert connect(host_key=None).run(script("ok.sh", "echo fine"), timeout_s=60) == "fine\n"
    assert not (tmp_path / "user").exists()


def test_the_key_that_a_machine_has_shown_is_told(connect: Connect, guest: SshGuest) -> None:
    """So that who had none to pin keeps it, and pins it from then on."""
    shown = connect(host_key=None).host_key
    assert shown == " ".join(guest.host_key.split()[:2])
    assert connect(host_key=shown).host_key == shown


def test_a_fingerprint_can_be_pinned(connect: Connect, guest: SshGuest) -> None:
    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=guest.host_key, capture_output=True, text=True, check=True
    )
    fingerprint = told.stdout.split()[1]
    assert connect(host_key=fingerprint).host_key == " ".join(guest.host_key.split()[:2])
    with pytest.raises(HostKeyError) as caught:
        connect(host_key="SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert caught.value.details.endswith(f"found ssh-ed25519 {fingerprint}")


def test_nothing_is_sent_to_a_server_that_lets_anybody_in(key: Path, tmp_path: Path) -> None:
    """It would be given the cluster's token: to be let in there says nothing of who it is."""
    guest = SshGuest(tmp_path / "guest", authorized_key=read_key(key).line, admits_anybody=True)
    try:
        for host_key in (None, guest.host_key):
            with pytest.raises(GuestError, match="accepts debian without any key") as caught:
                FabricShells(key, port=guest.port).connect(
                    MACHINE, LOOPBACK, user="debian", host_key=host_key, timeout_s=60
                )
            assert not isinstance(caught.value, SshUnreachableError)
        assert list(guest.home.iterdir()) == []
    finally:
        guest.stop()


def test_a_refused_key_may_pass_while_cloud_init_works(guest: SshGuest, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "stranger")
    with pytest.raises(SshUnreachableError, match="refused our SSH key"):
        FabricShells(tmp_path / "stranger", port=guest.port).connect(
            MACHINE, LOOPBACK, user="debian", host_key=None, timeout_s=5
        )


def test_a_closed_port_is_unreachable(key: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(SshUnreachableError, match="refused"):
            FabricShells(key, port=port).connect(MACHINE, LOOPBACK, user="debian", host_key=None, timeout_s=60)


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_port_that_does_not_speak_ssh_is_unreachable_in_time(key: Path, hangs_up: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                if not hangs_up:
                    while connection.recv(100):
                        pass

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        with pytest.raises(SshUnreachableError):
            FabricShells(key, port=server.getsockname()[1]).connect(
                MACHINE, LOOPBACK, user="debian", host_key=None, timeout_s=1
            )
        assert time.monotonic() - began < 20  # paramiko itself would give a banner 15 s, and all else for ever
        thread.join()


def test_a_connection_lost_in_the_middle_is_unreachable(connect: Connect, script: Script, guest: SshGuest) -> None:
    shell = connect()
    script("slow.sh", "touch started; exec sleep 30")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shell.run, GuestScript(name="slow.sh"), timeout_s=30)
        started = guest.home / DIRECTORY / "started"
        while not started.exists():
            time.sleep(0.01)
        guest.drop_connections()
        with pytest.raises(SshUnreachableError, match="lost"):
            running.result(60)
    with pytest.raises(SshUnreachableError):
        shell.run(GuestScript(name="facts.sh"), timeout_s=60)
    with pytest.raises(SshUnreachableError):
        shell.upload(Path(__file__), name="k3s.bin")


def test_uploads_arrive_whole_and_private(connect: Connect, guest: SshGuest, tmp_path: Path) -> None:
    size = 64 << 20
    source = tmp_path / "k3s"
    source.write_bytes(os.urandom(1 << 20) * (size >> 20))
    shell = connect()
    began = time.monotonic()
    shell.upload(source, name="k3s.bin")
    print(f"64 MiB took {time.monotonic() - began:.2f} s")
    target = guest.home / DIRECTORY / "k3s.bin"
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    shell.upload(Path(__file__), name="images/k3s.tar.zst")
    assert (guest.home / DIRECTORY / "images" / "k3s.tar.zst").read_bytes() == Path(__file__).read_bytes()
    assert not [path for path in (guest.home / DIRECTORY).rglob(".*")]


def test_a_guest_that_cannot_take_a_file_is_no_dead_connection(connect: Connect, guest: SshGuest) -> None:
    (guest.home / DIRECTORY / "k3s.bin").mkdir(parents=True)
    with pytest.raises(GuestError, match="does not accept") as caught:
        connect().upload(Path(__file__), name="k3s.bin")
    assert not isinstance(caught.value, SshUnreachableError)


def test_many_threads_share_one_key(connect: Connect, script: Script) -> None:
    ok = script("ok.sh", "echo fine")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: connect().run(ok, timeout_s=60), range(8))) == {"fine\n"}


def test_nothing_of_paramiko_reaches_standard_error(key: Path, tmp_path: Path) -> None:
    """A fresh process, as a user has it: no log handlers, warnings as Python shows them."""
    code = f"""
from ipaddress import IPv4Address
from pathlib import Path
import socket, threading
from bootstrap.adapters.ssh.fabric import FabricShells
from bootstrap.errors import SshUnreachableError
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].close()).start()
try:
    FabricShells(Path({str(key)!r}), port=server.getsockname()[1]).connect(
        "m", IPv4Address("127.0.0.1"), user="u", host_key=None, timeout_s=3)
except SshUnreachableError:
    print("unreachable")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert (done.stdout, done.stderr) == ("unreachable\n", "")


def test_importing_the_adapter_is_cheap() -> None:
    clients = "('paramiko', 'fabric', 'cryptography')"
    code = f"import sys, bootstrap.adapters.ssh.fabric; print([m for m in {clients} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout == "[]\n"


def test_a_key_pair_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "state" / "id_ed25519"
    make_key_pair(path)
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.with_name("id_ed25519.pub").read_text().strip() == read_key(path).line == FabricShells(path).public_key
    listed = subprocess.run(["ssh-keygen", "-yf", path], capture_output=True, text=True, check=True).stdout
    assert listed.split()[:2] == read_key(path).line.split()[:2]
    make_key_pair(path)
    assert path.read_bytes() == first


class TestDownload:
    def test_a_file_beside_the_scripts_arrives_whole_and_private(
        self, connect: Connect, script: Script, tmp_path: Path
    ) -> None:
        shell = connect()
        shell.run(script("leave.sh", "head -c 5000000 /dev/urandom >left; sha256sum left >left.sum"), timeout_s=60)
        target = tmp_path / "fetched"
        target.write_text("old")
        shell.download("left", target=target)
        shell.download("left.sum", target=tmp_path / "sum")
        assert hashlib.sha256(target.read_bytes()).hexdigest() == (tmp_path / "sum").read_text().split()[0]
        assert target.stat().st_mode & 0o777 == 0o600
        assert {path.name for path in tmp_path.iterdir()} >= {"fetched", "sum"}
        assert not list(tmp_path.glob(".*"))

    def test_a_file_that_is_not_there_is_an_error_and_leaves_the_target_alone(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        target = tmp_path / "fetched"
        target.write_text("old")
        with pytest.raises(GuestError, match=r"there is no snapshot\.out"):
            connect().download("snapshot.out", target=target)
        assert target.read_text() == "old"
        assert not list(tmp_path.glob(".*"))

    def test_a_directory_here_that_is_not_there_is_no_fault_of_the_guest(
        self, connect: Connect, script: Script, tmp_path: Path
    ) -> None:
        shell = connect()
        shell.run(script("leave.sh", "echo x >left"), timeout_s=60)
        with pytest.raises(HomelabError, match="cannot write") as caught:
            shell.download("left", target=tmp_path / "none" / "fetched")
        assert not isinstance(caught.value, GuestError)

    def test_a_name_outside_our_directory_is_refused(self, connect: Connect, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot name a file"):
            connect().download("../secret", target=tmp_path / "fetched")


class TestCommand:
    def test_a_users_command_runs_as_the_login_user_and_its_failure_is_no_error(
        self, connect: Connect, guest: SshGuest
    ) -> None:
        outcome = connect().command("echo out; echo err >&2; pwd; exit 3", timeout_s=60)
        assert (outcome.status, outcome.stdout, outcome.stderr) == (3, f"out\n{guest.home}\n", "err\n")
        assert not guest.sudo_log.exists()

    def test_a_command_that_takes_too_long_says_so_and_the_connection_goes_on(self, connect: Connect) -> None:
        shell = connect()
        with pytest.raises(SshUnreachableError, match="did not end within"):
            shell.command("exec sleep 20", timeout_s=0.3)
        assert shell.command("echo on", timeout_s=60).stdout == "on\n"

    def test_a_connection_that_drops_is_told_apart(self, connect: Connect, guest: SshGuest) -> None:
        shell = connect()
        threading.Timer(0.3, guest.drop_connections).start()
        with pytest.raises(SshUnreachableError):
            shell.command("exec sleep 20", timeout_s=60)


def test_a_key_of_our_own_is_made_when_it_is_needed_and_once(tmp_path: Path) -> None:
    path = tmp_path / "state" / "id_ed25519"
    several = [FabricShells(path, make=True) for _ in range(8)]
    assert not path.exists()
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda shells: shells.public_key, several))
    assert keys == {read_key(path).line}


def test_logins_scripts_and_commands_are_told_as_calls(
    connect: Connect, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="bootstrap.calls"):
        shell = connect()
        shell.run(script("hello.sh", "echo hello"), timeout_s=60)
        shell.command("uptime | cat", timeout_s=60)
    told = [record.getMessage() for record in caplog.records if record.name == "bootstrap.calls.ssh"]
    assert [each.rpartition(" (")[0] for each in told] == [
        "ssh demo-cp-1: log in to debian@127.0.0.1 -> ok",
        "ssh demo-cp-1: send hello.sh -> ok",
        "ssh demo-cp-1: run hello.sh -> status 0",
        "ssh demo-cp-1: uptime | cat -> status 0",
    ]
