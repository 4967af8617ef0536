"""`homelab-k8s ssh`, `exec` and `logs`: access to machines."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bootstrap.advice import Advice
from bootstrap.cli.completing import machine_names, pool_names, words
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, Lab, ProgressForm, Target
from bootstrap.cli.running.command_session import Work, working
from bootstrap.cli.text.documents import Document, Output
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError, UsageError
from bootstrap.events import Warned
from bootstrap.model.visible import visible_line

if TYPE_CHECKING:
    from bootstrap.commands.access.remote_access import Answer

Machine = Annotated[
    str,
    typer.Argument(
        metavar="MACHINE",
        help="Name of the machine, for example demo-cp-1, or cp-1 for short.",
        autocompletion=machine_names,
    ),
]
COMMAND_TIMEOUT_S = 300.0


@with_options
def ssh(
    machine: Machine,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Command to run, after `--`; default: a shell.")
    ] = None,
    *,
    forward_agent: Annotated[
        bool, typer.Option("--forward-agent", "-A", help="Forward this computer's SSH agent to the machine.")
    ] = False,
    target: Target,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
) -> None:
    """Log in to a machine with ssh; its host key is checked.

    The exit code is ssh's.
    """
    with working("ssh", target, Common(lab=lab, progress=progress)) as work:
        from bootstrap.commands.access.remote_access import login_to

        _check_ssh()
        login = work.look(lambda: work.homelab.look(lambda spec, ports: login_to(machine, spec, ports)))
        if login.trusted:
            work.session.sink(Warned(subject=login.machine, message=login.trusted))
    _become(login.ssh(_line(command or ()), forward_agent=forward_agent), work.session.environment())


@with_options
def execute(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, after `--`.")],
    *,
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool", metavar="NAME", help="Only machines of this pool; default: all.", autocompletion=pool_names
        ),
    ] = None,
    machine: Annotated[
        list[str] | None,
        typer.Option(
            "--machine",
            metavar="NAME",
            help="Only this machine; default: all. Can be repeated.",
            autocompletion=machine_names,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="Timeout on each machine.")
    ] = COMMAND_TIMEOUT_S,
    target: Target,
    common: Common,
) -> None:
    """Run a command on all machines in parallel, or on some of them. Exit code 1 if it failed on any.

    Several words are passed unchanged; a single word is run by the machine's shell: 'uptime | cut -c1-20'.
    """
    with working("exec", target, common) as work:
        from bootstrap.commands.access.remote_access import run_everywhere

        if pool is not None and machine:
            raise UsageError("pass either a pool or machines")
        from bootstrap.commands.access.remote_access import check_answers
        from bootstrap.model.ids import PoolName

        line = _line(command)
        answers = run_everywhere(
            line,
            work.homelab.inventory.spec,
            work.homelab.ports,
            pool=PoolName(pool) if pool is not None else None,
            names=machine or (),
            timeout_s=timeout,
            tell=(lambda answer: _show(work, answer)) if common.output is Output.TEXT else _say_nothing,
        )
        for answer in answers:
            if answer.trusted:
                work.session.sink(Warned(subject=answer.machine, message=answer.trusted))
        if common.output is not Output.TEXT:
            work.result(str, lambda: _answers_document(line, answers))
        check_answers(answers)


@with_options
def logs(
    machine: Machine,
    *,
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit",
            "-u",
            metavar="NAME",
            autocompletion=words("k3s", "k3s-agent"),
            help="systemd unit; default: k3s or k3s-agent.",
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="Show the newest N lines.")] = 100,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Show lines since this time: 10m, 2h, today, '2026-03-01 12:00'; default: any.",
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    target: Target,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
) -> None:
    """Show the journal of k3s, or of another unit, on a machine."""
    with working("logs", target, Common(lab=lab, progress=progress)) as work:
        from bootstrap.commands.access.remote_access import LogsOptions, journal_ssh, read_journal

        asked = LogsOptions(unit=unit, lines=lines, since=since, follow=follow)
        if not follow:
            work.session.result(
                work.look(lambda: work.homelab.look(lambda spec, ports: read_journal(machine, spec, ports, asked)))
            )
            return
        _check_ssh()
        argv = work.look(lambda: work.homelab.look(lambda spec, ports: journal_ssh(machine, spec, ports, asked)))
    _become(argv, work.session.environment())


def _line(words: Sequence[str]) -> str:
    """The command line for the machine's shell: one word is not quoted, several are."""
    return words[0] if len(words) == 1 else shlex.join(words)


def _show(work: Work, answer: Answer) -> None:
    """Print each line after its machine's name, to stdout or stderr as there."""
    if answer.outcome is None:
        return  # the final error says why
    printed, errors = answer.outcome.stdout, answer.outcome.stderr
    if printed:
        work.session.result("\n".join(f"{answer.machine}  {line}" for line in printed.splitlines()))
    for line in errors.splitlines():
        sys.stderr.write(f"{answer.machine}  {visible_line(line)}\n")
    sys.stderr.flush()


def _say_nothing(_answer: Answer) -> None:
    """The document has all answers."""


def _answers_document(line: str, answers: Sequence[Answer]) -> Document:
    return {
        "command": line,
        "machines": [
            {
                "name": answer.machine,
                "status": answer.outcome.status if answer.outcome else None,
                "stdout": answer.outcome.stdout if answer.outcome else None,
                "stderr": answer.outcome.stderr if answer.outcome else None,
                "problem": answer.problem or None,
            }
            for answer in answers
        ],
    }


def _check_ssh() -> None:
    if shutil.which("ssh") is None:
        raise HomelabError(
            "ssh is not installed on this computer",
            resolution=Advice(
                "install OpenSSH's client (Debian: apt install openssh-client); "
                "`homelab-k8s exec` and `logs` without --follow work without it"
            ),
        )


def _become(argv: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by another program, with its own terminal, signals and exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores SIGPIPE, and the new program would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606 - no shell is wanted: ssh gets its arguments as they are
