"""The inventory's jump host: its pinned key, what goes through it, and which hop an error names."""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bootstrap.adapters.jump.pin import Pin
from bootstrap.adapters.jump.user_config import UserSshConfig
from bootstrap.adapters.jump.ways import Ways
from bootstrap.adapters.kube import KubernetesApis
from bootstrap.adapters.local.state import DirectoryStateStore
from bootstrap.adapters.probes import NetworkProbes
from bootstrap.adapters.ssh.fabric import FabricShells
from bootstrap.adapters.ssh.keys import make_key_pair, read_key
from bootstrap.errors import (
    GuestSetupError,
    HomelabError,
    HostKeyError,
    KubernetesError,
    KubeUnreachableError,
    SshUnreachableError,
)
from bootstrap.model.access.endpoint import JumpHost
from bootstrap.model.ids import MachineName
from tests.adapters.kube_server import KubeServer, node
from tests.adapters.sshd import SshGuest
from tests.fakes.specs import DEMO

MACHINE = MachineName("demo-cp-1")
ADDRESS = IPv4Address("127.0.0.1")
Server = Callable[[str], SshGuest]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key_pair(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def server(tmp_path: Path, key: Path) -> Iterator[Server]:
    started: list[SshGuest] = []

    def start(name: str) -> SshGuest:
        started.append(SshGuest(tmp_path / name, authorized_key=read_key(key).line))
        return started[-1]

    yield start
    for each in reversed(started):
        each.stop()


@pytest.fixture
def state(tmp_path: Path) -> DirectoryStateStore:
    return DirectoryStateStore(tmp_path / "state")


class Home:
    """A user whose inventory names a jump host."""

    def __init__(self, tmp_path: Path, key: Path, state: DirectoryStateStore) -> None:
        self.told: list[str] = []
        self._config = UserSshConfig(tmp_path / "config")
        self._key, self._state = key, state
        self._made: list[Ways] = []

    def ways(self, bastion: SshGuest, *, given: str | None = None, host: str = "localhost") -> Ways:
        jump = JumpHost(user="me", host=host, port=bastion.port)
        pin = Pin(jump=jump, given=given, cluster=DEMO, state=self._state, tell=self.told.append)
        self._made.append(Ways(self._config, pin=pin, identity=self._key))
        return self._made[-1]

    def say(self, machine: SshGuest, ways: Ways) -> str:
        """What a command on the machine prints."""
        shells = FabricShells(self._key, port=machine.port, ways=ways)
        shell = shells.connect(MACHINE, ADDRESS, user="debian", host_key=machine.host_key, timeout_s=30)
        try:
            return shell.command("echo hello", timeout_s=30).stdout
        finally:
            shell.close()

    def close(self) -> None:
        for each in self._made:
            each.close()


@pytest.fixture
def home(tmp_path: Path, key: Path, state: DirectoryStateStore) -> Iterator[Home]:
    made = Home(tmp_path, key, state)
    yield made
    made.close()
    copying = [thread for thread in threading.enumerate() if thread.name in ("jump-ahead", "jump-back")]
    for thread in copying:
        thread.join(60)
    assert not any(thread.is_alive() for thread in copying)


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    server = KubeServer()
    yield server
    server.stop()


def test_the_first_key_is_told_once_and_kept_and_another_one_refused(
    server: Server, home: Home, state: DirectoryStateStore
) -> None:
    machine, bastion = server("machine"), server("bastion")
    assert home.say(machine, home.ways(bastion)) == "hello\n"
    assert home.say(machine, home.ways(bastion)) == "hello\n"
    place = f"me@localhost:{bastion.port}"
    (told,) = home.told
    trusted = f"the SSH host key of the jump host {place} is trusted on first use: ssh-ed25519 {bastion.fingerprint}"
    assert told == f"{trusted}; any other key is refused from now on"
    assert bastion.forwarded == [("127.0.0.1", machine.port)] * 2
    file = state.path(DEMO, "known_hosts-jump")
    assert file.read_text() == f"[localhost]:{bastion.port} {' '.join(bastion.host_key.split()[:2])}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    kind, blob = machine.host_key.split()[:2]
    file.write_text(f"[localhost]:{bastion.port} {kind} {blob}\n")
    with pytest.raises(HostKeyError) as other:
        home.say(machine, home.ways(bastion))
    assert other.value.brief == f"the SSH host key of the jump host {place} is not the expected one"
    assert other.value.details == (
        f"expected ssh-ed25519 {machine.fingerprint}\nfound ssh-ed25519 {bastion.fingerprint}"
    )
    assert other.value.resolution.endswith(f"then: rm {file}")
    assert len(bastion.forwarded) == 2


def test_threads_that_meet_it_at_once_tell_of_it_once(server: Server, home: Home) -> None:
    machine, bastion = server("machine"), server("bastion")
    ways = home.ways(bastion)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: home.say(machine, ways), range(4))) == ["hello\n"] * 4
    assert len(home.told) == 1


