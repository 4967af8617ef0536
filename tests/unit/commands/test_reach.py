"""The way onto machines: which one is meant, its pinned host key, commands on many at once."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.commands.access.remote_access import (
    Answer,
    LogsOptions,
    check_answers,
    journal_command,
    login_to,
    read_journal,
    run_everywhere,
)
from bootstrap.commands.locked.carry_out import RunOptions
from bootstrap.commands.verbs.up import Up
from bootstrap.errors import AgentNotRunningError, GuestError, HomelabError, UsageError
from bootstrap.model.ids import PoolName
from bootstrap.ports import CommandOutcome
from tests.fakes.specs import DEMO, cluster
from tests.fakes.world import World

SPEC = cluster(agents=2)
MACHINES = ["demo-cp-1", "demo-workers-1", "demo-workers-2"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A cluster that stands, with our key here."""
    made = World(directory=tmp_path / "my state")
    ports = made.ports
    Up().run(Up().plan(SPEC, ports), SPEC, ports, sink=lambda _event: None, options=RunOptions())
    made.state[DEMO, "id_ed25519"] = "the key"
    made.journal.clear()
    return made


def ran(world: World, command: str = "uptime", **chosen: object) -> tuple[Answer, ...]:
    return run_everywhere(command, SPEC, world.ports, timeout_s=5.0, tell=lambda _answer: None, **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["demo-workers-1", "workers-1"])
def test_ssh_gets_the_address_the_key_and_the_pinned_host_key(world: World, name: str) -> None:
    login = login_to(name, SPEC, world.ports)
    assert (login.machine, str(login.address), login.user, login.port) == ("demo-workers-1", "192.0.2.11", "debian", 22)
    assert login.private_key.read_text() == "the key"
    assert login.known_hosts.read_text() == "demo-workers-1 ssh-ed25519 AAAA7001\n"
    assert login.trusted == ""
    argv = login.ssh()
    assert argv[0] == "ssh"
    assert argv[-1] == "debian@192.0.2.11"
    assert "StrictHostKeyChecking=yes" in argv
    assert "HostKeyAlias=demo-workers-1" in argv
    assert f'UserKnownHostsFile="{login.known_hosts}"' in argv
    assert login.ssh("ls -l")[-3:] == ("debian@192.0.2.11", "--", "ls -l")


@pytest.mark.parametrize(("asked", "lent"), [(False, "no"), (True, "yes")])
def test_ssh_lends_a_machine_nothing_that_the_users_configuration_lends_to_all(
    world: World, tmp_path: Path, asked: bool, lent: str
) -> None:
    """Root of a machine could otherwise log in as the user wherever the agent can, by `Host *` in ~/.ssh/config."""
    users = tmp_path / "config"
    users.write_text(
        "Host *\n  ForwardAgent yes\n  ForwardX11 yes\n  GSSAPIDelegateCredentials yes\n"
        "  ControlMaster auto\n  ControlPath /tmp/%C\n"
    )
    program, *arguments = login_to("cp-1", SPEC, world.ports).ssh(forward_agent=asked)
    told = subprocess.run([program, "-G", "-F", str(users), *arguments], capture_output=True, text=True, check=True)
    settings = dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)
    assert settings["forwardagent"] == lent
    assert (settings["forwardx11"], settings.get("gssapidelegatecredentials", "no")) == ("no", "no")
    assert settings.get("controlpath", "none") == "none"


def test_nothing_of_the_users_configuration_keeps_a_command_from_being_run(world: World, tmp_path: Path) -> None:
    """`Cannot execute command-line and remote command`, says ssh of a `Host *` with RemoteCommand."""
    users = tmp_path / "config"
    users.write_text(
        "Host *\n  RemoteCommand tmux new -A\n  RequestTTY force\n  SessionType none\n  StdinNull yes\n"
        "  ForkAfterAuthentication yes\n  PubkeyAuthentication no\n  PreferredAuthentications password\n"
        "  PermitLocalCommand yes\n  LocalCommand echo hello\n  ProxyJump bastion\n  HostName 192.0.2.250\n"
    )
    program, *arguments = login_to("cp-1", SPEC, world.ports).ssh("uptime")
    told = subprocess.run([program, "-G", "-F", str(users), *arguments], capture_output=True, text=True, check=True)
    settings = dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)
    assert settings.get("remotecommand", "none") == "none"
    assert (settings["requesttty"], settings["sessiontype"], settings["stdinnull"]) == ("auto", "default", "no")
    assert (settings["forkafterauthentication"], settings["permitlocalcommand"]) == ("no", "no")
    assert settings["pubkeyauthentication"] in ("yes", "true")
    assert settings["preferredauthentications"] == "publickey"
    assert settings["proxyjump"] == "bastion", "the way there is the user's to say"
    assert settings["hostname"] == "192.0.2.10"


def test_ssh_takes_the_way_of_all_other_connections(world: World) -> None:
    world.way = ("-o", "ProxyJump=bastion")
    assert login_to("cp-1", SPEC, world.ports).ssh()[:3] == ("ssh", "-o", "ProxyJump=bastion")


