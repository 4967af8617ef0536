"""`homelab-k8s demo`: a cluster in the lab from `up` to `down`, by the program's own commands, each shown."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Protocol

import typer

from bootstrap.advice import Advice
from bootstrap.cli.options import Guests
from bootstrap.cli.running.session import Session
from bootstrap.cli.verbs.machines.api_access import passing_on
from bootstrap.cli.verbs.setup.lab import QUICK, check_installed, running_lab, why_no_containers
from bootstrap.cli.views.choose import Progress
from bootstrap.errors import HomelabError, UsageError

UP = ("up", "--lab", "--workers", "3")
STAND_IN = "(These Kubernetes nodes run the k3s STAND-IN: the OS-IMAGE column says so.)"
NO_KUBECTL = (
    "kubectl is not installed, so Kubernetes is not asked for its nodes (https://kubernetes.io/docs/tasks/tools/)"
)
NEXT = """
Next, on your own Proxmox VE:
  homelab-k8s init --pveum     # the commands that create a role and a token, to run there
  homelab-k8s init             # a few questions; writes homelab-k8s.yaml
  homelab-k8s doctor           # what is still missing; changes nothing
  homelab-k8s up"""


class Run(Protocol):
    """Runs a command of the program and returns its exit code."""

    def __call__(self, *words: str, hidden: bool = False) -> int:
        """With `hidden`, nothing is shown, and Ctrl-C does not interrupt it."""
        ...


def demo(
    guests: Annotated[
        Guests,
        typer.Option(
            "--guests", help="Guest backend; default: container if this computer can run it, otherwise simulated."
        ),
    ] = Guests.AUTO,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster and the lab running.")] = False,
) -> None:
    """Create a cluster in the lab, show it, and remove it. Your kubeconfig is not changed."""
    with Session("demo", progress=Progress.PLAIN) as session, ExitStack() as cleaning:
        check_installed()
        if guests is Guests.NONE:
            raise UsageError("the demo needs guests", resolution="use --guests container, qemu or simulated")
        check_no_lab()
        directory = Path(tempfile.mkdtemp(prefix="homelab-k8s-demo-"))
        cleaning.callback(shutil.rmtree, directory, ignore_errors=True)
        # A checkout has kubectl in its virtual environment.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        kubeconfig = directory / "kubeconfig"
        program = Program({**session.environment(), "PATH": path, "KUBECONFIG": str(kubeconfig)})
        has_kubectl = shutil.which("kubectl", path=path) is not None
        say = partial(session.result, fit=True)
        code = Demo(program.run, say, has_kubectl=has_kubectl).play(guests, keep=keep)
        if keep and code == 0:
            cleaning.pop_all()
            say(kept(kubeconfig))
        raise typer.Exit(code)


def check_no_lab() -> None:
    """Check that no lab is running: it would be the user's own.

    Raises:
        HomelabError: One is.
    """
    running = running_lab()
    if running is not None:
        raise HomelabError(
            f"a lab with {running.kind} guests is already running, and the demo removes its lab at the end",
            resolution=Advice("use it: `homelab-k8s up --lab --workers 3`; or stop it first: `homelab-k8s lab stop`"),
        )


def kept(kubeconfig: Path) -> str:
    """What to do with a demo that goes on running."""
    return (
        f"\nKept: export KUBECONFIG={shlex.quote(str(kubeconfig))}\n"
        "Later: homelab-k8s down --lab && homelab-k8s lab stop"
    )


@dataclass(frozen=True)
class Demo:
    """The demo; however it ends, nothing of it stays, unless that is wanted.

    Attributes:
        run: Runs a command of the program.
        say: Prints text between the commands.
        has_kubectl: Whether this computer has kubectl.
    """

    run: Run
    say: Callable[[str], None]
    has_kubectl: bool

    def play(self, guests: Guests, *, keep: bool) -> int:
        """Start a lab, use it, and remove all of it.

        Returns:
            The exit code of the command that failed, or 0.
        """
        try:
            code = next((code for code in self._codes(guests, keep=keep) if code != 0), 0)
        except BaseException:
            self._clean_up()
            raise
        if code != 0:
            self._clean_up()
        elif not keep:
            self.say(NEXT)
        return code

    def _codes(self, guests: Guests, *, keep: bool) -> Iterator[int]:
        """Run the commands, one after another; their exit codes."""
        yield self.run("lab", "start", *self._guests(guests))
        yield self.run(*UP)
        yield self.run("status", "--lab")
        yield self._nodes()
        yield self.run(*UP)
        if not keep:
            yield self.run("down", "--lab", "--yes")
            yield self.run("lab", "stop")

    def _guests(self, wanted: Guests) -> list[str]:
        kind = wanted
        if wanted is Guests.AUTO:
            reason = why_no_containers()
            kind = Guests.CONTAINER if reason is None else Guests.SIMULATED
            if reason is not None:
                self.say(f"The demo uses simulated guests, which only behave like machines. {_sentence(reason)}")
        return ["--guests", kind, *(["--time-scale", str(QUICK)] if kind is Guests.SIMULATED else [])]

    def _nodes(self) -> int:
        if not self.has_kubectl:
            self.say(f"\n{NO_KUBECTL}")
            return 0
        code = self.run("kubectl", "--lab", "--", "get", "nodes", "-o", "wide")
        lab = running_lab()
        if lab is not None and lab.k3s.source == "stand-in":
            self.say(STAND_IN)
        return code

    def _clean_up(self) -> None:
        self.say("\nThe demo has stopped; removing its cluster and its lab ...")
        self.run("down", "--lab", "--yes", hidden=True)
        if self.run("lab", "stop", hidden=True) == 0:
            self.say("removed")
        else:
            self.say("the lab could not be removed; try: homelab-k8s lab stop")


@dataclass(frozen=True)
class Program:
    """This program as child processes.

    Attributes:
        environ: Their environment.
    """

    environ: Mapping[str, str]

    def run(self, *words: str, hidden: bool = False) -> int:
        """Run a command, shown with what it prints; see `Run`."""
        command = [sys.executable, "-P", "-m", "bootstrap", *words]  # -P: no modules of the current directory
        if hidden:
            nothing = subprocess.DEVNULL
            with passing_on():  # to none
                return subprocess.run(
                    command, env=self.environ, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True,
                    check=False,
                ).returncode  # fmt: skip
        sys.stdout.write(f"\n{_bold(shlex.join(words))}\n")
        sys.stdout.flush()
        with passing_on() as children, subprocess.Popen(command, env=self.environ) as child:
            children.append(child)
            return child.wait()


def _bold(command: str) -> str:
    line = f"$ homelab-k8s {command}"
    capable = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    return f"\033[1m{line}\033[0m" if capable else line


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}."