def test_a_given_fingerprint_counts_from_the_first_time(server: Server, home: Home, state: DirectoryStateStore) -> None:
    machine, bastion = server("machine"), server("bastion")
    with pytest.raises(HostKeyError) as other:
        home.say(machine, home.ways(bastion, given=machine.fingerprint))
    assert other.value.details.splitlines() == [
        f"expected {machine.fingerprint}",
        f"found ssh-ed25519 {bastion.fingerprint}",
    ]
    assert other.value.resolution.endswith("change ssh.jump_host_key in the inventory")
    assert state.read(DEMO, "known_hosts-jump") is None
    assert home.say(machine, home.ways(bastion, given=bastion.fingerprint)) == "hello\n"
    assert home.told == []
    assert state.read(DEMO, "known_hosts-jump") is not None


def test_another_jump_host_starts_anew(server: Server, home: Home) -> None:
    machine, bastion, next_one = server("machine"), server("bastion"), server("next")
    for each in (bastion, next_one):
        assert home.say(machine, home.ways(each)) == "hello\n"
    assert len(home.told) == 2


def test_a_jump_host_that_is_one_of_the_machines_is_reached_directly(server: Server, home: Home) -> None:
    machine = server("machine")
    assert home.say(machine, home.ways(machine, host="127.0.0.1")) == "hello\n"
    assert machine.forwarded == []


def test_errors_name_the_hop_and_what_to_do(server: Server, home: Home) -> None:
    machine, bastion = server("machine"), server("bastion")
    ways = home.ways(bastion)
    place = f"me@localhost:{bastion.port}"
    bastion.may_forward = False
    with pytest.raises(GuestSetupError, match=f"{place} refuses to forward connections to 127.0.0.1") as refused:
        home.say(machine, ways)
    assert "AllowTcpForwarding has to be yes or local" in refused.value.resolution
    with pytest.raises(GuestSetupError, match="refuses to forward"):
        ways.check(ADDRESS, machine.port)
    bastion.may_forward = True
    assert ways.check(ADDRESS, machine.port) == place
    machine.stop()
    machine.stop = lambda: None  # type: ignore[method-assign]  # it is stopped
    with pytest.raises(SshUnreachableError, match=f"{place} does not reach 127.0.0.1:{machine.port}"):
        home.say(machine, ways)
    assert ways.check(ADDRESS, machine.port) == place, "the machine may not be there yet"
    bastion.stop()
    bastion.stop = lambda: None  # type: ignore[method-assign]
    with pytest.raises(SshUnreachableError, match=f"demo-cp-1: the jump host {place} cannot be reached") as gone:
        home.say(machine, home.ways(bastion))
    assert gone.value.resolution == (
        f"`ssh -p {bastion.port} me@localhost` shows more; it is ssh.jump in the inventory"
    )


