"""`ssh`, `exec` and `logs`: login on machines that run, with host keys read through the guest agent."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from bootstrap.commands.access.machines import Machine, choose_machines, find_machine, own_machines, reach
from bootstrap.commands.observing.guests import logged_in
from bootstrap.errors import GuestError, HomelabError, few_lines
from bootstrap.execution.guests.host_keys import host_key, is_kept, keep, log_in
from bootstrap.model.cluster import ClusterSpec
from bootstrap.model.ids import MachineName, PoolName
from bootstrap.model.machine import MachineKind
from bootstrap.planning.members.desired_machines import login_user
from bootstrap.ports import CommandOutcome, Ports
from bootstrap.records.state.state_items import OWN_KEY, known_hosts_item

_AS_ASKED = (
    "PubkeyAuthentication=yes",
    "PreferredAuthentications=publickey",
    # ssh refuses a command beside a RemoteCommand, and takes none with SessionType none.
    "RemoteCommand=none",
    "RequestTTY=auto",
    "PermitLocalCommand=no",
    "ExitOnForwardFailure=no",
    # Since OpenSSH 8.7; older ones end at a word that they do not know.
    "IgnoreUnknown=SessionType,StdinNull,ForkAfterAuthentication",
    "SessionType=default",
    "StdinNull=no",
    "ForkAfterAuthentication=no",
)
"""Against settings of a user's `Host *` that keep a command from being run, or its output from being seen."""

_THREADS = 32
_LOGS_TIMEOUT_S = 60.0
_AGO = re.compile(r"\d+ ?(?:s|m|min|h|d|w)")


@dataclass(frozen=True, kw_only=True)
class Login:
    """What another program needs to log in to a machine.

    Attributes:
        private_key: A file.
        known_hosts: A file with the machine's host key, under the machine's name.
        trusted: The warning about a key that was trusted on first use; empty where it was known.
        way: Arguments of OpenSSH's client that lead there, over jump hosts of the user's.
    """

    machine: MachineName
    address: IPv4Address
    port: int
    user: str
    private_key: Path
    known_hosts: Path
    trusted: str = ""
    way: tuple[str, ...] = ()

    def ssh(self, command: str = "", *, forward_agent: bool = False) -> tuple[str, ...]:
        """The command line of OpenSSH's client; without a command it opens a shell.

        Nothing of this computer is forwarded to the machine, whatever `~/.ssh/config` says of all hosts: with an agent,
        a display or Kerberos tickets its root could act as the user elsewhere. With `forward_agent`, the SSH agent is.
        """
        options = (
            f"IdentityFile={_quoted(self.private_key)}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={_quoted(self.known_hosts)}",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            # The name that the key is filed under, whatever the address and the port.
            f"HostKeyAlias={self.machine}",
            f"HostName={self.address}",
            "CheckHostIP=no",
            "UpdateHostKeys=no",
            # No connection that is open already, which was made without these options.
            "ControlPath=none",
            f"ForwardAgent={'yes' if forward_agent else 'no'}",
            "ForwardX11=no",
            "GSSAPIDelegateCredentials=no",
            *_AS_ASKED,
        )
        settings = (part for option in options for part in ("-o", option))
        target = f"{self.user}@{self.address}"
        # ssh looks for options behind the address, too, up to the two dashes.
        ending = (target, "--", command) if command else (target,)
        return ("ssh", *self.way, "-p", str(self.port), *settings, *ending)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command did on a machine.

    Attributes:
        outcome: None where it could not be run there.
        problem: Why not; empty where it could.
        trusted: The warning about a host key that was trusted on first use; empty where it was known.
    """

    machine: MachineName
    outcome: CommandOutcome | None = None
    problem: str = ""
    trusted: str = ""

    @property
    def failure(self) -> str:
        """Why it counts as failed, in a few words; empty where it does not."""
        if self.outcome is None:
            return self.problem
        return f"status {self.outcome.status}" if self.outcome.status else ""


@dataclass(frozen=True, kw_only=True)
class LogsOptions:
    """Which lines of a machine's journal are wanted.

    Attributes:
        unit: A systemd unit, or None for k3s's.
        lines: How many at the most, the newest.
        since: `10m`, or what journalctl takes; empty for all.
        follow: Whether to stay and show what comes.
    """

    unit: str | None = None
    lines: int = 100
    since: str = ""
    follow: bool = False


def login_to(wanted: str, spec: ClusterSpec, ports: Ports) -> Login:
    """How to log in to a machine; its host key is written where ssh looks for it.

    Its name is `wanted`, with or without the cluster's in front.

    Raises:
        UsageError: There is no such machine.
        HomelabError: It does not run, reports no address or host key, or our key is not here.
    """
    machine = find_machine(wanted, own_machines(spec, ports), spec.name)
    private_key = (spec.ssh.private_key or ports.state.path(spec.name, OWN_KEY)).expanduser()
    if not private_key.is_file():
        raise HomelabError(
            f"the SSH key of {spec.name} is not on this computer",
            details=f"there is no file {private_key}",
            resolution="machines accept only the key of the computer that created them: set the same key on both "
            "computers as ssh.private_key in the inventory",
        )
    guest, warnings = reach(machine, spec, ports), list[str]()
    vm, name = guest.vm, guest.name
    told = host_key(vm, spec, ports)
    if told is not None and vm.kind is MachineKind.VM:
        keep(name, vm, told, spec, ports)
    elif not is_kept(vm, spec, ports, told=told):
        # OpenSSH knows no fingerprints, and would accept any key the first time: so we log in first.
        log_in(name, vm, guest.address, told=told, spec=spec, ports=ports, warn=warnings.append).close()
    return Login(
        machine=name,
        address=guest.address,
        port=spec.ssh.port,
        user=login_user(spec, vm),
        private_key=private_key,
        known_hosts=ports.state.path(spec.name, known_hosts_item(vm)),
        trusted="".join(warnings),
        way=ports.shells.way(name, guest.address),
    )


def run_everywhere(
    command: str,
    spec: ClusterSpec,
    ports: Ports,
    *,
    pool: PoolName | None = None,
    names: Sequence[str] = (),
    timeout_s: float,
    tell: Callable[[Answer], None],
) -> tuple[Answer, ...]:
    """Run a command line on machines at once, as the login user.

    The machines are those of a pool or those that are named, else all. `timeout_s` is for each, without the login;
    `tell` is called with each answer as it comes, in the calling thread.

    Returns:
        The answers, by machine.

    Raises:
        UsageError: There is no such pool or machine.
    """
    chosen = choose_machines(own_machines(spec, ports), spec.name, pool=pool, names=names)
    threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="exec")
    answers: list[Answer] = []
    try:
        asked = [threads.submit(_ask, machine, command, spec, ports, timeout_s) for machine in chosen]
        for future in as_completed(asked):
            answers.append(future.result())
            tell(answers[-1])
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C commands that still run are not waited for
    order = [record.machine for _, record in chosen]
    return tuple(sorted(answers, key=lambda answer: order.index(answer.machine)))


def journal_command(name: str, spec: ClusterSpec, ports: Ports, asked: LogsOptions) -> tuple[MachineName, str]:
    """The machine meant, and the command line that shows its journal there. Raises UsageError."""
    vm, record = find_machine(name, own_machines(spec, ports), spec.name)
    parts = ["journalctl", "--no-pager", "--unit", asked.unit or record.role.unit, "--lines", str(asked.lines)]
    if asked.since:
        parts += ["--since", f"-{asked.since}" if _AGO.fullmatch(asked.since) else asked.since]
    if asked.follow:
        parts.append("--follow")
    sudo = [] if login_user(spec, vm) == "root" else ["sudo", "-n"]
    return record.machine, shlex.join([*sudo, *parts])


def journal_ssh(name: str, spec: ClusterSpec, ports: Ports, asked: LogsOptions) -> tuple[str, ...]:
    """The ssh command line that shows a machine's journal. Raises as `login_to`."""
    machine, command = journal_command(name, spec, ports, asked)
    return login_to(machine, spec, ports).ssh(command)


