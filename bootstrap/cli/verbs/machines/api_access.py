"""`homelab-k8s tunnel` and `kubectl`: the Kubernetes API from this computer, over the jump host if there is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.advice import Advice
from bootstrap.cli.option_groups import with_options
from bootstrap.cli.options import Common, Lab, ProgressForm, Target
from bootstrap.cli.running.command_session import Work, working
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError
from bootstrap.events import Warned

if TYPE_CHECKING:
    from bootstrap.commands.access.tunnel import ApiTunnel

LocalPort = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="N", min=1, max=65535, help="Local port; default: one that follows from the cluster's name."
    ),
]
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_KEYS = (signal.SIGINT, signal.SIGQUIT)
"""Signals that a terminal sends to all programs in its foreground."""


@with_options
def tunnel(
    *,
    port: LocalPort = None,
    target: Target,
    lab: Lab = False,
    progress: ProgressForm = Progress.AUTO,
) -> None:
    """Keep a local port (127.0.0.1) open that leads to the Kubernetes API, until Ctrl-C.

    If the connection is lost, it is made again.
    """
    with working("tunnel", target, Common(lab=lab, progress=progress)) as work:
        opened = _open(work, port)
        try:
            work.session.result(work.session.advise(_usage(opened, port)), fit=True)
            opened.tunnel.hold(work.session.stop)
        except KeyboardInterrupt:
            pass  # that is how it ends
        finally:
            opened.tunnel.close()


@with_options
def kubectl(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGS", help="Arguments of kubectl, after `--`.")
    ] = None,
    *,
    target: Target,
    lab: Lab = False,
) -> None:
    """Run kubectl on the cluster, through a tunnel of its own if there is a jump host.

    It gets a temporary kubeconfig; yours is not used. The exit code is kubectl's.
    """
    with working("kubectl", target, Common(lab=lab, progress=Progress.QUIET)) as work:
        from bootstrap.commands.access.kubeconfig import needed_kubeconfig
        from bootstrap.commands.access.tunnel import api_over

        program = shutil.which("kubectl")
        if program is None:
            raise HomelabError(
                "kubectl is not installed on this computer",
                details="there is no kubectl in $PATH",
                resolution=Advice(
                    "install it (https://kubernetes.io/docs/tasks/tools/); on a server it is part of k3s: "
                    "`homelab-k8s ssh cp-1 -- sudo k3s kubectl get nodes`"
                ),
            )
        homelab = work.homelab
        command = [program, *(arguments or ())]
        if homelab.look(api_over):
            opened = _open(work, 0)
            try:
                code = _run(command, opened.kubeconfig, work.session.environment())
            finally:
                opened.tunnel.close()
        else:
            text = homelab.look(lambda spec, ports: needed_kubeconfig(spec.name, ports))
            code = _run(command, text, work.session.environment())
    _end_as(code)


def _open(work: Work, port: int | None) -> ApiTunnel:
    from bootstrap.commands.access.tunnel import open_tunnel

    def tell(message: str) -> None:
        work.session.sink(Warned(subject="tunnel", message=message, danger=True))

    return work.look(lambda: work.homelab.look(lambda spec, ports: open_tunnel(spec, ports, port=port, tell=tell)))


def _usage(opened: ApiTunnel, port: int | None) -> str:
    over = f" over {opened.over}" if opened.over else ""
    leads = f"127.0.0.1:{opened.tunnel.port} leads to {opened.server}{over}; Ctrl-C ends it"
    if port is None:
        return Advice("{}\nnext: `homelab-k8s kubeconfig --tunnel` prints a kubeconfig for it", leads)
    return Advice("{}\nnext: `homelab-k8s kubeconfig --tunnel --port {}` prints a kubeconfig for it", leads, port)


def _run(command: Sequence[str], kubeconfig: str, environment: Mapping[str, str]) -> int:
    """Run a program with a kubeconfig of its own; its exit code, or minus the signal that ended it."""
    # The directory is 0700; the file is there for as long as the program runs.
    with tempfile.TemporaryDirectory(prefix="homelab-k8s-") as directory:
        file = Path(directory, "kubeconfig")
        file.touch(mode=0o600)
        file.write_text(kubeconfig, encoding="utf-8")
        own = {**environment, "KUBECONFIG": str(file)}
        with passing_on() as children, subprocess.Popen(command, env=own) as child:
            children.append(child)
            return child.wait()


@contextmanager
def passing_on() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Pass signals on to the children in the list, and live until they have ended."""
    children: list[subprocess.Popen[bytes]] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if number in _KEYS and _in_foreground():
            return  # the terminal has sent it to them, too
        for child in children:
            with suppress(ProcessLookupError):
                child.send_signal(number)

    before = {number: signal.signal(number, handle) for number in _PASSED_ON}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Whether this process is in the foreground of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _end_as(code: int) -> None:
    """End as the program did."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    raise typer.Exit(code if code >= 0 else 128 - code)