def test_a_jump_host_that_refuses_our_keys_is_told_as_that(
    server: Server, tmp_path: Path, state: DirectoryStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    make_key_pair(tmp_path / "stranger")
    home = Home(tmp_path, tmp_path / "stranger", state)
    with pytest.raises(GuestSetupError, match="refuses to log you in") as refused:
        home.ways(server("bastion")).check(None, 22)
    assert "or ssh.private_key" in refused.value.resolution


def test_kubernetes_is_asked_through_it_and_its_certificate_still_verified(
    server: Server, home: Home, kube: KubeServer
) -> None:
    bastion = server("bastion")
    kube.put(node("demo-cp-1"))
    api = KubernetesApis(home.ways(bastion).connect).connect(kube.kubeconfig)
    assert [each.name for each in api.kube_nodes()] == ["demo-cp-1"]
    seen = api.await_kube_node(MACHINE, accept=lambda found: found is not None, timeout_s=30)
    assert seen is not None
    assert set(bastion.forwarded) == {("127.0.0.1", int(kube.kubeconfig.split("127.0.0.1:")[1].split()[0]))}
    bastion.drop_connections()  # as a restart does: the watch goes on over a new connection
    kube.put(node("demo-cp-1", unschedulable=True))
    seen = api.await_kube_node(MACHINE, accept=lambda found: found is not None and found.unschedulable, timeout_s=60)
    assert seen is not None
    assert seen.unschedulable
    api.close()
    kube.stop()
    with pytest.raises(KubeUnreachableError) as gone:
        api.kube_nodes()
    assert "the jump host me@localhost" in gone.value.details
    assert "does not reach 127.0.0.1" in gone.value.details
    bastion.may_forward = False
    with pytest.raises(KubernetesError, match="refuses to forward"):
        api.kube_nodes()
    kube.start()


def test_a_changed_key_is_told_with_both_fingerprints_in_one_line(
    server: Server, home: Home, kube: KubeServer, state: DirectoryStateStore
) -> None:
    """`status` shows one line of why Kubernetes is not asked."""
    machine, bastion = server("machine"), server("bastion")
    state.write(DEMO, "known_hosts-jump", f"[localhost]:{bastion.port} {machine.host_key}\n")
    with pytest.raises(KubernetesError) as refused:
        KubernetesApis(home.ways(bastion).connect).connect(kube.kubeconfig).kube_nodes()
    assert refused.value.details == (
        f"expected ssh-ed25519 {machine.fingerprint}, found ssh-ed25519 {bastion.fingerprint}"
    )


def test_probes_take_the_same_way(server: Server, home: Home) -> None:
    bastion = server("bastion")
    NetworkProbes(home.ways(bastion)).answers(ADDRESS)
    assert bastion.forwarded == [("127.0.0.1", 22)]


def test_openssh_takes_the_same_way_with_the_kept_key_alone(
    server: Server, home: Home, key: Path, tmp_path: Path
) -> None:
    machine, bastion = server("machine"), server("bastion")
    ways = home.ways(bastion)
    options = FabricShells(key, port=machine.port, ways=ways).way(MACHINE, ADDRESS)
    assert len(home.told) == 1, "its key has to be known before OpenSSH starts"
    command = [
        *("ssh", "-F", "none", *options, "-i", str(key), "-p", str(machine.port), "-o", "StrictHostKeyChecking=no"),
        *("-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "IdentitiesOnly=yes", "me@127.0.0.1", "echo hello"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "hello\n", done.stderr
    assert ("127.0.0.1", machine.port) in bastion.forwarded
    kind, blob = machine.host_key.split()[:2]
    path = next(word for word in options[1].split('"') if "known_hosts-jump" in word)
    Path(path).write_text(f"[localhost]:{bastion.port} {kind} {blob}\n")
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode != 0
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A place that says back what it is told, connection by connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock: socket.socket) -> None:
        with sock:
            while chunk := sock.recv(1 << 16):
                sock.sendall(chunk)
            sock.sendall(b", bye")

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()


def said(port: int, words: bytes = b"hello") -> bytes:
    """What comes back through a local port, up to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(words)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_a_tunnel_passes_everything_on_until_it_is_closed(server: Server, home: Home, echo: tuple[str, int]) -> None:
    bastion = server("bastion")
    tunnel = home.ways(bastion).listen(*echo, local_port=0, tell=home.told.append)
    big = bytes(range(256)) * 4096
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: said(tunnel.port, big), range(4))) == {big + b", bye"}
    assert set(bastion.forwarded) == {echo}
    with pytest.raises(HomelabError, match=f"cannot listen on 127.0.0.1:{tunnel.port}") as taken:
        home.ways(bastion).listen(*echo, local_port=tunnel.port, tell=home.told.append)
    assert taken.value.details == "Address already in use"
    assert "--port" in taken.value.resolution
    with socket.create_connection(("127.0.0.1", tunnel.port), timeout=30) as open_one:
        open_one.sendall(b"a")
        assert open_one.recv(1) == b"a"
        tunnel.close()
        assert open_one.recv(1) == b"", "it ends with the tunnel"
    with pytest.raises(ConnectionRefusedError):
        said(tunnel.port)


def test_a_tunnel_that_loses_its_jump_host_says_so_once_and_goes_on(
    server: Server, home: Home, echo: tuple[str, int]
) -> None:
    bastion = server("bastion")
    told: queue.Queue[str] = queue.Queue()
    tunnel = home.ways(bastion).listen(*echo, local_port=0, tell=told.put)
    stop = threading.Event()
    holding = threading.Thread(target=tunnel.hold, args=(stop,))
    holding.start()
    bastion.drop_connections()
    assert told.get(timeout=60) == f"the connection to me@localhost:{bastion.port} was lost, and is up again"
    assert said(tunnel.port) == b"hello, bye"
    bastion.may_forward = False
    for _ in range(2):
        with contextlib.suppress(OSError):  # closed at any moment: reset, or no longer connected
            assert said(tunnel.port) == b""
    assert "refuses to forward connections to 127.0.0.1" in told.get(timeout=60)
    assert told.empty(), "the same reason is told once"
    stop.set()
    holding.join()
    tunnel.close()


def test_a_tunnel_is_not_opened_to_what_is_not_reached(server: Server, home: Home) -> None:
    with pytest.raises(SshUnreachableError, match=r"does not reach 127\.0\.0\.1:1"):
        home.ways(server("bastion")).listen("127.0.0.1", 1, local_port=0, tell=home.told.append)
    with pytest.raises(HomelabError, match=r"127\.0\.0\.1:1 is not reached"):
        Ways().listen("127.0.0.1", 1, local_port=0, tell=home.told.append)


def test_without_jump_hosts_a_tunnel_leads_there_directly(echo: tuple[str, int]) -> None:
    tunnel = Ways().listen(*echo, local_port=0, tell=lambda _text: None)
    assert said(tunnel.port) == b"hello, bye"
    tunnel.close()
