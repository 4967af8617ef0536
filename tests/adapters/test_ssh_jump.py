"""Over the user's jump hosts to a machine: real SSH servers on loopback, and OpenSSH's own reading of the file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bootstrap.adapters.jump.user_config import UserSshConfig
from bootstrap.adapters.jump.ways import Ways
from bootstrap.adapters.ssh.fabric import FabricShells
from bootstrap.adapters.ssh.keys import make_key_pair, read_key
from bootstrap.errors import GuestError, GuestSetupError, SshUnreachableError
from bootstrap.model.ids import MachineName
from tests.adapters.sshd import SshGuest

MACHINE = MachineName("demo-cp-1")
ADDRESS = IPv4Address("127.0.0.1")
Server = Callable[[str], SshGuest]


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """The cluster's key, and the user's own, which opens jump hosts alone."""
    found = {name: tmp_path / "keys" / name for name in ("cluster", "users own")}
    for path in found.values():
        make_key_pair(path)
    return found


@pytest.fixture
def server(tmp_path: Path, keys: dict[str, Path]) -> Iterator[Server]:
    started: list[SshGuest] = []

    def start(name: str) -> SshGuest:
        key = keys["cluster" if name == "machine" else "users own"]
        started.append(SshGuest(tmp_path / name, authorized_key=read_key(key).line))
        return started[-1]

    yield start
    for each in reversed(started):
        each.stop()


@pytest.fixture
def write(tmp_path: Path, keys: dict[str, Path]) -> Callable[..., Path]:
    """Write an SSH configuration in which a name is a jump host, and its host key is known."""

    def write(way: str, **hosts: SshGuest) -> Path:
        known = tmp_path / "known_hosts"
        lines = [f"[localhost]:{each.port} {' '.join(each.host_key.split()[:2])}" for each in hosts.values()]
        known.write_text("".join(f"{line}\n" for line in lines))
        path = tmp_path / "config"
        path.write_text(
            "".join(
                f"Host {name}\n  HostName localhost\n  Port {each.port}\n  User me\n"
                f'  IdentityFile "{keys["users own"]}"\n'
                f"  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n"
                for name, each in hosts.items()
            )
            + way
        )
        return path

    return write


def say(keys: dict[str, Path], machine: SshGuest, config: Path) -> str:
    """What a command on the machine prints, over the way that the configuration tells."""
    shells = FabricShells(keys["cluster"], port=machine.port, ways=Ways(UserSshConfig(config)))
    shell = shells.connect(MACHINE, ADDRESS, user="debian", host_key=machine.host_key, timeout_s=30)
    try:
        return shell.command("echo hello", timeout_s=30).stdout
    finally:
        shell.close()


@pytest.mark.parametrize("pattern", ["127.0.0.*", "demo-*"])
def test_a_machine_is_reached_over_the_jump_host_of_its_address_or_name(
    server: Server, write: Callable[..., Path], keys: dict[str, Path], pattern: str
) -> None:
    machine, bastion = server("machine"), server("bastion")
    config = write(f"Host {pattern}\n  ProxyJump bastion\n", bastion=bastion)
    assert say(keys, machine, config) == "hello\n"
    assert bastion.forwarded == [("127.0.0.1", machine.port)]


@pytest.mark.parametrize(
    "way", ["Host 127.*\n  ProxyJump outer,inner\n", "Host 127.*\n  ProxyJump inner\nHost inner\n  ProxyJump outer\n"]
)
def test_several_hops_are_taken_in_order(
    server: Server, write: Callable[..., Path], keys: dict[str, Path], way: str
) -> None:
    machine, outer, inner = server("machine"), server("outer"), server("inner")
    assert say(keys, machine, write(way, outer=outer, inner=inner)) == "hello\n"
    assert outer.forwarded == [("localhost", inner.port)]
    assert inner.forwarded == [("127.0.0.1", machine.port)]


@pytest.mark.parametrize(
    "text",
    [
        "Host *\n  ProxyCommand false\n  IdentitiesOnly yes\n  IdentityFile /nowhere\n  StrictHostKeyChecking yes\n",
        "Host *\n  Port 1\n  User nobody\n  HostName 192.0.2.1\n  RemoteCommand false\n",
        "Nonsense on stilts\nHost 127.*\n  ProxyJump nowhere\n",
        'Include nowhere/*\nMatch exec "exit 1"\n  ProxyJump nowhere\n',
        "Host *\n  ProxyJump none\n",
        "Host 127.*\n  ProxyJump 127.0.0.1\n",
        "\0\xff",
    ],
)
def test_nothing_else_in_the_configuration_is_in_the_way(
    server: Server, keys: dict[str, Path], tmp_path: Path, text: str
) -> None:
    config = tmp_path / "config"
    config.write_text(text, encoding="latin-1")
    assert say(keys, server("machine"), config) == "hello\n"


def test_included_files_and_matches_count_as_openssh_reads_them(
    server: Server, write: Callable[..., Path], keys: dict[str, Path], tmp_path: Path
) -> None:
    machine, bastion = server("machine"), server("bastion")
    (tmp_path / "more").write_text('Match host 127.0.0.1 exec "exit 0"\n  ProxyJump bastion\n')
    assert say(keys, machine, write(f"Host *\n  Include {tmp_path / 'more'}\n", bastion=bastion)) == "hello\n"
    assert len(bastion.forwarded) == 1


def test_a_jump_host_whose_key_is_not_known_or_another_gets_no_log_in(
    server: Server, write: Callable[..., Path], keys: dict[str, Path], tmp_path: Path
) -> None:
    machine, bastion = server("machine"), server("bastion")
    config = write("Host 127.*\n  ProxyJump bastion\n", bastion=bastion)
    known = (tmp_path / "known_hosts").read_text()
    (tmp_path / "known_hosts").write_text("")
    with pytest.raises(GuestSetupError) as unknown:
        say(keys, machine, config)
    place = f"bastion (me@localhost:{bastion.port})"
    assert unknown.value.brief == f"demo-cp-1: the host key of the jump host {place} is not in your known_hosts"
    assert "`ssh bastion`" in unknown.value.resolution
    kind, blob = machine.host_key.split()[:2]
    (tmp_path / "known_hosts").write_text(f"{known.split()[0]} {kind} {blob}\n")
    with pytest.raises(GuestSetupError, match="has another host key than your known_hosts says") as other:
        say(keys, machine, config)
    assert other.value.details.count("SHA256:") == 2
    assert bastion.forwarded == []


def test_an_error_says_at_which_hop_it_was(
    server: Server, write: Callable[..., Path], keys: dict[str, Path], tmp_path: Path
) -> None:
    machine, bastion, closed = server("machine"), server("bastion"), server("closed")
    config = write("Host 127.*\n  ProxyJump bastion\n", bastion=bastion, closed=closed)
    machine.stop()
    with pytest.raises(
        SshUnreachableError, match=rf"the jump host bastion \(.*\) does not reach 127.0.0.1:{machine.port}"
    ):
        say(keys, machine, config)
    machine.stop = lambda: None  # type: ignore[method-assign]  # it is stopped
    closed.stop()
    closed.stop = lambda: None  # type: ignore[method-assign]
    config.write_text(config.read_text().replace("ProxyJump bastion", "ProxyJump bastion,closed"))
    with pytest.raises(
        SshUnreachableError, match=rf"the jump host bastion \(.*\) does not reach localhost:{closed.port}"
    ):
        say(keys, machine, config)
    config.write_text(config.read_text().replace("ProxyJump bastion,closed", "ProxyJump closed"))
    with pytest.raises(SshUnreachableError, match=r"the jump host closed \(.*\) cannot be reached"):
        say(keys, machine, config)


def test_a_jump_host_that_refuses_the_users_keys_is_told_as_that(
    server: Server, write: Callable[..., Path], keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    machine, bastion = server("machine"), server("bastion")
    config = write("Host 127.*\n  ProxyJump bastion\n", bastion=bastion)
    config.write_text(config.read_text().replace(str(keys["users own"]), str(keys["cluster"])))
    with pytest.raises(GuestSetupError, match=r"the jump host bastion \(.*\) refuses to log you in") as refused:
        say(keys, machine, config)
    assert "`ssh bastion` has to work without a password" in refused.value.resolution


def test_jump_hosts_that_lead_to_one_another_are_told(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a 127.*\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(GuestError, match="lead to one another"):
        Ways(UserSshConfig(config)).hops(str(ADDRESS), machine=MACHINE)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("Host demo-*\n  ProxyJump me@bastion:23\n", ("-o", "ProxyJump=me@bastion:23")),
        ("Host 127.*\n  ProxyJump 127.0.0.1\n", ("-F", "none")),
        ("Host 127.*\n  ProxyJump me\nHost me\n  HostName 127.0.0.1\n", ("-o", "ProxyCommand=none")),
        ("Nonsense on stilts\n", ("-F", "none")),
        ("Host *\n  ProxyCommand false\n", ("-o", "ProxyCommand=none")),
    ],
)
def test_openssh_is_led_the_same_way(tmp_path: Path, text: str, way: tuple[str, ...]) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    found = Ways(UserSshConfig(config)).options(MACHINE, ADDRESS)
    assert found == way
    done = subprocess.run(
        ["ssh", "-F", str(config), *found, "-G", "--", "x"], capture_output=True, text=True, check=True
    )
    settings = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    jump = way[-1].removeprefix("ProxyJump=").removeprefix("ProxyCommand=")
    assert settings.get("proxyjump", "none") == jump
    assert settings.get("proxycommand", "none") == "none"


def test_without_a_configuration_openssh_is_asked_nothing(tmp_path: Path) -> None:
    assert Ways(UserSshConfig(tmp_path / "config")).options(MACHINE, ADDRESS) == ()