def read_journal(name: str, spec: ClusterSpec, ports: Ports, asked: LogsOptions) -> str:
    """Lines of a machine's journal.

    Raises:
        UsageError: There is no such machine.
        HomelabError: It cannot be read.
    """
    machine, command = journal_command(name, spec, ports, asked)
    (answer,) = run_everywhere(
        command, spec, ports, names=[machine], timeout_s=_LOGS_TIMEOUT_S, tell=lambda _answer: None
    )
    if answer.outcome is None or answer.failure:
        said = answer.outcome.stderr if answer.outcome else ""
        raise GuestError(f"{machine}: its journal cannot be read: {answer.failure}", details=said)
    return answer.outcome.stdout


def _ask(machine: Machine, command: str, spec: ClusterSpec, ports: Ports, timeout_s: float) -> Answer:
    name, warnings = machine[1].machine, list[str]()
    try:
        with logged_in(reach(machine, spec, ports), spec, ports, warn=warnings.append) as shell:
            outcome = shell.command(command, timeout_s=timeout_s)
            return Answer(machine=name, outcome=outcome, trusted="".join(warnings))
    except HomelabError as error:
        problem = str(error).removeprefix(f"{name}: ").removeprefix(f"{name} ")
        return Answer(machine=name, problem=problem, trusted="".join(warnings))


def check_answers(answers: Sequence[Answer]) -> None:
    """Raise GuestError naming the machines where the command failed, or could not be run."""
    failed = [f"{answer.machine}: {answer.failure}" for answer in answers if answer.failure]
    if failed:
        raise GuestError(
            f"the command failed on {len(failed)} of {len(answers)} machines",
            details=few_lines(failed),
        )


def _quoted(path: Path) -> str:
    """A path as ssh's configuration takes it: `%` begins a token there, and a blank another file."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