@pytest.mark.parametrize(("name", "meant"), [("demo-worker-1", "demo-workers-1"), ("cp1", "cp-1")])
def test_a_machine_that_is_not_there_is_told_with_what_may_be_meant(world: World, name: str, meant: str) -> None:
    with pytest.raises(UsageError) as error:
        login_to(name, SPEC, world.ports)
    assert error.value.brief == f"demo has no machine {name}"
    assert error.value.details == f"its machines: {', '.join(MACHINES)}"
    assert error.value.resolution == f"did you mean {meant}?"


def test_a_machine_that_is_off_or_silent_cannot_be_logged_in_to(world: World) -> None:
    off = world.vm_named("demo-workers-1")
    assert off is not None
    off.running = False
    with pytest.raises(GuestError, match="demo-workers-1 is powered off"):
        login_to("workers-1", SPEC, world.ports)
    world.silent.add("demo-workers-2")
    with pytest.raises(AgentNotRunningError):
        login_to("workers-2", SPEC, world.ports)


def test_a_computer_without_the_key_is_told_what_to_do(world: World) -> None:
    del world.state[DEMO, "id_ed25519"]
    with pytest.raises(HomelabError, match="the SSH key of demo is not on this computer") as error:
        login_to("cp-1", SPEC, world.ports)
    assert "ssh.private_key" in error.value.resolution


def test_a_command_runs_on_all_and_answers_come_by_machine(world: World) -> None:
    told: list[Answer] = []
    answers = run_everywhere("uptime", SPEC, world.ports, timeout_s=5.0, tell=told.append)
    assert [(answer.machine, answer.outcome and answer.outcome.stdout) for answer in answers] == [
        (name, f"{name}\n") for name in MACHINES
    ]
    assert sorted(answer.machine for answer in told) == MACHINES
    assert sorted(world.journal) == [f"command {name}: uptime" for name in MACHINES]
    check_answers(answers)


def test_a_pool_or_machines_can_be_chosen(world: World) -> None:
    assert [answer.machine for answer in ran(world, pool=PoolName("workers"))] == MACHINES[1:]
    assert [answer.machine for answer in ran(world, names=["workers-2", "demo-cp-1", "cp-1"])] == [
        "demo-workers-2",
        "demo-cp-1",
    ]
    with pytest.raises(UsageError, match="no machines in a pool worker") as error:
        ran(world, pool=PoolName("worker"))
    assert error.value.resolution == "did you mean workers?"


def test_who_failed_is_named_and_the_others_answers_count(world: World) -> None:
    off = world.vm_named("demo-cp-1")
    assert off is not None
    off.running = False
    world.answer = lambda name, _: CommandOutcome(status=3 if name == "demo-workers-2" else 0, stdout="", stderr="no")
    answers = ran(world)
    assert [answer.failure for answer in answers] == ["is powered off", "", "status 3"]
    with pytest.raises(GuestError) as error:
        check_answers(answers)
    assert error.value.brief == "the command failed on 2 of 3 machines"
    assert error.value.details == "demo-cp-1: is powered off\ndemo-workers-2: status 3"


@pytest.mark.parametrize(
    ("name", "verb_options", "command"),
    [
        ("cp-1", LogsOptions(), "sudo -n journalctl --no-pager --unit k3s --lines 100"),
        (
            "workers-1",
            LogsOptions(lines=5, since="10m"),
            "sudo -n journalctl --no-pager --unit k3s-agent --lines 5 --since -10m",
        ),
        (
            "cp-1",
            LogsOptions(unit="a b", since="2026-03-01 12:00", follow=True),
            "sudo -n journalctl --no-pager --unit 'a b' --lines 100 --since '2026-03-01 12:00' --follow",
        ),
    ],
)
def test_logs_are_the_journal_of_the_roles_unit(
    world: World, name: str, verb_options: LogsOptions, command: str
) -> None:
    assert journal_command(name, SPEC, world.ports, verb_options)[1] == command


def test_root_needs_no_sudo(world: World) -> None:
    spec = replace(SPEC, ssh=replace(SPEC.ssh, user="root"))
    assert journal_command("cp-1", spec, world.ports, LogsOptions())[1].startswith("journalctl ")


def test_a_journal_that_cannot_be_read_is_an_error_with_what_was_said(world: World) -> None:
    world.answer = lambda _name, _command: CommandOutcome(status=0, stdout="line 1\nline 2\n", stderr="")
    assert read_journal("cp-1", SPEC, world.ports, LogsOptions()) == "line 1\nline 2\n"
    world.answer = lambda _name, _command: CommandOutcome(status=1, stdout="", stderr="sudo: a password is required")
    with pytest.raises(GuestError, match="demo-cp-1: its journal cannot be read: status 1") as error:
        read_journal("cp-1", SPEC, world.ports, LogsOptions())
    assert error.value.details == "sudo: a password is required"
